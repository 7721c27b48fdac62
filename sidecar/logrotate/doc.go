// Package logrotate is the log rotation sidecar: it rotates and compresses what
// the orchestrator logs, without its cooperation.
//
// What it promises:
//
//   - Every line that was once written and that its own writer did not truncate
//     is in the archives, what was set aside, or the log, once, in the order in
//     which it was written, until it is removed by the policy: whatever moment
//     the sidecar is killed at, and however the writer holds its file. That is
//     found out, file by file (package rotation).
//   - What its writer truncates when it starts again is saved before that, if
//     this sidecar runs at the moment its predecessor ends.
//   - What it cannot do without losing lines it does not do, and says so; an
//     operator can allow it to.
//   - Nothing is installed when it starts, nothing needs a network, and no
//     process of it is root or has a capability.
//   - It is healthy when it is alive, can read and write the folder, rotated
//     every file the last time, knows when it will do so next, and has room for
//     that; else it says which file and why.
//
// The daemon (daemon.go) answers requests and the health check, whatever its
// keeper (keeper.go) is busy with: that is one goroutine which sets logs aside
// when they are due and is told by the kernel when their writers let go.
package logrotate

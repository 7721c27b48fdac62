// Package ssh is the ssh sidecar: the orchestrator's files, and a shell beside
// it, for whoever holds one of the authorized keys.
//
// What it promises:
//
//   - Nobody gets in but with a key (or a certificate) that is authorized at
//     that moment, as the user inmanta; every other way is refused alike.
//   - Nothing is installed when it starts, nothing needs the network, and once
//     it listens no process is root and none has a capability. Sessions are
//     processes of the user inmanta; the server is closed to them.
//   - The host keys are made once, and stay.
//   - One session's end, however it comes, is not another's. What an
//     unauthenticated client can use up is bounded.
//   - What happened is on standard output, one JSON object a line.
//   - When it is told to stop, no new connection is taken, and the sessions
//     that run are told and get a grace period.
//
// A connection is served in four steps, each in a file of its own: accept
// (server.go, limits.go), authenticate (authenticate.go), its channels
// (connection.go), and what runs in them (session.go, forward.go). What a
// session runs is a child process: a shell, or a file server of this same
// binary (packages sftp, scp and rsync), so that no client's data is parsed
// where the host keys are.
package ssh

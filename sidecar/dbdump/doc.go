// Package dbdump is the db-dump sidecar: it dumps the database on a schedule, into
// a folder of the host.
//
// What it promises:
//
//   - What has the name of a dump is one: complete, on the disk, with its checksum
//     beside it, and with a table of contents that pg_restore reads. Whatever
//     moment the sidecar is killed at, what was cut short has another name, and is
//     gone after the next start.
//   - A dump that was missed is made up for, one that failed is tried again.
//   - Nothing is removed before there is a new dump, and a dump that failed
//     removes nothing. The newest is never removed.
//   - Where there are two databases, the standby is dumped if it is in step, else
//     the primary; each dump says which.
//   - It is healthy when the last dump succeeded, the next is ahead, and there is
//     room for it; else it says what is wrong and what to do.
//   - Nothing is installed when it starts, and no process of it is root or has a
//     capability once it begins.
//
// The daemon (daemon.go) answers requests and the health check, whatever its
// keeper (keeper.go) is busy with: that is one goroutine, which makes the dumps.
// When one is due and which are kept is decided by package dumps.
package dbdump

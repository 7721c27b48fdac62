// Package dbarchive is the db-archive sidecar: it keeps what it takes to bring the
// database back as it was at a moment, in a folder of the host.
//
// What it promises:
//
//   - What was committed is in the archive as soon as it can be, not up to a whole
//     file of the log later: pg_receivewal streams it, and syncs it to the disk.
//   - The server keeps what the archive does not have yet, by a replication slot:
//     however often either of them is killed, the log has no gap. Where it has one
//     all the same, because the slot or the archive is gone, a new stretch is begun
//     with a base backup of its own, and no moment is promised across the gap.
//   - What has the name of a base backup is one: complete, on the disk, and verified
//     by pg_verifybackup.
//   - Nothing is removed before there is a newer base backup, and of the log only
//     what none of those that are kept needs.
//   - An archive that cannot be written, or falls behind, does not hold up the
//     database; it is unhealthy, and says what to do.
//   - No process of it is root or has a capability once it begins, and it has no
//     network.
//
// The daemon (daemon.go) answers requests; one goroutine receives the log
// (receive.go), another one makes base backups (base.go). What can be brought back
// is decided by package moments, and done by recover.go, elsewhere.
package dbarchive

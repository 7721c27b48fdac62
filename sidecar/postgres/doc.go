// Package postgres runs PostgreSQL as one half of a pair: every commit is stored
// by both halves before whoever made it is told that it is.
//
// It is the first process of both database containers, in the image's own
// place, and does four things:
//
//   - It makes the cluster: by the image's own entrypoint on the first node, as
//     a copy of the primary on the other. Either is made beside the place where
//     it is used and put there when it is complete, so that nothing that was cut
//     short is ever started.
//   - It decides what the node is: primary, standby, or nothing until somebody
//     looks at it. What it decides from is in its volume (Record), in the
//     cluster's control file, and in what its peer says, and decide.go is all of
//     the deciding.
//   - It keeps the promise. A primary that has once had its standby in step
//     waits for it with every commit, also after a restart, and lets nobody in
//     before the standby has what was there at the start. A standby keeps a
//     durable note that its primary would not go on without it: without that
//     note it is not promoted.
//   - It carries out what an operator asks for: switchover, failover, rejoin,
//     reinit; and says how things are, and what to do.
//
// There is nobody third to ask which of two nodes that do not see each other
// should be the primary, so none is ever promoted without an operator's word.
// Two primaries that acknowledge writes cannot be: each waits for the other.
//
// The promise covers a commit that was reported without a warning. A session
// that sets synchronous_commit to less than on, or that is cancelled while it
// waits (PostgreSQL then warns and reports success), has waived it.
package postgres

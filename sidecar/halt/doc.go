// Package halt keeps environments of an orchestrator halted for as long as
// somebody needs them still, and no longer: for a backup whose database and files
// are of one moment.
//
// It runs in a container of its own and does not depend on whoever started it:
// the environments are resumed when its input ends, as it does when that process is
// killed. Only an engine or a machine that dies in that moment leaves them halted;
// of that, whoever started it has a note.
package halt

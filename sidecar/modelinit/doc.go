// Package modelinit is the init sidecar: it runs a test case of a module, which
// makes an environment on the orchestrator and deploys the module's model there,
// and then ends.
//
// What it promises:
//
//   - It runs when there is something to do: when the branch's commit, pytest's
//     arguments or the orchestrator's packages are others than those of the last
//     run that went well, or that run's environments are gone.
//   - The module's requirements never replace a package of the orchestrator's.
//   - Nothing asks a question: whatever would is a failure. Each way of failing
//     has an exit code of its own, and one sentence (package initrecord).
//   - The token and the key of the repository are in this process's memory while
//     git runs, and nowhere else: no log, argument, environment or volume has
//     them, and the module's tests cannot reach them.
//   - It is root only to take over a fresh volume and to read those two; all that
//     it runs is the user inmanta's, without a capability.
//   - A run that is killed leaves nothing that the next one would trip over, and
//     two do not run at a time.
//
// Data goes one way: the environment becomes a Config, all of whose problems are
// told at once; a Config and what the repository and the image hold become a
// fingerprint; and if that is news, the phases of run.go follow each other, each
// in a file of its own.
package modelinit

// Package proof is the proof that the logrotate sidecar loses no line and
// writes none twice. It has no code but its tests': writers that are the ones
// the orchestrator uses, file systems made for the occasion, kills at every
// step, and a checker that knows nothing of the code it checks. What each test
// is there for is in docs/sidecars/logrotate-conditions.md.
package proof

// Package proof shows what each safeguard of the pair of databases is for: with
// it taken out, a test fails. It has no code but its tests'. What is done to real
// pairs is in docs/durable-faults.md.
package proof

// Package e2e runs the real orchestrator and the real PostgreSQL on a real
// engine, through the binaries that users get: ours and the stock docker
// compose, which is built from the module that ours links.
//
// Every scenario has a directory, a project name, container names and ports of
// its own, and removes them when it ends, however it ends. Without an engine
// the tests fail: `make test` installs and starts one first.
package e2e

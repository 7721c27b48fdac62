// Package codeserver is the code sidecar: an editor in the browser, code-server,
// on the orchestrator's environments, behind a login of its own.
//
// What it promises:
//
//   - Nobody gets at the editor but with the password, or from this very machine
//     where the operator has said that none is needed. No page of another site
//     can use somebody's login, nor one that calls itself by this host's address.
//   - Strangers' wrong tries do not keep out whoever has logged in before, nor
//     those who come from elsewhere.
//   - The password is in no environment and on no command line inside, and not
//     open to what runs in the editor. Whoever is logged in is the user inmanta.
//   - What is run is the release that was put into the volume, every byte of it,
//     or nothing. Nothing is fetched when it starts.
//   - Once it listens no process is root and none has a capability.
//   - When code-server ends, the sidecar ends, and the engine starts both again.
//
// A request goes through front.go in this order: is the host one of ours
// (hosts.go), does it come from a page of ours, has it a session (sessions.go);
// then it is the editor's (upstream.go). Logging in is login.go and guesses.go.
// code-server itself is a child process (editor.go) that listens on a socket only.
package codeserver

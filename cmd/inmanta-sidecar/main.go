// Command inmanta-sidecar is what runs inside the containers beside the
// orchestrator: one static binary, mounted read-only into an image that knows
// nothing of it. Each sidecar is one of its verbs.
package main

import (
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/inmanta/inmanta-docker/sidecar/probe"
)

// version is stamped by the build.
var version = "dev"

const usage = `Runs inside the containers of an inmanta-docker deployment.

Usage:
  inmanta-sidecar probe http URL         say whether a plain http URL answers 2xx
  inmanta-sidecar probe tcp HOST:PORT    say whether something listens there
  inmanta-sidecar version
  inmanta-sidecar help

Exit codes: 0 it is so, 1 it is not, with one sentence on standard error.
`

func main() {
	if err := run(os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, err)
		// Never 2: the engine reserves it for health checks.
		os.Exit(1)
	}
}

// run does what the arguments ask for.
func run(args []string, out io.Writer) error {
	if len(args) == 0 {
		return errors.New("nothing to do: `inmanta-sidecar help` lists what there is")
	}
	switch verb, rest := args[0], args[1:]; verb {
	case "probe":
		return runProbe(rest)
	case "version":
		_, err := fmt.Fprintln(out, version)
		return err
	case "help", "-h", "--help":
		_, err := io.WriteString(out, usage)
		return err
	default:
		return fmt.Errorf("there is no sidecar %q: `inmanta-sidecar help` lists what there is", verb)
	}
}

func runProbe(args []string) error {
	if len(args) == 2 {
		switch args[0] {
		case "http":
			return probe.HTTP(args[1])
		case "tcp":
			return probe.TCP(args[1])
		}
	}
	return errors.New("probe takes `http URL` or `tcp HOST:PORT`")
}

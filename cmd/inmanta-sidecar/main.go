// Command inmanta-sidecar is what runs inside the containers beside the
// orchestrator: one static binary, mounted read-only into an image that knows
// nothing of it. Each sidecar is one of its verbs.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/inmanta/inmanta-docker/problem"
	"github.com/inmanta/inmanta-docker/sidecar/logrotate"
	"github.com/inmanta/inmanta-docker/sidecar/probe"
	"github.com/inmanta/inmanta-docker/sidecar/rsync"
	"github.com/inmanta/inmanta-docker/sidecar/scp"
	"github.com/inmanta/inmanta-docker/sidecar/ssh"
)

// version is stamped by the build.
var version = "dev"

const usage = `Runs inside the containers of an inmanta-docker deployment.

Usage:
  inmanta-sidecar probe http URL         say whether a plain http URL answers 2xx
  inmanta-sidecar probe tcp HOST:PORT    say whether something listens there
  inmanta-sidecar ssh                    serve ssh, as docker-compose.ssh.yml has it
  inmanta-sidecar ssh health             say whether it does: logs in, and runs a command
  inmanta-sidecar ssh host-keys          print the public host keys
  inmanta-sidecar logrotate              rotate logs, as docker-compose.logrotate.yml has it
  inmanta-sidecar logrotate health       say whether it does, or which file and why not
  inmanta-sidecar logrotate now [LOG…]   rotate now
  inmanta-sidecar logrotate ls [--json]  list logs, their archives and next rotation
  inmanta-sidecar logrotate show LOG [--since WHEN]  print it, archives first
  inmanta-sidecar logrotate metrics      print Prometheus' text format
  inmanta-sidecar sftp-server            serve files on standard input and output
  inmanta-sidecar session PROGRAM ARG0…  become a session's program; the ssh server calls it
  inmanta-sidecar attached VERB…         do it for as long as standard input is open; inmanta-docker calls it
  inmanta-sidecar version
  inmanta-sidecar help

Exit codes: 0 it is so, 1 it is not, with one sentence on standard error.
`

// standIns are programs that the image does not have and clients ask for by
// name: the ssh sidecar links their names to this binary.
var standIns = map[string]func(args []string, in io.Reader, out, errors io.Writer) int{
	"rsync": rsync.Main,
	"scp":   scp.Main,
}

func main() {
	if program, ok := standIns[filepath.Base(os.Args[0])]; ok {
		os.Exit(program(os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
	}
	if err := run(os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, sentence(err))
		// Never 2: the engine reserves it for health checks.
		os.Exit(1)
	}
}

// sentence is what is wrong and, where that is known, what to do.
func sentence(err error) string {
	var p problem.Problem
	if errors.As(err, &p) && p.Fix != "" {
		return err.Error() + "; " + p.Fix
	}
	return err.Error()
}

// run does what the arguments ask for.
func run(args []string, out io.Writer) error {
	if len(args) == 0 {
		return errors.New("nothing to do: `inmanta-sidecar help` lists what there is")
	}
	switch verb, rest := args[0], args[1:]; verb {
	case "probe":
		return runProbe(rest)
	case "ssh":
		return runSSH(rest, out)
	case "logrotate":
		return runLogrotate(rest, out)
	case "sftp-server":
		return ssh.SFTP(os.Stdin, out, len(rest) == 1 && rest[0] == "report")
	case "session":
		return ssh.Session(rest)
	case "attached":
		return attached(rest, out)
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

// attached does what the arguments ask for, for somebody who may go away: the
// engine lets what it runs in a container go on then, and only closes its input.
func attached(args []string, out io.Writer) error {
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		os.Exit(1) // there is nobody to say it to
	}()
	return run(args, out)
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

func runSSH(args []string, out io.Writer) error {
	switch {
	case len(args) == 0:
		return ssh.Run(out)
	case len(args) == 1 && args[0] == "health":
		return ssh.Health()
	case len(args) == 1 && args[0] == "host-keys":
		lines, err := ssh.PublicHostKeys(ssh.HostKeyFolder)
		if err != nil {
			return err
		}
		_, err = fmt.Fprintln(out, strings.Join(lines, "\n"))
		return err
	}
	return errors.New("ssh takes nothing, `health` or `host-keys`")
}

func runLogrotate(args []string, out io.Writer) error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	switch {
	case len(args) == 0:
		return logrotate.Run(out)
	case args[0] == "now":
		return logrotate.Now(ctx, out, args[1:])
	case args[0] == "show" && len(args) == 2:
		return logrotate.Show(out, os.Stderr, os.Getenv, args[1], "")
	case args[0] == "show" && len(args) == 4 && args[2] == "--since":
		return logrotate.Show(out, os.Stderr, os.Getenv, args[1], args[3])
	case args[0] == "ls" && len(args) == 2 && args[1] == "--json":
		return logrotate.List(ctx, out, true)
	case len(args) > 1:
	case args[0] == "ls":
		return logrotate.List(ctx, out, false)
	case args[0] == "health":
		return logrotate.Health(out)
	case args[0] == "metrics":
		return logrotate.Metrics(ctx, out)
	}
	return errors.New("logrotate takes nothing, `health`, `now [LOG…]`, `ls [--json]`, `show LOG [--since WHEN]` or `metrics`")
}

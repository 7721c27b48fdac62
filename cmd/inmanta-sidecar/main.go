// Command inmanta-sidecar is what runs inside the containers beside the
// orchestrator: one static binary, mounted read-only into an image that knows
// nothing of it. Each sidecar is one of its verbs.
package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"

	"github.com/inmanta/inmanta-docker/problem"
	"github.com/inmanta/inmanta-docker/sidecar/codeserver"
	"github.com/inmanta/inmanta-docker/sidecar/dbarchive"
	"github.com/inmanta/inmanta-docker/sidecar/dbdump"
	"github.com/inmanta/inmanta-docker/sidecar/filelog"
	"github.com/inmanta/inmanta-docker/sidecar/halt"
	"github.com/inmanta/inmanta-docker/sidecar/logrotate"
	"github.com/inmanta/inmanta-docker/sidecar/modelinit"
	"github.com/inmanta/inmanta-docker/sidecar/postgres"
	"github.com/inmanta/inmanta-docker/sidecar/probe"
	"github.com/inmanta/inmanta-docker/sidecar/release"
	"github.com/inmanta/inmanta-docker/sidecar/rsync"
	"github.com/inmanta/inmanta-docker/sidecar/scp"
	"github.com/inmanta/inmanta-docker/sidecar/ssh"
	"github.com/inmanta/inmanta-docker/sidecar/volume"
)

// version is stamped by the build.
var version = "dev"

const usage = `Runs inside the containers of an inmanta-docker deployment.

Usage:
  inmanta-sidecar probe http URL         say whether a plain http URL answers 2xx
  inmanta-sidecar probe tcp HOST:PORT    say whether something listens there
  inmanta-sidecar code                   serve an editor, as docker-compose.code.yml has it
  inmanta-sidecar code health            say whether it does
  inmanta-sidecar code password          print what lets somebody in to it
  inmanta-sidecar code install …         unpack a release of it; inmanta-docker calls it
  inmanta-sidecar code verify …          say whether what was unpacked is whole
  inmanta-sidecar ssh                    serve ssh, as docker-compose.ssh.yml has it
  inmanta-sidecar ssh health             say whether it does: logs in, and runs a command
  inmanta-sidecar ssh host-keys          print the public host keys
  inmanta-sidecar logrotate              rotate logs, as docker-compose.logrotate.yml has it
  inmanta-sidecar logrotate health       say whether it does, or which file and why not
  inmanta-sidecar logrotate now [LOG…]   rotate now
  inmanta-sidecar logrotate ls [--json]  list logs, their archives and next rotation
  inmanta-sidecar logrotate show LOG [--since WHEN]  print it, archives first
  inmanta-sidecar logrotate metrics      print Prometheus' text format
  inmanta-sidecar db-dump                dump the database, as docker-compose.db-dump.yml has it
  inmanta-sidecar db-dump health         say whether it does, or what is wrong and what to do
  inmanta-sidecar db-dump now            dump now
  inmanta-sidecar db-dump ls [--json]    list dumps
  inmanta-sidecar db-archive             archive the database's log, as docker-compose.db-archive.yml has it
  inmanta-sidecar db-archive health      say whether it does, or what is wrong and what to do
  inmanta-sidecar db-archive ls [--json]  list base backups, and which moments can be brought back
  inmanta-sidecar db-archive recover DEPLOYMENT MOMENT  bring one back in a container of its own; inmanta-docker calls it
  inmanta-sidecar db-archive fetch LOG NAME FILE  get a part of the log; a server that recovers calls it
  inmanta-sidecar init                   initialise the orchestrator, as docker-compose.init.yml has it
  inmanta-sidecar init credential|here|rsync …  for git and pytest; the init sidecar calls them
  inmanta-sidecar postgres [ARGUMENT…]   run one database of a pair, as docker-compose.db-replica.yml has it
  inmanta-sidecar postgres health        say whether it does its part, or why not
  inmanta-sidecar postgres status        print how it and its peer are, as JSON
  inmanta-sidecar postgres switchover|failover|reinit …  what inmanta-docker db does
  inmanta-sidecar postgres inspect FOLDER  print what the volume of a database that is down says
  inmanta-sidecar halt [--login] URL ENVIRONMENT…  keep environments halted while standard input is open, which begins with a token after --login; inmanta-docker calls it
  inmanta-sidecar resume [--login] URL ENVIRONMENT…  resume them
  inmanta-sidecar volume pack FOLDER [--exclude NAME…]  write all that is in a volume to standard output
  inmanta-sidecar volume unpack FOLDER [--uid-from N --uid-to N] [--gid-from N --gid-to N]
                                         make that beside what is in a volume, from standard input
  inmanta-sidecar volume swap|swap-back|discard FOLDER  put it into its place; undo that; remove what is not in use
  inmanta-sidecar volume state|room FOLDER  print how far that is, and how much room there is, as JSON
  inmanta-sidecar sftp-server            serve files on standard input and output
  inmanta-sidecar session PROGRAM ARG0…  become a session's program; the ssh server calls it
  inmanta-sidecar attached VERB…         do it for as long as standard input is open; inmanta-docker calls it
  inmanta-sidecar version
  inmanta-sidecar help

Exit codes: 0 it is so, 1 it is not, with one sentence on standard error. init
has one for each way in which it fails: see docs/sidecars/init.md.
`

// standIns are programs that the image need not have and clients ask for by
// name: the ssh sidecar links their names to this binary, and hears what they do.
var standIns = map[string]func(args []string, in io.Reader, out, errors io.Writer, told func(filelog.Event)) int{
	"rsync": rsync.Main,
	"scp":   scp.Main,
}

func main() {
	if program, ok := standIns[filepath.Base(os.Args[0])]; ok {
		reports := filelog.Connect(filelog.Socket)
		code := program(os.Args[1:], os.Stdin, os.Stdout, os.Stderr, reports.Add)
		reports.Deliver()
		os.Exit(code)
	}
	err := run(os.Args[1:], os.Stdout)
	if code := exitCode(0); errors.As(err, &code) {
		os.Exit(int(code)) // everything has been said
	}
	if err != nil {
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

// exitCode ends the process with it.
type exitCode int

func (c exitCode) Error() string { return fmt.Sprintf("exit code %d", int(c)) }

// run does what the arguments ask for.
func run(args []string, out io.Writer) error {
	if len(args) == 0 {
		return errors.New("nothing to do: `inmanta-sidecar help` lists what there is")
	}
	switch verb, rest := args[0], args[1:]; verb {
	case "probe":
		return runProbe(rest)
	case "code":
		return runCode(rest, out)
	case "ssh":
		return runSSH(rest, out)
	case "logrotate":
		return runLogrotate(rest, out)
	case "db-dump":
		return runDBDump(rest, out)
	case "db-archive":
		return runDBArchive(rest, out)
	case "init":
		return runInit(rest, out)
	case "postgres":
		return runPostgres(rest, out)
	case "halt", "resume":
		return runHalt(verb, rest, out)
	case "volume":
		return volume.Run(rest, os.Stdin, out, os.Stderr)
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

func runCode(args []string, out io.Writer) error {
	switch {
	case len(args) == 0:
		return codeserver.Run(out)
	case len(args) == 1 && args[0] == "health":
		return codeserver.Health()
	case len(args) == 1 && args[0] == "password":
		word, err := codeserver.Password()
		if err != nil {
			return err
		}
		_, err = fmt.Fprintln(out, word)
		return err
	case len(args) == 4 && args[0] == "install":
		return installCode(args[1], args[2], args[3], out)
	case len(args) == 3 && args[0] == "verify":
		_, err := release.Verified(args[2], args[1], runtime.GOARCH)
		return err
	}
	return errors.New("code takes nothing, `health`, `password`, `install TARBALL SHA256 FOLDER` or `verify SHA256 FOLDER`")
}

// installCode unpacks a tarball of code-server into a folder, for this machine.
func installCode(tarball, checksum, folder string, out io.Writer) error {
	file, err := os.Open(tarball)
	if err != nil {
		return fmt.Errorf("opening the tarball: %w", err)
	}
	defer file.Close()
	installed, err := release.Install(folder, file, checksum, runtime.GOARCH)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(out, installed.Version)
	return err
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

func runDBDump(args []string, out io.Writer) error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	switch strings.Join(args, " ") {
	case "":
		stop() // it hears signals by itself
		return dbdump.Run(out)
	case "health":
		return dbdump.Health(out)
	case "now":
		return dbdump.Now(ctx, out)
	case "ls":
		return dbdump.List(ctx, out, false)
	case "ls --json":
		return dbdump.List(ctx, out, true)
	}
	return errors.New("db-dump takes nothing, `health`, `now` or `ls [--json]`")
}

func runDBArchive(args []string, out io.Writer) error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	switch {
	case len(args) == 0:
		stop() // it hears signals by itself
		return dbarchive.Run(out)
	case len(args) == 3 && args[0] == "recover":
		return dbarchive.Recover(ctx, args[1], args[2], out, os.Stderr)
	case len(args) == 4 && args[0] == "fetch":
		return dbarchive.Fetch(args[1], args[2], args[3])
	}
	switch strings.Join(args, " ") {
	case "health":
		return dbarchive.Health(out)
	case "ls":
		return dbarchive.List(ctx, out, false)
	case "ls --json":
		return dbarchive.List(ctx, out, true)
	}
	return errors.New("db-archive takes nothing, `health`, `ls [--json]`, `recover DEPLOYMENT MOMENT` or `fetch LOG NAME FILE`")
}

func runInit(args []string, out io.Writer) error {
	if len(args) == 0 {
		return exitCode(modelinit.Main(out))
	}
	switch args[0] {
	case "credential":
		return modelinit.Credential(args[1:], os.Stdin, out)
	case "here":
		return modelinit.Here(args[1:])
	case "rsync":
		return exitCode(rsync.Main(modelinit.LocalCopy(args[1:]), os.Stdin, out, os.Stderr, nil))
	}
	return errors.New("init takes nothing; git and pytest, which it starts, call the rest")
}

func runPostgres(args []string, out io.Writer) error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	verb := ""
	if len(args) > 0 {
		verb = args[0]
	}
	switch {
	case verb == "" || verb == "postgres" || strings.HasPrefix(verb, "-"):
		stop() // it hears signals by itself
		return postgres.Run(args, out)
	case verb == "inspect" && len(args) == 2:
		return postgres.Inspect(ctx, args[1], out)
	case verb == "failover":
		var how postgres.Failover
		for _, arg := range args[1:] {
			switch arg {
			case "--primary-is-dead":
				how.Fenced = true
			case "--accept-data-loss":
				how.AcceptLoss = true
			default:
				return fmt.Errorf("failover takes --primary-is-dead and --accept-data-loss, not %q", arg)
			}
		}
		return postgres.Order(ctx, verb, how)
	case len(args) > 1:
	case verb == "health":
		return postgres.Health(ctx, out)
	case verb == "status":
		return postgres.Print(ctx, out)
	case verb == "switchover" || verb == "reinit":
		return postgres.Order(ctx, verb, struct{}{})
	}
	return errors.New("postgres takes the server's arguments, `health`, `status`, `switchover`, `failover`, `reinit` or `inspect FOLDER`")
}

func runHalt(verb string, args []string, out io.Writer) error {
	in, token := bufio.NewReader(os.Stdin), ""
	if len(args) > 0 && args[0] == halt.Login {
		line, err := in.ReadString('\n')
		if err != nil {
			return fmt.Errorf("reading the token: %w", err)
		}
		token, args = strings.TrimSpace(line), args[1:]
	}
	if len(args) < 2 {
		return fmt.Errorf("write: inmanta-sidecar %s [%s] URL ENVIRONMENT…", verb, halt.Login)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	o := halt.At(args[0], token)
	if verb == "resume" {
		return o.Resume(ctx, args[1:])
	}
	return o.Run(ctx, args[1:], in, out)
}

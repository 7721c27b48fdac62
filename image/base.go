package image

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"time"

	cerrdefs "github.com/containerd/errdefs"
	"github.com/moby/moby/client"

	"github.com/inmanta/inmanta-docker/problem"
	"github.com/inmanta/inmanta-docker/progress"
)

// baseRef is what recipes start from, where a registry has it.
const baseRef = "docker.io/library/debian:" + release + "-slim"

// basePatience is how long the registry of the base may take to answer before
// the base is bootstrapped instead, which takes some 15 s.
const basePatience = 15 * time.Second

// baseID names the base's line of progress.
const baseID = "base debian:" + release

// base is the ID of an image of Debian on the engine: one that is there, the
// registry's, or one bootstrapped from Debian's archive. The last has no name
// and is for the build only: remove takes it away.
func (b *builder) base(ctx context.Context) (id string, remove func(), err error) {
	keep := func() {}
	if found, err := b.engine.ImageInspect(ctx, baseRef); err == nil && found.Architecture == b.architecture {
		return found.ID, keep, nil
	} else if err != nil && !cerrdefs.IsNotFound(err) {
		return "", nil, fmt.Errorf("looking for the base image: %w", err)
	}
	label := digest(nil, append(bootstrapArguments, b.architecture)...)
	left, err := b.newest(ctx, baseLabel, label)
	if err != nil {
		return "", nil, err
	}
	if left.ID != "" {
		return left.ID, b.remover(ctx, left.ID), nil
	}

	if err := pull(ctx, b.engine, baseRef, "", basePatience, renamed(b.report, baseID)); err == nil {
		found, err := b.engine.ImageInspect(ctx, baseRef)
		if err != nil {
			return "", nil, fmt.Errorf("looking for the base image: %w", err)
		}
		b.report(progress.Event{ID: baseID, Text: "Pulled", Status: progress.Done})
		return found.ID, keep, nil
	} else if ctx.Err() != nil {
		return "", nil, ctx.Err()
	}
	id, err = b.bootstrap(ctx, label)
	if err != nil {
		b.report(progress.Event{ID: baseID, Text: "Failed", Status: progress.Failed})
		return "", nil, err
	}
	b.report(progress.Event{ID: baseID, Text: "Bootstrapped", Status: progress.Done})
	return id, b.remover(ctx, id), nil
}

func (b *builder) remover(ctx context.Context, id string) func() {
	return func() {
		ctx, cancel := afterwards(ctx)
		defer cancel()
		// Best effort: an image that something else has come to use stays.
		_, _ = b.engine.ImageRemove(ctx, id, client.ImageRemoveOptions{PruneChildren: true})
	}
}

// bootstrapArguments make mmdebstrap write the smallest Debian that can install
// packages to its standard output, as a tar.
var bootstrapArguments = []string{"--variant=minbase", "--format=tar", release, "-"}

// bootstrap makes a Debian from packages alone and imports it, unnamed, with
// baseLabel. The engine reads what mmdebstrap writes, as it does.
func (b *builder) bootstrap(ctx context.Context, label string) (id string, err error) {
	if b.architecture != runtime.GOARCH {
		return "", problem.Problem{
			ID: "base-missing", Where: baseRef,
			What: fmt.Sprintf("its registry cannot be reached, and a base for the engine's %s cannot be bootstrapped on this machine's %s", b.architecture, runtime.GOARCH),
			Fix:  "Run the build on the engine's machine, or `docker load` " + baseRef + " there.",
		}
	}
	if err := b.installBootstrapper(ctx); err != nil {
		return "", err
	}
	b.report(progress.Event{ID: baseID, Text: "Bootstrapping", Status: progress.Working, Detail: "no registry has it; from " + b.host.Mirror})

	var last []string
	command := exec.CommandContext(ctx, "mmdebstrap", append(bootstrapArguments,
		"deb "+b.host.Mirror+" "+release+" main",
		"deb "+b.host.Mirror+" "+release+"-updates main",
		"deb "+b.host.Security+" "+release+"-security main",
	)...)
	// When it fails, it sends SIGHUP to its whole process group: not ours.
	command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	// Asked to end, it waits for what it has started, which goes on for as long as
	// nobody asks that too; then it removes its temporary directory.
	command.Cancel = func() error { return syscall.Kill(-command.Process.Pid, syscall.SIGTERM) }
	command.WaitDelay = 20 * time.Second
	command.Env = os.Environ()
	if b.host.AptProxy != "" && os.Getenv("http_proxy") == "" {
		command.Env = append(command.Env, "http_proxy="+b.host.AptProxy)
	}
	command.Stderr = &lineWriter{take: func(line string) {
		last = append(last, line)
		last = last[max(0, len(last)-keptLines):]
		b.report(progress.Event{ID: baseID, Text: "Bootstrapping", Detail: strings.TrimPrefix(line, "I: "), Status: progress.Working})
	}}
	reader, writer := io.Pipe()
	command.Stdout = writer
	if err := command.Start(); err != nil {
		return "", fmt.Errorf("starting mmdebstrap: %w", err)
	}
	ended := make(chan error, 1)
	go func() {
		err := command.Wait()
		// An error here keeps the engine from taking half an archive for a whole one.
		writer.CloseWithError(err)
		ended <- err
	}()
	result, err := b.engine.ImageImport(ctx,
		client.ImageImportSource{Source: reader, SourceName: "-"}, "",
		client.ImageImportOptions{Changes: []string{"LABEL " + baseLabel + "=" + label}})
	if err == nil {
		id, err = importedID(result)
		result.Close()
	}
	reader.CloseWithError(errors.New("the engine took no more of it"))
	if failed := <-ended; failed != nil && ctx.Err() == nil {
		return "", problem.Problem{
			ID: "base-failed", Where: "mmdebstrap",
			What: fmt.Sprintf("making a Debian %s from %s failed: %v%s", release, b.host.Mirror, failed, quoted(last)),
			Fix:  "See that this machine reaches the mirror (http_proxy and https_proxy are used where set), or `docker load` " + baseRef + ".",
			Err:  failed,
		}
	}
	if ctx.Err() != nil {
		return "", ctx.Err()
	}
	if err != nil {
		return "", fmt.Errorf("importing the bootstrapped base: %w", err)
	}
	return id, nil
}

// installBootstrapper installs mmdebstrap where it is missing and may be: as
// root, on a machine that has apt.
func (b *builder) installBootstrapper(ctx context.Context) error {
	if _, err := exec.LookPath("mmdebstrap"); err == nil {
		return nil
	}
	_, noApt := exec.LookPath("apt-get")
	if noApt != nil || os.Geteuid() != 0 {
		return problem.Problem{
			ID: "base-missing", Where: baseRef,
			What: "its registry cannot be reached, and mmdebstrap, which makes one from Debian's packages, is not installed",
			Fix:  "Install mmdebstrap (as root: `apt-get install mmdebstrap`), or `docker load` " + baseRef + ".",
		}
	}
	const id = "package mmdebstrap"
	b.report(progress.Event{ID: id, Text: "Installing", Detail: "to make a base image with", Status: progress.Working})
	var last []string
	for _, arguments := range [][]string{
		{"update"},
		{"install", "--yes", "--no-install-recommends", "mmdebstrap", "debian-archive-keyring"},
	} {
		command := exec.CommandContext(ctx, "apt-get", arguments...)
		command.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive")
		output := &lineWriter{take: func(line string) {
			last = append(last, line)
			last = last[max(0, len(last)-keptLines):]
			b.report(progress.Event{ID: id, Text: "Installing", Detail: line, Status: progress.Working})
		}}
		command.Stdout, command.Stderr = output, output
		if err := command.Run(); err != nil {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			b.report(progress.Event{ID: id, Text: "Failed", Status: progress.Failed})
			return problem.Problem{
				ID: "base-failed", Where: "apt-get " + arguments[0],
				What: fmt.Sprintf("installing mmdebstrap, to make a base image with, failed: %v%s", err, quoted(last)),
				Fix:  "Install mmdebstrap by hand, or `docker load` " + baseRef + ".",
				Err:  err,
			}
		}
	}
	b.report(progress.Event{ID: id, Text: "Installed", Status: progress.Done})
	return nil
}

// quoted are lines of output as they stand below a sentence.
func quoted(lines []string) string {
	if len(lines) == 0 {
		return ""
	}
	return "\n    " + strings.Join(lines, "\n    ")
}

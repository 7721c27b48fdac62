// Package codeserver puts code-server into the volume that the code sidecar runs
// it from: once, from its project's releases, a mirror or a file, and only if it
// is the tarball it should be.
package codeserver

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/moby/moby/client"

	"github.com/inmanta/inmanta-docker/lock"
	"github.com/inmanta/inmanta-docker/problem"
	"github.com/inmanta/inmanta-docker/progress"
	"github.com/inmanta/inmanta-docker/sidecar/release"
)

// Wanted is the code-server that a deployment is to have, and where.
type Wanted struct {
	// Source is where its tarball is: a file or folder, a URL, or "" for the
	// project's own releases. Place is where that is configured.
	Source, Place string
	// Checksum is the SHA-256 that the tarball must have, in hexadecimal; "" is
	// that of the release this version is made for.
	Checksum string
	// Dir is the deployment's directory.
	Dir string
	// Volume is what the volume is called on the engine; Driver, Options and
	// Labels are what it is made with where it is missing.
	Volume, Driver  string
	Options, Labels map[string]string
	// Container is one that has the volume at At, if there is one: where to look
	// what is in it.
	Container, At string
	// Image is one of the engine's, and Sidecar the sidecars' binary on this
	// machine: they unpack it.
	Image, Sidecar string
}

// Engine is what this package asks of the container engine. The Docker client is one.
type Engine interface {
	Info(ctx context.Context, options client.InfoOptions) (client.SystemInfoResult, error)
	VolumeInspect(ctx context.Context, volume string, options client.VolumeInspectOptions) (client.VolumeInspectResult, error)
	VolumeCreate(ctx context.Context, options client.VolumeCreateOptions) (client.VolumeCreateResult, error)
	ContainerList(ctx context.Context, options client.ContainerListOptions) (client.ContainerListResult, error)
	ContainerCreate(ctx context.Context, options client.ContainerCreateOptions) (client.ContainerCreateResult, error)
	ContainerStart(ctx context.Context, container string, options client.ContainerStartOptions) (client.ContainerStartResult, error)
	ContainerWait(ctx context.Context, container string, options client.ContainerWaitOptions) client.ContainerWaitResult
	ContainerLogs(ctx context.Context, container string, options client.ContainerLogsOptions) (client.ContainerLogsResult, error)
	ContainerRemove(ctx context.Context, container string, options client.ContainerRemoveOptions) (client.ContainerRemoveResult, error)
	ContainerStatPath(ctx context.Context, container string, options client.ContainerStatPathOptions) (client.ContainerStatPathResult, error)
	CopyToContainer(ctx context.Context, container string, options client.CopyToContainerOptions) (client.CopyToContainerResult, error)
}

// progressID names the line of progress.
const progressID = "code-server " + release.Version

// Ensure makes sure that the volume holds the code-server that is wanted, and
// says whether it had to be put there. Where that fails the volume holds what it
// held, and the error is a problem.Problem.
func Ensure(ctx context.Context, engine Engine, wanted Wanted, report progress.Report) (changed bool, err error) {
	machine, err := engine.Info(ctx, client.InfoOptions{})
	if err != nil {
		return false, fmt.Errorf("asking the engine what it is: %w", err)
	}
	processor := processorOf(machine.Info.Architecture)
	from, err := choose(wanted, processor)
	if err != nil {
		return false, err
	}
	in := installer{engine: engine, wanted: wanted, report: report}
	if whole, err := in.holds(ctx, from.checksum); err != nil || whole {
		if err == nil {
			report(progress.Event{ID: progressID, Text: "Present", Status: progress.Done})
		}
		return false, err
	}
	err = in.take(ctx, from)
	switch {
	case ctx.Err() != nil:
		report(progress.Event{ID: progressID, Text: "Interrupted", Status: progress.Failed})
		return false, ctx.Err()
	case err != nil:
		report(progress.Event{ID: progressID, Text: "Failed", Status: progress.Failed})
		return false, err
	}
	report(progress.Event{ID: progressID, Text: "Taken", Detail: from.told, Status: progress.Done})
	return true, nil
}

// processorOf is an engine's architecture as Go and code-server's project name it.
func processorOf(architecture string) string {
	switch architecture {
	case "x86_64":
		return "amd64"
	case "aarch64":
		return "arm64"
	}
	return architecture
}

// take gets the tarball and has it unpacked.
func (in *installer) take(ctx context.Context, from origin) error {
	folder, err := cacheFolder()
	if err != nil {
		return fmt.Errorf("making a folder for downloads: %w", err)
	}
	unlock, err := lock.Take(ctx, folder, func() {
		in.report(progress.Event{ID: progressID, Text: "Waiting", Detail: "another command is taking it", Status: progress.Working})
	})
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err == nil { // where there can be no lock, two at once only do it twice
		defer unlock()
	}
	path := from.path
	if path == "" {
		if path, err = fetch(ctx, folder, from, in.report); err != nil {
			return err
		}
	}
	file, size, err := openWhole(ctx, path, from, in.report)
	if err != nil {
		return err
	}
	defer file.Close()
	return in.install(ctx, file, size, from)
}

// damaged is what is said of a tarball that is not what it should be.
func damaged(place, name, got, want string) problem.Problem {
	return problem.Problem{
		ID: "code-server-damaged", Where: place,
		What: fmt.Sprintf("%s is damaged, or another tarball than it should be: its SHA-256 is %s, and %s is expected", name, got, want),
		Fix:  "take it again, whole; or, if this other one is meant, set INMANTA_CODE_SERVER_SHA256 to its checksum",
	}
}

var errNoProcessor = errors.New("there is no release for this processor")

// noRelease is what is said where the project makes none for the engine's processor.
func noRelease(processor string) problem.Problem {
	return problem.Problem{
		ID: "code-server-processor", Where: "container engine",
		What: fmt.Sprintf("it runs %s, for which the project of code-server releases nothing", processor),
		Fix:  "leave docker-compose.code.yml out; or set INMANTA_CODE_SERVER_TARBALL to one that was made for it, and INMANTA_CODE_SERVER_SHA256 to its checksum",
		Err:  errNoProcessor,
	}
}

// sized is a reader that tells how far it has been read.
type sized struct {
	io.Reader

	done, total int64
	tell        func(done, total int64)
}

func (s *sized) Read(into []byte) (int, error) {
	n, err := s.Reader.Read(into)
	s.done += int64(n)
	s.tell(s.done, s.total)
	return n, err
}

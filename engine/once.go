package engine

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/pkg/stdcopy"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/mount"
	"github.com/moby/moby/client"

	"github.com/inmanta/inmanta-docker/sidecar/printed"
)

// Once is a container that is run to its end to do one thing, and removed. It
// has no network but the one it is given, and of root's rights only those that it
// is given.
type Once struct {
	Image   string
	Command []string
	// Volumes and Files are where it has volumes and files of the host, by name
	// and by path. It cannot change them.
	Volumes, Files map[string]string
	// Writable are where it has volumes that it may change, by name; one without a
	// name is made for it, and removed with it.
	Writable map[string]string
	// Capabilities are its own, as the engine names them; none where it is empty,
	// and where it is nil root's right to every file, DAC_OVERRIDE.
	Capabilities []string
	// Network is the one that it is on, by name; none where it is empty.
	Network string
	// Project is the deployment that it is for: see RemoveAbandoned.
	Project string
	// Kept says that it stays when it ends and nobody waits for that any more, for
	// Accomplished to tell.
	Kept bool
	// Started, where it is not nil, is told the container's id once it runs.
	Started func(id string)
}

// onceLabel marks the containers that are run once, with the deployment that
// each is for. It is not Compose's label: what lists a deployment's containers
// would take them for some of its services.
const onceLabel = "com.inmanta.docker.once"

// cleanPatience is how long the engine may take to create or remove a container.
const cleanPatience = 30 * time.Second

// What is kept of what a container prints: the beginning of its output, and the
// end of its errors.
const (
	mostPrinted = 1 << 20
	mostErrors  = 64 << 10
)

// RunOnce runs it. What it prints is cut off at 1 MiB.
func (e *Engine) RunOnce(ctx context.Context, o Once) (Result, error) {
	stdout := &printed.Head{Most: mostPrinted}
	result, err := e.StreamOnce(ctx, o, nil, stdout)
	result.Stdout = strings.TrimSpace(stdout.String())
	return result, err
}

// StreamOnce runs it with stdin as its input, and passes on what it prints while
// it does, however much that is: it waits for whoever reads here. The result has
// no Stdout, and of Stderr the last 64 KiB. Its output is not logged anywhere.
//
// A stdin of nil stays open and empty until it has ended. The end of its input
// is how a container learns that this process is gone: the engine then lets it
// run on, so that what would not end by itself is a matter for `inmanta-sidecar
// attached`. It is removed when it ends, whoever still waits for that, unless it is Kept.
//
// When ctx ends the container is killed. A Read of stdin that is under way when
// the container has ended is not waited for.
func (e *Engine) StreamOnce(ctx context.Context, o Once, stdin io.Reader, stdout io.Writer) (Result, error) {
	fail := func(err error) (Result, error) {
		return Result{}, fmt.Errorf("running %s in a container of its own: %w", o.Command[0], err)
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	// Once asked for, it is seen through: an interrupt must not leave it behind.
	creating, created := context.WithTimeout(context.WithoutCancel(ctx), cleanPatience)
	defer created()
	made, err := e.API().ContainerCreate(creating, o.options())
	if err != nil {
		return fail(err)
	}
	defer func() {
		removing, removed := context.WithTimeout(context.WithoutCancel(ctx), cleanPatience)
		defer removed()
		_ = e.removeOnce(removing, made.ID)
	}()
	attached, err := e.API().ContainerAttach(ctx, made.ID, client.ContainerAttachOptions{Stream: true, Stdin: true, Stdout: true, Stderr: true})
	if err != nil {
		return fail(err)
	}
	defer attached.Close()
	defer context.AfterFunc(ctx, attached.Close)()
	waiting := e.API().ContainerWait(ctx, made.ID, client.ContainerWaitOptions{Condition: container.WaitConditionNextExit})
	if _, err := e.API().ContainerStart(ctx, made.ID, client.ContainerStartOptions{}); err != nil {
		return fail(err)
	}
	if o.Started != nil {
		o.Started(made.ID)
	}
	if stdin != nil {
		go func() {
			if err := feed(attached.HijackedResponse, stdin); err != nil {
				cancel(err) // it must not take what it has got for all of it
			}
		}()
	}
	stderr := &printed.Tail{Most: mostErrors}
	if _, err := stdcopy.StdCopy(stdout, stderr, attached.Reader); err != nil {
		return fail(why(ctx, err))
	}
	select {
	case ended := <-waiting.Result:
		return Result{ExitCode: int(ended.StatusCode), Stderr: strings.TrimSpace(stderr.String())}, nil
	case err := <-waiting.Error:
		return fail(why(ctx, err))
	}
}

// why is what ended ctx, where something has: that the connection was closed
// then is only what follows.
func why(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	return err
}

// feed passes stdin on to its end. The error is that of reading it: a container
// that has ended, or has read enough, is no error.
func feed(to client.HijackedResponse, stdin io.Reader) error {
	from := &source{Reader: stdin}
	if _, err := io.CopyBuffer(sink{to.Conn}, from, make([]byte, 128<<10)); err != nil && from.err != nil {
		return fmt.Errorf("reading its input: %w", from.err)
	}
	_ = to.CloseWrite() // where that fails the connection is gone
	return nil
}

// source remembers that it could not be read.
type source struct {
	io.Reader
	err error
}

func (s *source) Read(p []byte) (int, error) {
	n, err := s.Reader.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		s.err = err
	}
	return n, err
}

// sink is nothing but a writer, so that it is written to in steps of the buffer's size.
type sink struct{ io.Writer }

// options are what it is created with.
func (o Once) options() client.ContainerCreateOptions {
	var mounts []mount.Mount
	add := func(kind mount.Type, at map[string]string, readOnly bool) {
		for _, source := range slices.Sorted(maps.Keys(at)) {
			m := mount.Mount{Type: kind, Source: source, Target: at[source], ReadOnly: readOnly}
			if kind == mount.TypeVolume {
				m.VolumeOptions = &mount.VolumeOptions{NoCopy: true}
			}
			mounts = append(mounts, m)
		}
	}
	add(mount.TypeVolume, o.Volumes, true)
	add(mount.TypeVolume, o.Writable, false)
	add(mount.TypeBind, o.Files, true)
	capabilities := o.Capabilities
	if capabilities == nil {
		capabilities = []string{"DAC_OVERRIDE"}
	}
	network := o.Network
	if network == "" {
		network = "none"
	}
	return client.ContainerCreateOptions{
		Config: &container.Config{
			Image: o.Image, User: "0:0", Entrypoint: o.Command, NetworkDisabled: o.Network == "",
			Healthcheck: &container.HealthConfig{Test: []string{"NONE"}},
			Labels:      map[string]string{onceLabel: o.Project},
			AttachStdin: true, AttachStdout: true, AttachStderr: true, OpenStdin: true, StdinOnce: true,
		},
		HostConfig: &container.HostConfig{
			NetworkMode: container.NetworkMode(network), CapDrop: []string{"ALL"}, CapAdd: capabilities,
			SecurityOpt: []string{"no-new-privileges"}, Mounts: mounts,
			// All of a volume may pass through its output.
			LogConfig: container.LogConfig{Type: "none"}, AutoRemove: !o.Kept,
		},
	}
}

// Accomplished says whether a container that was run once for a deployment by a
// process that was killed, and Kept, has ended well; word is the first of what its
// command is told to do.
func (e *Engine) Accomplished(ctx context.Context, project, word string) (bool, error) {
	found, err := e.API().ContainerList(ctx, client.ContainerListOptions{
		All: true, Filters: client.Filters{}.Add("label", onceLabel+"="+project).Add("status", "exited"),
	})
	if err != nil {
		return false, fmt.Errorf("listing what was abandoned: %w", err)
	}
	for _, c := range found.Items {
		inspected, err := e.API().ContainerInspect(ctx, c.ID, client.ContainerInspectOptions{})
		if errdefs.IsNotFound(err) {
			continue
		}
		if err != nil {
			return false, fmt.Errorf("looking at what was abandoned: %w", err)
		}
		if args := inspected.Container.Args; len(args) > 0 && args[0] == word && inspected.Container.State.ExitCode == 0 {
			return true, nil
		}
	}
	return false, nil
}

// RemoveAbandoned removes the containers that were run once for a deployment by
// a process that was killed, whether they still run or not, and returns how many
// there were. It must not be called while another process may be running one.
func (e *Engine) RemoveAbandoned(ctx context.Context, project string) (int, error) {
	found, err := e.API().ContainerList(ctx, client.ContainerListOptions{
		All: true, Filters: client.Filters{}.Add("label", onceLabel+"="+project),
	})
	if err != nil {
		return 0, fmt.Errorf("listing what was abandoned: %w", err)
	}
	for _, c := range found.Items {
		if err := e.removeOnce(ctx, c.ID); err != nil {
			return 0, fmt.Errorf("removing what was abandoned: %w", err)
		}
	}
	return len(found.Items), nil
}

// removeOnce kills and removes a container. It is gone then, and its volumes are
// free, also where the engine was removing it already because it has ended.
func (e *Engine) removeOnce(ctx context.Context, id string) error {
	gone := e.API().ContainerWait(ctx, id, client.ContainerWaitOptions{Condition: container.WaitConditionRemoved})
	_, err := e.API().ContainerRemove(ctx, id, client.ContainerRemoveOptions{RemoveVolumes: true, Force: true})
	if err != nil && !errdefs.IsConflict(err) && !errdefs.IsNotFound(err) {
		return err
	}
	select {
	case <-gone.Result:
		return nil
	case err := <-gone.Error:
		if errdefs.IsNotFound(err) {
			return nil
		}
		return err
	}
}

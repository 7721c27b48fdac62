package engine

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/moby/moby/api/pkg/stdcopy"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/mount"
	"github.com/moby/moby/client"
)

// Once is a container that is run to its end to look at something, and removed.
// It has no network, cannot change what is mounted into it, and has root's right
// to read every file as its only capability.
type Once struct {
	Image   string
	Command []string
	// Volumes and Files are where it has volumes and files of the host, by name
	// and by path.
	Volumes, Files map[string]string
}

// cleanPatience is how long the engine may take to create or remove a container.
const cleanPatience = 30 * time.Second

// RunOnce runs it. What it prints is cut off at 1 MiB.
func (e *Engine) RunOnce(ctx context.Context, o Once) (Result, error) {
	fail := func(err error) (Result, error) {
		return Result{}, fmt.Errorf("running %s in a container of its own: %w", o.Command[0], err)
	}
	var mounts []mount.Mount
	for name, at := range o.Volumes {
		mounts = append(mounts, mount.Mount{
			Type: mount.TypeVolume, Source: name, Target: at, ReadOnly: true, VolumeOptions: &mount.VolumeOptions{NoCopy: true},
		})
	}
	for path, at := range o.Files {
		mounts = append(mounts, mount.Mount{Type: mount.TypeBind, Source: path, Target: at, ReadOnly: true})
	}
	// Once asked for, it is seen through: an interrupt must not leave it behind.
	creating, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanPatience)
	defer cancel()
	created, err := e.API().ContainerCreate(creating, client.ContainerCreateOptions{
		Config: &container.Config{
			Image: o.Image, User: "0:0", Entrypoint: o.Command, NetworkDisabled: true,
			Healthcheck: &container.HealthConfig{Test: []string{"NONE"}},
		},
		HostConfig: &container.HostConfig{
			NetworkMode: "none", CapDrop: []string{"ALL"}, CapAdd: []string{"DAC_OVERRIDE"},
			SecurityOpt: []string{"no-new-privileges"}, Mounts: mounts,
		},
	})
	if err != nil {
		return fail(err)
	}
	defer func() {
		removing, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanPatience)
		defer cancel()
		_, _ = e.API().ContainerRemove(removing, created.ID, client.ContainerRemoveOptions{RemoveVolumes: true, Force: true})
	}()
	waiting := e.API().ContainerWait(ctx, created.ID, client.ContainerWaitOptions{Condition: container.WaitConditionNextExit})
	if _, err := e.API().ContainerStart(ctx, created.ID, client.ContainerStartOptions{}); err != nil {
		return fail(err)
	}
	var result Result
	select {
	case ended := <-waiting.Result:
		result.ExitCode = int(ended.StatusCode)
	case err := <-waiting.Error:
		return fail(err)
	}
	logs, err := e.API().ContainerLogs(ctx, created.ID, client.ContainerLogsOptions{ShowStdout: true, ShowStderr: true})
	if err != nil {
		return fail(err)
	}
	defer logs.Close()
	var stdout, stderr bytes.Buffer
	if _, err := stdcopy.StdCopy(&stdout, &stderr, io.LimitReader(logs, 1<<20)); err != nil {
		return fail(err)
	}
	result.Stdout, result.Stderr = strings.TrimSpace(stdout.String()), strings.TrimSpace(stderr.String())
	return result, nil
}

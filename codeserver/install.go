package codeserver

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"strings"
	"time"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/pkg/stdcopy"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/mount"
	"github.com/moby/moby/client"

	"github.com/inmanta/inmanta-docker/problem"
	"github.com/inmanta/inmanta-docker/progress"
	"github.com/inmanta/inmanta-docker/sidecar/release"
)

// installLabel marks the containers that this package makes, with the volume that
// they are for: one that a killed command left is removed by the next.
const installLabel = "com.inmanta.docker.code-server"

// Where things are in those containers.
const (
	volumeAt  = "/code-server"
	sidecarAt = "/inmanta-sidecar"
	tarballAt = "/code-server.tar.gz"
)

// cleanPatience is how long the engine may take to create or remove a container.
const cleanPatience = 30 * time.Second

// installer puts releases into one volume.
type installer struct {
	engine Engine
	wanted Wanted
	report progress.Report
}

// holds says whether the volume holds the release of a checksum, whole. Where a
// container runs it, it was whole when that started.
func (in *installer) holds(ctx context.Context, checksum string) (bool, error) {
	_, err := in.engine.VolumeInspect(ctx, in.wanted.Volume, client.VolumeInspectOptions{})
	if errdefs.IsNotFound(err) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("looking for volume %s: %w", in.wanted.Volume, err)
	}
	if in.wanted.Container != "" {
		answer, err := in.engine.ContainerStatPath(ctx, in.wanted.Container, client.ContainerStatPathOptions{Path: path.Join(in.wanted.At, release.Current)})
		if err == nil {
			// The engine says where the link leads as a path in the container.
			return path.Base(answer.Stat.LinkTarget) == checksum, nil
		}
	}
	id, remove, err := in.create(ctx, true, "code", "verify", checksum, volumeAt)
	if err != nil {
		return false, err
	}
	defer remove()
	answer, err := in.engine.ContainerStatPath(ctx, id, client.ContainerStatPathOptions{Path: path.Join(volumeAt, release.Current)})
	if errdefs.IsNotFound(err) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("looking into volume %s: %w", in.wanted.Volume, err)
	}
	if path.Base(answer.Stat.LinkTarget) != checksum {
		return false, nil
	}
	in.report(progress.Event{ID: progressID, Text: "Checking", Detail: "in volume " + in.wanted.Volume, Status: progress.Working})
	if err := in.copy(ctx, id, nil, 0); err != nil {
		return false, fmt.Errorf("looking into volume %s: %w", in.wanted.Volume, err)
	}
	code, err := in.run(ctx, id)
	if err != nil {
		return false, fmt.Errorf("looking into volume %s: %w", in.wanted.Volume, err)
	}
	return code == 0, nil
}

// create makes a container that has the volume, and what removes it again. One
// that only looks cannot change what is in it.
func (in *installer) create(ctx context.Context, look bool, command ...string) (id string, remove func(), err error) {
	if err := in.sweep(ctx); err != nil {
		return "", nil, err
	}
	// Once asked for, it is seen through: an interrupt must not leave it behind.
	creating, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanPatience)
	defer cancel()
	none := int64(512)
	created, err := in.engine.ContainerCreate(creating, client.ContainerCreateOptions{
		Config: &container.Config{
			Image: in.wanted.Image, User: "0:0", Entrypoint: []string{sidecarAt}, Cmd: command, NetworkDisabled: true,
			Labels:      map[string]string{installLabel: in.wanted.Volume},
			Healthcheck: &container.HealthConfig{Test: []string{"NONE"}},
		},
		HostConfig: &container.HostConfig{
			NetworkMode: "none", CapDrop: []string{"ALL"}, SecurityOpt: []string{"no-new-privileges"},
			Resources: container.Resources{PidsLimit: &none},
			Mounts: []mount.Mount{{
				Type: mount.TypeVolume, Source: in.wanted.Volume, Target: volumeAt, ReadOnly: look,
				VolumeOptions: &mount.VolumeOptions{NoCopy: true},
			}},
		},
	})
	if err != nil {
		return "", nil, fmt.Errorf("making a container for volume %s: %w", in.wanted.Volume, err)
	}
	return created.ID, func() { in.remove(ctx, created.ID) }, nil
}

func (in *installer) remove(ctx context.Context, id string) {
	removing, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanPatience)
	defer cancel()
	_, _ = in.engine.ContainerRemove(removing, id, client.ContainerRemoveOptions{RemoveVolumes: true, Force: true})
}

// sweep removes what earlier commands left, and no other's that are at work:
// those of this volume wait for each other.
func (in *installer) sweep(ctx context.Context) error {
	left, err := in.engine.ContainerList(ctx, client.ContainerListOptions{
		All: true, Filters: client.Filters{}.Add("label", installLabel+"="+in.wanted.Volume).Add("status", "exited", "created", "dead"),
	})
	if err != nil {
		return fmt.Errorf("listing containers: %w", err)
	}
	for _, c := range left.Items {
		if time.Since(time.Unix(c.Created, 0)) > 2*cleanPatience {
			in.remove(ctx, c.ID)
		}
	}
	return nil
}

// install has the tarball unpacked into the volume by the sidecars' binary, in a
// container that has nothing else: no network, no capability.
func (in *installer) install(ctx context.Context, tarball io.Reader, size int64, from origin) error {
	if _, err := in.engine.VolumeInspect(ctx, in.wanted.Volume, client.VolumeInspectOptions{}); errdefs.IsNotFound(err) {
		if _, err := in.engine.VolumeCreate(ctx, client.VolumeCreateOptions{
			Name: in.wanted.Volume, Driver: in.wanted.Driver, DriverOpts: in.wanted.Options, Labels: in.wanted.Labels,
		}); err != nil {
			return fmt.Errorf("making volume %s: %w", in.wanted.Volume, err)
		}
	}
	id, remove, err := in.create(ctx, false, "code", "install", tarballAt, from.checksum, volumeAt)
	if err != nil {
		return err
	}
	defer remove()
	sent := &sized{Reader: tarball, total: size, tell: func(done, total int64) {
		in.report(progress.Event{ID: progressID, Text: "Copying", Detail: "into the engine", Status: progress.Working, Current: done, Total: total})
	}}
	if err := in.copy(ctx, id, sent, size); err != nil {
		return in.refused(from, err.Error(), err)
	}
	in.report(progress.Event{ID: progressID, Text: "Unpacking", Detail: "into volume " + in.wanted.Volume, Status: progress.Working})
	code, err := in.run(ctx, id)
	if err != nil {
		return in.refused(from, err.Error(), err)
	}
	if code != 0 {
		return in.refused(from, in.said(ctx, id), nil)
	}
	return nil
}

// copy puts the sidecars' binary into a container, and a tarball if there is one.
func (in *installer) copy(ctx context.Context, id string, tarball io.Reader, size int64) error {
	sidecar, err := os.ReadFile(in.wanted.Sidecar)
	if err != nil {
		return fmt.Errorf("reading the sidecars' binary: %w", err)
	}
	reader, writer := io.Pipe()
	go func() { writer.CloseWithError(pack(writer, sidecar, tarball, size)) }()
	_, err = in.engine.CopyToContainer(ctx, id, client.CopyToContainerOptions{DestinationPath: "/", Content: reader})
	reader.CloseWithError(errors.New("the engine took no more of it"))
	return err
}

// pack writes the binary and the tarball as the engine takes files: a tar.
func pack(to io.Writer, sidecar []byte, tarball io.Reader, size int64) error {
	archive := tar.NewWriter(to)
	if err := archive.WriteHeader(&tar.Header{Name: path.Base(sidecarAt), Mode: 0o755, Size: int64(len(sidecar)), Typeflag: tar.TypeReg}); err != nil {
		return err
	}
	if _, err := archive.Write(sidecar); err != nil {
		return err
	}
	if tarball == nil {
		return archive.Close()
	}
	if err := archive.WriteHeader(&tar.Header{Name: path.Base(tarballAt), Mode: 0o644, Size: size, Typeflag: tar.TypeReg}); err != nil {
		return err
	}
	if _, err := io.Copy(archive, tarball); err != nil {
		return err
	}
	return archive.Close()
}

// run runs a container to its end.
func (in *installer) run(ctx context.Context, id string) (code int64, err error) {
	waiting := in.engine.ContainerWait(ctx, id, client.ContainerWaitOptions{Condition: container.WaitConditionNextExit})
	if _, err := in.engine.ContainerStart(ctx, id, client.ContainerStartOptions{}); err != nil {
		return 0, err
	}
	select {
	case ended := <-waiting.Result:
		return ended.StatusCode, nil
	case err := <-waiting.Error:
		return 0, err
	}
}

// said is what the container wrote, in a line.
func (in *installer) said(ctx context.Context, id string) string {
	logs, err := in.engine.ContainerLogs(ctx, id, client.ContainerLogsOptions{ShowStdout: true, ShowStderr: true})
	if err != nil {
		return err.Error()
	}
	defer logs.Close()
	var text bytes.Buffer
	_, _ = stdcopy.StdCopy(&text, &text, io.LimitReader(logs, 1<<16))
	return strings.Join(strings.Fields(text.String()), " ")
}

// refused is why it is not in the volume now, from what was said.
func (in *installer) refused(from origin, said string, err error) problem.Problem {
	p := problem.Problem{ID: "code-server-refused", Where: from.place, What: said, Fix: "set INMANTA_CODE_SERVER_TARBALL to a release of code-server for this engine", Err: err}
	mentions := func(words string) bool { return strings.Contains(said, words) }
	volume := "volume " + in.wanted.Volume
	switch {
	case mentions("read-only"):
		p.ID, p.Where = "code-server-volume-read-only", volume
		p.What = "code-server cannot be put into it: it is read-only"
		p.Fix = "see why (docker volume inspect " + in.wanted.Volume + "; the engine's own disk may be mounted read-only), or remove it, so that it is made anew: docker volume rm " + in.wanted.Volume
	case mentions("is full"), mentions("no space left"):
		p.ID, p.Where = "disk-space", volume
		p.What = "the engine's disk is full, so code-server was not put there"
		p.Fix = "make room there (docker system df shows what the engine keeps); it takes 1 GB"
	case mentions("this engine runs"):
		p.ID = "code-server-processor"
	case mentions("exec format error"):
		p.ID, p.Where = "sidecar-platform", in.wanted.Sidecar
		p.What = "the sidecars' binary is made for another processor than the engine's"
		p.Fix = "take inmanta-docker and inmanta-sidecar from the release archive for the engine's"
	}
	return p
}

package image

import (
	"bytes"
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/moby/moby/api/pkg/stdcopy"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/client"

	"github.com/inmanta/inmanta-docker/progress"
)

// patience is how long a test waits for what has to come; no test measures it.
const patience = 2 * time.Minute

// engineOf is the real engine; a test without one fails.
func engineOf(t testing.TB, options ...client.Opt) *client.Client {
	t.Helper()
	cli, err := client.New(append([]client.Opt{client.FromEnv}, options...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cli.Close() })
	if _, err := cli.Ping(t.Context(), client.PingOptions{NegotiateAPIVersion: true}); err != nil {
		t.Fatalf("this test needs a container engine (`make engine` starts one): %v", err)
	}
	return cli
}

// built are the two images as they come out of today's recipes: on a machine
// that has them by content, at once.
var built = sync.OnceValue(func() error {
	cli, err := client.New(client.FromEnv)
	if err != nil {
		return err
	}
	defer cli.Close()
	orchestrator, err := Orchestrator("")
	if err != nil {
		return err
	}
	return Build(context.Background(), cli, []Recipe{orchestrator, PostgreSQL()}, BuildOptions{}, progress.Discard)
})

// images are the names of the two images, built.
func images(t testing.TB) (orchestrator, database string) {
	t.Helper()
	engineOf(t)
	if err := built(); err != nil {
		t.Fatal(err)
	}
	usual, err := Orchestrator("")
	if err != nil {
		t.Fatal(err)
	}
	return usual.Ref(), PostgreSQL().Ref()
}

// testName is a name no other test, and nobody else on the engine, has.
func testName() string { return "image-test-" + strings.ToLower(rand.Text()[:10]) }

// volume is an empty volume that goes with the test.
func volume(t testing.TB, cli *client.Client) string {
	t.Helper()
	name := testName()
	if _, err := cli.VolumeCreate(t.Context(), client.VolumeCreateOptions{Name: name}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if _, err := cli.VolumeRemove(context.Background(), name, client.VolumeRemoveOptions{Force: true}); err != nil {
			t.Errorf("removing volume %s: %v", name, err)
		}
	})
	return name
}

// box is a container that goes with the test.
type box struct {
	t   testing.TB
	cli *client.Client
	id  string
}

// start runs a container with the privileges the deployment gives it.
func start(t testing.TB, cli *client.Client, config container.Config, binds ...string) box {
	t.Helper()
	created, err := cli.ContainerCreate(t.Context(), client.ContainerCreateOptions{
		Name:   testName(),
		Config: &config,
		HostConfig: &container.HostConfig{
			Binds:       binds,
			CapDrop:     []string{"ALL"},
			CapAdd:      []string{"CHOWN", "DAC_OVERRIDE", "FOWNER", "SETGID", "SETUID"},
			SecurityOpt: []string{"no-new-privileges:true"},
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	b := box{t, cli, created.ID}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("what container %.12s (%s) said:\n%s", b.id, config.Image, b.logs())
		}
		b.remove()
	})
	b.start()
	return b
}

func (b box) remove() {
	b.t.Helper()
	_, err := b.cli.ContainerRemove(context.Background(), b.id, client.ContainerRemoveOptions{Force: true, RemoveVolumes: true})
	if err != nil {
		b.t.Errorf("removing container %.12s: %v", b.id, err)
	}
}

func (b box) start() {
	b.t.Helper()
	if _, err := b.cli.ContainerStart(b.t.Context(), b.id, client.ContainerStartOptions{}); err != nil {
		b.t.Fatal(err)
	}
}

// kill ends it with no warning, and returns its exit code.
func (b box) kill() int64 {
	b.t.Helper()
	if _, err := b.cli.ContainerKill(b.t.Context(), b.id, client.ContainerKillOptions{Signal: "KILL"}); err != nil {
		b.t.Fatal(err)
	}
	return b.exit()
}

// stop stops it as the engine does, with all the time it may want, and returns its exit code.
func (b box) stop() int64 {
	b.t.Helper()
	seconds := int(patience.Seconds())
	if _, err := b.cli.ContainerStop(b.t.Context(), b.id, client.ContainerStopOptions{Timeout: &seconds}); err != nil {
		b.t.Fatal(err)
	}
	return b.exit()
}

// exit waits for its end and returns its exit code.
func (b box) exit() int64 {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.t.Context(), patience)
	defer cancel()
	wait := b.cli.ContainerWait(ctx, b.id, client.ContainerWaitOptions{Condition: container.WaitConditionNotRunning})
	select {
	case result := <-wait.Result:
		return result.StatusCode
	case err := <-wait.Error:
		b.t.Fatalf("waiting for container %.12s to end: %v", b.id, err)
		return -1
	}
}

// logs is all it has written, since it was created.
func (b box) logs() string {
	b.t.Helper()
	stream, err := b.cli.ContainerLogs(context.Background(), b.id, client.ContainerLogsOptions{ShowStdout: true, ShowStderr: true})
	if err != nil {
		b.t.Errorf("reading logs: %v", err)
		return ""
	}
	defer stream.Close()
	var all bytes.Buffer
	if _, err := stdcopy.StdCopy(&all, &all, stream); err != nil {
		b.t.Errorf("reading logs: %v", err)
	}
	return all.String()
}

// says waits until its logs hold a text.
func (b box) says(text string) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.t.Context(), patience)
	defer cancel()
	stream, err := b.cli.ContainerLogs(ctx, b.id, client.ContainerLogsOptions{ShowStdout: true, ShowStderr: true, Follow: true})
	if err != nil {
		b.t.Fatal(err)
	}
	defer stream.Close()
	found := fmt.Errorf("found")
	var all string
	seek := &lineWriter{take: func(line string) { all += line + "\n" }}
	look := writerFunc(func(p []byte) (int, error) {
		_, _ = seek.Write(p)
		if strings.Contains(all, text) {
			return 0, found
		}
		return len(p), nil
	})
	if _, err := stdcopy.StdCopy(look, look, stream); err == nil || !strings.Contains(all, text) {
		b.t.Fatalf("container %.12s never said %q (%v)", b.id, text, err)
	}
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

// try runs a command in it.
func (b box) try(command ...string) (output string, code int) {
	b.t.Helper()
	created, err := b.cli.ExecCreate(b.t.Context(), b.id, client.ExecCreateOptions{Cmd: command, AttachStdout: true, AttachStderr: true})
	if err != nil {
		return err.Error(), -1
	}
	attached, err := b.cli.ExecAttach(b.t.Context(), created.ID, client.ExecAttachOptions{})
	if err != nil {
		return err.Error(), -1
	}
	defer attached.Close()
	var all bytes.Buffer
	if _, err := stdcopy.StdCopy(&all, &all, attached.Reader); err != nil {
		b.t.Fatal(err)
	}
	inspected, err := b.cli.ExecInspect(b.t.Context(), created.ID, client.ExecInspectOptions{})
	if err != nil {
		b.t.Fatal(err)
	}
	return all.String(), inspected.ExitCode
}

// do runs a command in it that has to succeed, and returns its output, trimmed.
func (b box) do(command ...string) string {
	b.t.Helper()
	output, code := b.try(command...)
	if code != 0 {
		b.t.Fatalf("%q in container %.12s: exit code %d\n%s", command, b.id, code, output)
	}
	return strings.TrimSpace(output)
}

// until waits until a command in it succeeds.
func (b box) until(command ...string) {
	b.t.Helper()
	for deadline := time.Now().Add(patience); ; time.Sleep(50 * time.Millisecond) {
		output, code := b.try(command...)
		if code == 0 {
			return
		}
		if time.Now().After(deadline) || !b.runs() {
			b.t.Fatalf("%q in container %.12s still gives %d: %s", command, b.id, code, output)
		}
	}
}

func (b box) runs() bool {
	b.t.Helper()
	inspected, err := b.cli.ContainerInspect(b.t.Context(), b.id, client.ContainerInspectOptions{})
	if err != nil {
		b.t.Fatal(err)
	}
	return inspected.Container.State.Running
}

// address is its own on the engine's default network.
func (b box) address() string {
	b.t.Helper()
	inspected, err := b.cli.ContainerInspect(b.t.Context(), b.id, client.ContainerInspectOptions{})
	if err != nil {
		b.t.Fatal(err)
	}
	for _, network := range inspected.Container.NetworkSettings.Networks {
		return network.IPAddress.String()
	}
	b.t.Fatal("the container is on no network")
	return ""
}

// script runs a shell script in a container of its own and returns its output, trimmed.
func script(t testing.TB, cli *client.Client, image, user, text string, binds ...string) string {
	t.Helper()
	b := start(t, cli, container.Config{
		Image: image, User: user, Entrypoint: []string{"bash", "-euc"}, Cmd: []string{text},
		NetworkDisabled: true, // which takes the engine longer to make than most scripts run
	}, binds...)
	if code := b.exit(); code != 0 {
		t.Fatalf("exit code %d of\n%s\n%s", code, text, b.logs())
	}
	return strings.TrimSpace(b.logs())
}

// rootfs hands every file of an image to each, as its container would start with.
func rootfs(t testing.TB, cli *client.Client, image string, take func(io.Reader)) {
	t.Helper()
	created, err := cli.ContainerCreate(t.Context(), client.ContainerCreateOptions{Name: testName(), Config: &container.Config{Image: image}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(box{t, cli, created.ID}.remove)
	archive, err := cli.ContainerExport(t.Context(), created.ID, client.ContainerExportOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer archive.Close()
	take(archive)
}

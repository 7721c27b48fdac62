package engine

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/client"

	"github.com/inmanta/inmanta-docker/sidecar/volume"
)

// These tests run the sidecars' binary in containers on the engine, from an
// image that holds nothing.

// generous is how long something may take that is expected to happen.
const generous = 2 * time.Minute

// inContainer is where the sidecars' binary is.
const inContainer = "/inmanta-sidecar"

var stage struct {
	once           sync.Once
	engine         *Engine
	image, sidecar string
	err            error
}

// asClient makes this binary, in a process of its own, one that packs a volume
// and takes nothing of it, until it is killed.
const asClient = "INMANTA_ENGINE_TEST_CLIENT"

func TestMain(m *testing.M) {
	if told := os.Getenv(asClient); told != "" {
		os.Exit(beClient(strings.Split(told, "\n")))
	}
	code := m.Run()
	if stage.image != "" {
		_, _ = stage.engine.API().ImageRemove(context.Background(), stage.image, client.ImageRemoveOptions{Force: true})
	}
	if stage.sidecar != "" {
		_ = os.RemoveAll(filepath.Dir(stage.sidecar))
	}
	os.Exit(code)
}

// prepare connects to the engine, and makes the image and the binary, once.
func prepare(t *testing.T) *Engine {
	t.Helper()
	stage.once.Do(func() {
		if stage.engine, stage.err = openQuietly(); stage.err == nil {
			stage.err = stage.engine.Ping(context.Background())
		}
		if stage.err == nil {
			stage.err = makeStage()
		}
	})
	if stage.err != nil {
		t.Fatalf("this test needs a container engine: %v", stage.err)
	}
	return stage.engine
}

func openQuietly() (*Engine, error) {
	return Open(Streams{In: io.NopCloser(strings.NewReader("")), Out: io.Discard, Err: io.Discard})
}

func makeStage() error {
	folder, err := os.MkdirTemp("", "engine-test-")
	if err != nil {
		return err
	}
	stage.sidecar = filepath.Join(folder, "inmanta-sidecar")
	build := exec.Command("go", "build", "-o", stage.sidecar, "../cmd/inmanta-sidecar")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("building the sidecars' binary: %w: %s", err, out)
	}
	var archive bytes.Buffer
	w := tar.NewWriter(&archive)
	if err := errors.Join(w.WriteHeader(&tar.Header{Name: "volume/", Typeflag: tar.TypeDir, Mode: 0o755}), w.Close()); err != nil {
		return err
	}
	image := fmt.Sprintf("engine-test:%d", os.Getpid())
	imported, err := stage.engine.API().ImageImport(context.Background(),
		client.ImageImportSource{Source: &archive, SourceName: "-"}, image, client.ImageImportOptions{})
	if err != nil {
		return err
	}
	defer imported.Close()
	if _, err := io.Copy(io.Discard, imported); err != nil {
		return err
	}
	stage.image = image
	return nil
}

// newVolume is a volume of this test's.
func newVolume(t *testing.T, e *Engine) string {
	t.Helper()
	name := "engine-test-" + strings.ToLower(rand.Text()[:8])
	if _, err := e.API().VolumeCreate(t.Context(), client.VolumeCreateOptions{Name: name}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		// Nothing of what ran may still have it.
		if _, err := e.API().VolumeRemove(context.Background(), name, client.VolumeRemoveOptions{}); err != nil {
			t.Error(err)
		}
	})
	return name
}

// What packing takes, and unpacking: root's rights to other users' files.
var (
	reading = []string{"DAC_READ_SEARCH"}
	writing = []string{"CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "SETFCAP"}
)

// onVolume is a run of the sidecars' binary on a volume.
func onVolume(project, name string, writable bool, words ...string) Once {
	o := Once{
		Image: stage.image, Command: append([]string{inContainer}, words...), Project: project,
		Files: map[string]string{stage.sidecar: inContainer}, Volumes: map[string]string{name: "/volume"}, Capabilities: reading,
	}
	if writable {
		o.Volumes, o.Writable, o.Capabilities = nil, o.Volumes, writing
	}
	return o
}

// tree is the stream of a folder with something of everything in it.
func tree(t *testing.T) []byte {
	t.Helper()
	top := t.TempDir()
	big := make([]byte, 5<<20)
	_, _ = rand.Read(big)
	for _, err := range []error{
		os.MkdirAll(filepath.Join(top, "server/env/bin"), 0o750),
		os.WriteFile(filepath.Join(top, "server/env/big"), big, 0o600),
		os.WriteFile(filepath.Join(top, "server/env/bin/python"), []byte("#!"), 0o4755),
		os.Chmod(filepath.Join(top, "server/env/bin/python"), 0o755|os.ModeSetuid),
		os.Symlink("/usr/bin/python3", filepath.Join(top, "server/env/bin/python3")),
		os.Link(filepath.Join(top, "server/env/big"), filepath.Join(top, "other name")),
		os.Chmod(top, 0o770|os.ModeSetgid),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	for n := range 2000 {
		if err := os.WriteFile(filepath.Join(top, "server", fmt.Sprint(n)), fmt.Append(nil, n), 0o640); err != nil {
			t.Fatal(err)
		}
	}
	var stream bytes.Buffer
	if _, err := volume.Pack(top, nil, &stream); err != nil {
		t.Fatal(err)
	}
	return stream.Bytes()
}

// stream runs it, and expects that it ends well.
func stream(t *testing.T, e *Engine, o Once, in io.Reader) string {
	t.Helper()
	var out strings.Builder
	result, err := e.StreamOnce(t.Context(), o, in, &out)
	if err != nil || result.ExitCode != 0 {
		t.Fatalf("%v: %+v, %v", o.Command, result, err)
	}
	return out.String()
}

// noneLeft says that no container of a project is left, whatever its state.
func noneLeft(t *testing.T, e *Engine, project string) {
	t.Helper()
	if left := containersOf(t, e, project); len(left) > 0 {
		t.Errorf("%v is left", left)
	}
}

func containersOf(t *testing.T, e *Engine, project string) []container.Summary {
	t.Helper()
	found, err := e.API().ContainerList(context.Background(), client.ContainerListOptions{
		All: true, Filters: client.Filters{}.Add("label", onceLabel+"="+project),
	})
	if err != nil {
		t.Fatal(err)
	}
	return found.Items
}

// A volume goes through the engine, in and out, byte by byte; with as few
// capabilities as there are.
func TestVolumesThroughTheEngine(t *testing.T) {
	t.Parallel()
	e := prepare(t)
	name, want, project := newVolume(t, e), tree(t), t.Name()
	stream(t, e, onVolume(project, name, true, "volume", "unpack", "/volume", "--uid-from", "0", "--uid-to", "997"), bytes.NewReader(want))
	noneLeft(t, e, project)
	stream(t, e, onVolume(project, name, true, "volume", "swap", "/volume"), nil)
	if got := stream(t, e, onVolume(project, name, true, "volume", "state", "/volume"), nil); got != "{\"phase\":\"swapped\"}\n" {
		t.Errorf("its state is %q", got)
	}
	// Back to root, and all is as it was.
	first := stream(t, e, onVolume(project, name, false, "attached", "volume", "pack", "/volume"), nil)
	other := newVolume(t, e)
	stream(t, e, onVolume(project, other, true, "volume", "unpack", "/volume", "--uid-from", "0", "--uid-to", "0"), strings.NewReader(first))
	stream(t, e, onVolume(project, other, true, "volume", "swap", "/volume"), nil)
	second := stream(t, e, onVolume(project, other, false, "attached", "volume", "pack", "/volume"), nil)
	if a, b := entriesOf(t, first), entriesOf(t, second); a != b || !strings.Contains(a, "server/env/bin/python  2 4755 997") {
		t.Errorf("it was\n%s\nand is\n%s", a, b)
	}
	if !strings.Contains(stream(t, e, onVolume(project, other, false, "volume", "room", "/volume"), nil), `"files":2007`) {
		t.Error("not everything is there")
	}
	noneLeft(t, e, project)
}

// entriesOf are the entries of a stream but the volume's own folder, whose time
// is when things were moved into it.
func entriesOf(t *testing.T, stream string) string {
	t.Helper()
	text, err := zstd.NewReader(strings.NewReader(stream))
	if err != nil {
		t.Fatal(err)
	}
	defer text.Close()
	var lines strings.Builder
	for archive := tar.NewReader(text); ; {
		h, err := archive.Next()
		if errors.Is(err, io.EOF) {
			return lines.String()
		}
		sum := sha256.New()
		if err == nil {
			_, err = io.Copy(sum, archive)
		}
		if err != nil {
			t.Fatal(err)
		}
		if h.Name != "./" {
			fmt.Fprintln(&lines, h.Name, h.Linkname, h.Size, fmt.Sprintf("%o", h.Mode), h.Uid, h.Gid, h.ModTime.UTC(), hex.EncodeToString(sum.Sum(nil)))
		}
	}
}

// What may only be looked at cannot be changed, and that is said; and nothing of
// what it says is lost.
func TestWhatFailsInAContainer(t *testing.T) {
	t.Parallel()
	e := prepare(t)
	name, project := newVolume(t, e), t.Name()
	readOnly := onVolume(project, name, false, "volume", "unpack", "/volume")
	readOnly.Capabilities = writing
	for _, c := range []struct {
		o    Once
		in   io.Reader
		says string
	}{
		{readOnly, bytes.NewReader(nil), "read-only file system"},
		{onVolume(project, name, true, "volume", "unpack", "/volume"), strings.NewReader("<html>"), "the stream is damaged"},
		{onVolume(project, name, true, "volume", "unpack", "/volume"), bytes.NewReader(tree(t)[:1<<20]), "the stream is cut short"},
		{onVolume(project, name, true, "volume", "unpack", "/volume"), strings.NewReader(""), "the stream is empty"},
		{onVolume(project, name, false, "volume", "swap", "/volume"), nil, "nothing whole to exchange"},
	} {
		result, err := e.StreamOnce(t.Context(), c.o, c.in, io.Discard)
		if err != nil || result.ExitCode != 1 || !strings.Contains(result.Stderr, c.says) {
			t.Errorf("%v: %+v, %v, want %q", c.o.Command, result, err, c.says)
		}
	}
	missing := onVolume(project, name, false, "volume")
	missing.Command = []string{"/missing"}
	if result, err := e.RunOnce(t.Context(), missing); err == nil {
		t.Errorf("a program that there is not: %+v", result)
	}
	result, err := e.RunOnce(t.Context(), onVolume(project, name, false, "version"))
	if err != nil || result != (Result{Stdout: "dev"}) {
		t.Errorf("a version: %+v, %v", result, err)
	}
	noneLeft(t, e, project)
}

// What cannot be read on is not taken for all there is.
func TestInputThatFails(t *testing.T) {
	t.Parallel()
	e := prepare(t)
	name, project := newVolume(t, e), t.Name()
	broken := errors.New("the other end is gone")
	in := io.MultiReader(bytes.NewReader(tree(t)[:1<<20]), failing{broken})
	if result, err := e.StreamOnce(t.Context(), onVolume(project, name, true, "volume", "unpack", "/volume"), in, io.Discard); !errors.Is(err, broken) {
		t.Errorf("%+v, %v", result, err)
	}
	noneLeft(t, e, project)
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error)  { return 0, f.err }
func (f failing) Write([]byte) (int, error) { return 0, f.err }

// Who does not want it any more does not wait for it, and nothing is left of it.
func TestContainersEndWithTheirContext(t *testing.T) {
	t.Parallel()
	e := prepare(t)
	name, project := newVolume(t, e), t.Name()
	ctx, cancel := context.WithCancel(t.Context())
	never, stop := io.Pipe()
	defer stop.Close()
	go func() {
		_, _ = stop.Write([]byte("it has begun to read"))
		cancel()
	}()
	if result, err := e.StreamOnce(ctx, onVolume(project, name, true, "volume", "unpack", "/volume"), never, io.Discard); !errors.Is(err, context.Canceled) {
		t.Errorf("%+v, %v", result, err)
	}
	full := errors.New("no room")
	if result, err := e.StreamOnce(t.Context(), onVolume(project, name, false, "attached", "volume", "pack", "/volume"), nil, failing{full}); !errors.Is(err, full) {
		t.Errorf("output that nobody takes: %+v, %v", result, err)
	}
	noneLeft(t, e, project)
}

// beClient has the sidecars' binary run in a container, and takes nothing of
// what it prints, nor ends its input.
func beClient(told []string) int {
	project, image, sidecar, name := told[0], told[1], told[2], told[3]
	stage.image, stage.sidecar = image, sidecar
	e, err := openQuietly()
	if err != nil {
		return 1
	}
	never, _ := io.Pipe()
	var in io.Reader = never
	words := told[4:]
	if words[0] == "attached" {
		in = nil
	}
	_, _ = e.StreamOnce(context.Background(), onVolume(project, name, true, words...), in, stuck{})
	return 1
}

type stuck struct{}

func (stuck) Write([]byte) (int, error) { select {} }

// A process that is killed leaves containers that end by themselves, and are
// removed then.
func TestClientsThatAreKilled(t *testing.T) {
	t.Parallel()
	e := prepare(t)
	for what, words := range map[string][]string{
		"packing":   {"attached", "volume", "pack", "/volume"},
		"unpacking": {"volume", "unpack", "/volume"},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			name, project := newVolume(t, e), t.Name()
			stream(t, e, onVolume(project, name, true, "volume", "unpack", "/volume"), bytes.NewReader(tree(t)))
			stream(t, e, onVolume(project, name, true, "volume", "swap", "/volume"), nil)
			stream(t, e, onVolume(project, name, true, "volume", "discard", "/volume"), nil)
			one := exec.Command(os.Args[0])
			one.Env = append(os.Environ(), asClient+"="+strings.Join(append([]string{project, stage.image, stage.sidecar, name}, words...), "\n"))
			if err := one.Start(); err != nil {
				t.Fatal(err)
			}
			until(t, "it runs", func() bool {
				found := containersOf(t, e, project)
				return len(found) == 1 && found[0].State == container.StateRunning
			})
			_ = one.Process.Kill()
			_ = one.Wait()
			until(t, "it is gone", func() bool { return len(containersOf(t, e, project)) == 0 })
		})
	}
}

// until waits until it is so.
func until(t *testing.T, what string, so func() bool) {
	t.Helper()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(generous); !so(); <-tick.C {
		if time.Now().After(end) {
			t.Fatalf("in vain it was waited until %s", what)
		}
	}
}

// How what is kept has ended is known until it is removed; what failed has done nothing.
func TestAccomplished(t *testing.T) {
	t.Parallel()
	e := prepare(t)
	name, project := newVolume(t, e), t.Name()
	run := func(words ...string) {
		once := onVolume(project, name, true, words...)
		once.Kept = true
		made, err := e.API().ContainerCreate(t.Context(), once.options())
		if err == nil {
			_, err = e.API().ContainerStart(t.Context(), made.ID, client.ContainerStartOptions{})
		}
		if err != nil {
			t.Fatal(err)
		}
		until(t, "it has ended", func() bool {
			inspected, err := e.API().ContainerInspect(t.Context(), made.ID, client.ContainerInspectOptions{})
			return err == nil && inspected.Container.State.Status == container.StateExited
		})
	}
	is := func(when string, want bool) {
		t.Helper()
		if got, err := e.Accomplished(t.Context(), project, "volume"); err != nil || got != want {
			t.Errorf("%s: %t, %v", when, got, err)
		}
	}
	is("of nothing", false)
	run("volume", "room", "/nowhere")
	is("of one that failed", false)
	run("volume", "room", "/volume")
	is("of one that did", true)
	if n, err := e.RemoveAbandoned(t.Context(), project); err != nil || n != 2 {
		t.Errorf("%d were removed, %v", n, err)
	}
	is("when it is removed", false)
}

// What a killed process has left is removed by the next one, whether it was never
// started or goes on; that of other deployments is not.
func TestRemoveAbandoned(t *testing.T) {
	t.Parallel()
	e := prepare(t)
	name, project, other := newVolume(t, e), t.Name(), t.Name()+"-other"
	make := func(project string, start bool) {
		made, err := e.API().ContainerCreate(t.Context(), onVolume(project, name, false, "attached", "ssh").options())
		if err == nil && start {
			_, err = e.API().ContainerStart(t.Context(), made.ID, client.ContainerStartOptions{})
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	make(project, false)
	make(other, false)
	// It waits for input that nobody will send or end.
	made, err := e.API().ContainerCreate(t.Context(), onVolume(project, name, true, "volume", "unpack", "/volume").options())
	if err == nil {
		_, err = e.API().ContainerStart(t.Context(), made.ID, client.ContainerStartOptions{})
	}
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []int{2, 0} {
		if n, err := e.RemoveAbandoned(t.Context(), project); err != nil || n != want {
			t.Errorf("%d were removed, %v, want %d", n, err, want)
		}
	}
	noneLeft(t, e, project)
	if n, err := e.RemoveAbandoned(t.Context(), other); err != nil || n != 1 {
		t.Errorf("of the other %d were removed, %v", n, err)
	}
}

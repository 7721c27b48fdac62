package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"
)

// memory is an overlay that has volumes in memory, mounted with options of
// tmpfs(5): the engine's own disk is not to be filled or locked by a test. It
// holds what is in them for as long as a container has them.
func (e *codeSidecar) memory(options string, volumes ...string) {
	e.t.Helper()
	var text strings.Builder
	text.WriteString("volumes:\n")
	for _, volume := range volumes {
		text.WriteString("  " + volume + ": {driver_opts: {type: tmpfs, device: tmpfs, o: '" + options + "'}}\n")
	}
	e.write("memory.yml", text.String())
	e.set("COMPOSE_FILE", "docker-compose.yml:docker-compose.code.yml:memory.yml")
}

// TestCodeVolumes is volumes that nothing can be written to.
func TestCodeVolumes(t *testing.T) {
	t.Parallel()
	e := &codeSidecar{stack: newStack(t), codePort: freePort(t)}
	e.must("init", e.dir)
	e.set("INMANTA_CODE_SERVER_PORT", fmt.Sprint(e.codePort))
	if !e.takesCodeServer() {
		return
	}
	volume := e.name + "_inmanta-code-server"
	for options, says := range map[string][]string{
		"ro":       {volume, "it is read-only", "docker volume rm " + volume},
		"size=20m": {volume, "disk is full", "make room"},
	} {
		e.docker("volume", "rm", volume)
		e.memory(options, "inmanta-code-server")
		e.fails(1, says, "image", "ensure")
		e.fails(1, says, "up")
		if got := e.containers(); len(got) != 0 {
			t.Errorf("with %s for a volume, up left %v", options, got)
		}
	}
	e.docker("volume", "rm", volume)

	// The volume for settings: with nothing to write to, nobody is served, and it
	// says why.
	e.memory("ro", "inmanta-code-data")
	e.fails(1, []string{"the volume for the editor's settings (inmanta-code-data) is read-only"}, "up")
	e.must("down")
	e.docker("volume", "rm", e.name+"_inmanta-code-data")

	// Full, it serves, since there is something to look at, and is not healthy.
	e.memory("size=16m", "inmanta-code-data")
	e.must("up")
	e.docker("run", "-d", "--rm", "--network=none", "--name", e.name+"-holds", "-v", e.name+"_inmanta-code-data:/v", "--entrypoint", "sleep", orchestratorImage(), "infinity")
	t.Cleanup(func() { _ = exec.Command("docker", "rm", "-f", e.name+"-holds").Run() })
	e.docker("exec", "-u", "inmanta", e.container(), "bash", "-c", "cat /dev/zero > /var/lib/inmanta-code/home/filled; true")
	const full = "the volume for the editor's settings (inmanta-code-data) is full"
	e.ends(1, "docker exec "+e.container()+" inmanta-sidecar code health", full, "until there is room again")
	e.eventually("it is not healthy", func() bool {
		return e.docker("inspect", "-f", "{{.State.Health.Status}}", e.container()) == "unhealthy"
	})
	e.fails(3, []string{"code-sidecar is unhealthy"}, "status")
	e.fails(1, []string{full}, "code")
	e.serving()
	since := time.Now().UTC().Format(time.RFC3339Nano)
	e.docker("restart", e.container())
	e.serving()
	if log := e.docker("logs", "--since", since, e.container()); !strings.Contains(log, full) {
		t.Errorf("the log does not say that it is full:\n%s", log)
	}
	e.docker("exec", "-u", "inmanta", e.container(), "rm", "/var/lib/inmanta-code/home/filled")
	e.docker("exec", e.container(), "inmanta-sidecar", "code", "health")
}

// foreignNode is the head of a program for the other processor, which is all
// that a release is refused by.
func foreignNode() string {
	head := make([]byte, 64)
	copy(head, "\x7fELF\x02\x01\x01")
	head[16], head[18], head[20] = 2, map[string]byte{"amd64": 183, "arm64": 62}[runtime.GOARCH], 1
	head[52], head[54], head[58] = 64, 56, 64
	return string(head)
}

// TestCodeOfAnotherProcessor is a release that is whole, and for another machine.
func TestCodeOfAnotherProcessor(t *testing.T) {
	t.Parallel()
	e := &codeSidecar{stack: newStack(t), codePort: freePort(t)}
	e.must("init", e.dir)
	e.set("INMANTA_CODE_SERVER_PORT", fmt.Sprint(e.codePort))
	if !e.takesCodeServer() {
		return
	}
	e.set("COMPOSE_FILE", "docker-compose.yml:docker-compose.code.yml")
	e.write("release/code-server/package.json", `{"name":"code-server","version":"1.2.3"}`)
	e.write("release/code-server/out/node/entry.js", "start()")
	e.write("release/code-server/lib/node", foreignNode())
	if err := os.Chmod(filepath.Join(e.dir, "release/code-server/lib/node"), 0o755); err != nil {
		t.Fatal(err)
	}
	e.ok("tar -czf foreign.tar.gz -C release code-server")
	e.set("INMANTA_CODE_SERVER_TARBALL", "./foreign.tar.gz")
	e.set("INMANTA_CODE_SERVER_SHA256", e.ok("sha256sum foreign.tar.gz")[:64])
	other := map[string]string{"amd64": "arm64", "arm64": "amd64"}[runtime.GOARCH]
	volume := e.name + "_inmanta-code-server"
	held := func() string {
		return e.docker("run", "--rm", "--network=none", "-v", volume+":/v:ro", "--entrypoint", "bash", orchestratorImage(), "-c", "cd /v && readlink current && ls")
	}
	before := held()
	for _, verb := range [][]string{{"image", "ensure"}, {"up"}} {
		e.fails(1, []string{"is for " + other, "this engine runs " + runtime.GOARCH, "INMANTA_CODE_SERVER_TARBALL"}, verb...)
	}
	if after := held(); after != before {
		t.Errorf("the volume held\n%s\nand holds\n%s", before, after)
	}
	if got := e.containers(); len(got) != 0 {
		t.Errorf("the refused one left %v", got)
	}
}

package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/inmanta/inmanta-docker/sidecar/initrecord"
)

// It runs when there is something to do, and only then.
func TestInitRunsOnNews(t *testing.T) {
	t.Parallel()
	m := newModule(t, tested(passes))
	r := newInitRun(t, m).keep()
	all := []initrecord.Phase{
		initrecord.PhaseRepository, initrecord.PhaseClone, initrecord.PhaseEnvironment, initrecord.PhaseInstall, initrecord.PhaseOrchestrator, initrecord.PhaseTests,
	}
	if e := r.run().is(initrecord.CodeDone, "initialised with", "1 passed"); !slices.Equal(e.phases(), all) {
		t.Errorf("the phases are %v", e.phases())
	}
	first := r.record()
	if want := m.git("-C", m.dir, "rev-parse", "HEAD"); first.Commit != want || first.Result != initrecord.ResultDone || first.Seconds <= 0 || first.Orchestrator == "" || first.Tests.Passed != 1 {
		t.Errorf("the record is %+v", first)
	}
	if e := r.run().is(initrecord.CodeDone, "nothing to do"); len(e.phases()) != 2 {
		t.Errorf("with nothing to do the phases are %v", e.phases())
	}
	if again := r.record(); !again.Started.Equal(first.Started) {
		t.Errorf("with nothing to do the record becomes %+v", again)
	}

	// What the repository cannot be asked about does not undo anything.
	url := r.env["INMANTA_MODULE_REPO_URL"]
	r.env["INMANTA_MODULE_REPO_BRANCH"] = "gone"
	r.run().is(initrecord.CodeBranch)
	delete(r.env, "INMANTA_MODULE_REPO_BRANCH")
	r.run().is(initrecord.CodeDone, "nothing to do")

	commit := m.commit(map[string]string{"tests/test_more.py": passes})
	r.run().is(initrecord.CodeDone, "initialised with "+commit[:10], "2 passed")
	r.env["INMANTA_PYTEST_ARGUMENTS"] = "'tests/test_more.py'"
	r.run().is(initrecord.CodeDone, "1 passed")
	again := exec.Command("docker", "run", "--rm", "-v", r.name+"-state:/state", "--entrypoint", "touch", orchestratorImage(), "/state/again")
	if out, err := again.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	r.run().is(initrecord.CodeDone, "1 passed")
	r.run().is(initrecord.CodeDone, "nothing to do")
	if r.env["INMANTA_MODULE_REPO_URL"] != url {
		t.Fatal("the scenario has lost its repository")
	}
}

// What runs is the user inmanta's, without a capability, and sees neither the
// token nor the key; what pytest-inmanta-lsm runs works without ssh, sudo and
// rsync of the image's.
const confinedTest = `
import os, pathlib, re, shlex, subprocess, sys

def status(pid):
    return dict(l.split(":\t", 1) for l in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines() if ":\t" in l)

def test_nobody_in_particular():
    me = status("self")
    assert me["Uid"].split() == ["997"] * 4 and me["Gid"].split() == ["995"] * 4
    assert all(int(me[s], 16) == 0 for s in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"))
    assert me["NoNewPrivs"] == "1"

def test_sidecar_is_closed():
    assert int(status(1)["CapEff"], 16) == 0
    for what in ("environ", "mem", "fd"):
        try:
            path = pathlib.Path("/proc/1") / what
            list(path.iterdir()) if what == "fd" else path.read_bytes()
            raise AssertionError(what)
        except PermissionError:
            pass

def test_secrets_are_gone():
    try:
        pathlib.Path("/run/secrets/inmanta-module-repo-token").read_text()
        raise AssertionError("the token can be read")
    except PermissionError:
        pass
    secret = "hunter" + "22"
    assert secret not in str(os.environ)
    for root in ("/var/lib/inmanta", "/var/lib/inmanta-init", "/var/cache/inmanta-init"):
        for path in pathlib.Path(root).rglob("*"):
            assert not path.is_socket(), path
            if path.is_file() and path.stat().st_size < 1 << 20:
                assert secret.encode() not in path.read_bytes(), path

def remote(script):
    shell = shlex.split(os.environ["INMANTA_LSM_REMOTE_SHELL"])
    done = subprocess.run([*shell, os.environ["INMANTA_LSM_REMOTE_HOST"], "sh"], input=script, text=True, check=True, capture_output=True)
    return done.stdout.strip()

def test_remote_shell():
    assert remote("whoami") == "inmanta"
    assert remote(shlex.join(["bash", "-l", "-c", "echo $INMANTA_LSM_HOST; echo ${VIRTUAL_ENV:-none}"])).splitlines()[-1] == "none"
    assert "/env/bin" not in remote("echo $PATH")
    assert remote("/opt/inmanta/bin/python -c 'import inmanta; print(1)'") == "1"

def test_rsync(tmp_path):
    (tmp_path / "from/libs/x").mkdir(parents=True)
    (tmp_path / "from/main.cf").write_text("import std")
    (tmp_path / "from/.git").mkdir()
    to = "/var/lib/inmanta/server/e/compiler"
    remote(f"mkdir -p {to} && touch {to}/stale")
    subprocess.run(["rsync", "--exclude=.git", "--exclude=libs", "--delete", "-e", os.environ["INMANTA_LSM_REMOTE_SHELL"],
                    "-rl", f"{tmp_path}/from/", os.environ["INMANTA_LSM_REMOTE_HOST"] + f":{to}/"], check=True)
    assert remote(f"cd {to} && find . | sort") == ".\n./main.cf"
    remote(shlex.join(["bash", "-l", "-c", f"mkdir -p {to}_cache && rsync -r --delete {to}/ {to}_cache/ && test -f {to}_cache/main.cf"]))

def test_orchestrators_packages_stay():
    import inmanta, pip
    assert inmanta.__file__.startswith("/opt/inmanta/") and sys.prefix == os.environ["VIRTUAL_ENV"]
    assert os.environ["HOME"].startswith("/var/lib/inmanta-init/")
`

func TestInitIsConfined(t *testing.T) {
	t.Parallel()
	m := newModule(t, tested(confinedTest))
	r := newInitRun(t, m).keep()
	url, authority := overTLS(t, m, "hunter22")
	r.env["INMANTA_MODULE_REPO_URL"] = url
	r.mounts = append(r.mounts, "-v", authority+":/etc/inmanta-sidecar/ca-bundle.pem:ro")
	r.secrets["inmanta-module-repo-token"] = "hunter22\n"
	// Kept for once, to be inspected.
	command := slices.DeleteFunc(r.command(r.name), func(a string) bool { return a == "--rm" })
	out, err := exec.Command("docker", command...).CombinedOutput()
	r.over(out, err).is(initrecord.CodeDone, "6 passed")
	if strings.Contains(inspectable(t, r.name), "hunter22") {
		t.Error("the token is in docker inspect, or in the log")
	}
}

// A private repository over ssh, of a host that is known.
func TestInitOverSSH(t *testing.T) {
	t.Parallel()
	m := newModule(t, tested(passes))
	r := newInitRun(t, m)
	s := newSSHHost(t, m)
	r.env["INMANTA_MODULE_REPO_URL"] = s.url()
	r.secrets["inmanta-module-repo-ssh-key"], r.secrets["inmanta-module-repo-known-hosts"] = s.clientKey, s.known
	e := r.run().is(initrecord.CodeDone, "1 passed")
	if line := strings.Split(s.clientKey, "\n")[1]; strings.Contains(e.log, line) {
		t.Error("the key is in the log")
	}
}

// blocks is a test that says that it runs, and does not end by itself. It leaves
// what cannot be removed just so.
const blocks = `
import pathlib, time

def test_blocks():
    cache = pathlib.Path.home() / "cache"
    (cache / "file").mkdir(parents=True)
    cache.chmod(0o500)
    pathlib.Path("/var/lib/inmanta-init/blocked").touch()
    while not pathlib.Path("/var/lib/inmanta-init/free").exists():
        time.sleep(0.05)
`

// started starts the run, and returns once its test is at work.
func (r *initRun) started(name string) *exec.Cmd {
	r.t.Helper()
	container := exec.Command("docker", r.command(name)...)
	if err := container.Start(); err != nil {
		r.t.Fatal(err)
	}
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(100 * time.Millisecond) {
		if exec.Command("docker", "exec", name, "test", "-e", "/var/lib/inmanta-init/blocked").Run() == nil {
			return container
		}
		if time.Now().After(deadline) {
			r.t.Fatal("the test does not begin")
		}
	}
}

// Two runs do not go on at a time; one that is killed half-way leaves nothing in
// the way of the next; and one that is told to stop does.
func TestInitInterrupted(t *testing.T) {
	t.Parallel()
	m := newModule(t, tested(blocks))
	r := newInitRun(t, m).keep()
	orchestrator := r.name + "-orchestrator"
	remove := func() { _ = exec.Command("docker", "volume", "rm", "-f", orchestrator).Run() }
	remove()
	t.Cleanup(func() { r.remove(); remove() })
	r.mounts = append(r.mounts, "-v", orchestrator+":/var/lib/inmanta")

	first := r.started(r.name)
	other := *r
	other.name += "-other"
	t.Cleanup(other.remove)
	other.run().is(initrecord.CodeLocked, "another run is at work", "since")

	// kill -9, half-way through the tests.
	if out, err := exec.Command("docker", "kill", r.name).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	_ = first.Wait()
	if got := r.record(); got.Result != initrecord.ResultRunning {
		t.Errorf("after a kill the record is %+v", got)
	}
	state := func(script string) {
		t.Helper()
		if out, err := exec.Command("docker", "run", "--rm", "-v", r.name+"-state:/state", "--entrypoint", "sh", orchestratorImage(), "-c", script).CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
	}
	state("rm /state/blocked; test -d /state/work/hello")

	stopped := r.started(r.name)
	began := time.Now()
	if out, err := exec.Command("docker", "stop", "-t", "15", r.name).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	_ = stopped.Wait()
	if code := stopped.ProcessState.ExitCode(); code != int(initrecord.CodeStopped) || time.Since(began) > 12*time.Second {
		t.Errorf("told to stop, it ended with %d after %s", code, time.Since(began))
	}
	if got := r.record(); got.Result != initrecord.ResultStopped || got.Code != initrecord.CodeStopped {
		t.Errorf("after a stop the record is %+v", got)
	}
	state("touch /state/free")
	r.run().is(initrecord.CodeDone, "1 passed")
}

// A run downloads once: what is in its cache is there for the next.
func TestInitCachesDownloads(t *testing.T) {
	t.Parallel()
	m := newModule(t, tested(passes))
	r := newInitRun(t, m)
	r.env["INMANTA_MODULE_REPO_URL"] = "http://" + serving(t, m.smartHTTP("")) + "/hello.git"
	folder, err := wheels()
	if err != nil {
		t.Fatal(err)
	}
	index := newIndex(t, folder)
	r.env["PIP_INDEX_URL"] = "http://" + index.address + "/simple"
	r.env["PIP_TRUSTED_HOST"] = host(t)
	cache := r.name + "-cache"
	remove := func() { _ = exec.Command("docker", "volume", "rm", "-f", cache).Run() }
	remove()
	t.Cleanup(func() { r.remove(); remove() })
	r.mounts = []string{"-v", cache + ":/var/cache/inmanta-init"}
	r.run().is(initrecord.CodeDone, "1 passed")
	fetched := index.fetched()
	if len(fetched) == 0 {
		t.Fatal("nothing came from the index")
	}
	r.run().is(initrecord.CodeDone, "1 passed")
	if more := index.fetched()[len(fetched):]; len(more) > 0 {
		t.Errorf("the second run fetches %v again", more)
	}
}

// signpost is the module of these tests, for a real orchestrator, with the files
// of further folders beside it in place of its own.
func signpost(t *testing.T, further ...string) map[string]string {
	t.Helper()
	files := map[string]string{}
	for _, name := range append([]string{"signpost"}, further...) {
		root := filepath.Join("testdata", "init", name)
		err := filepath.WalkDir(root, func(path string, at os.DirEntry, err error) error {
			if err != nil || at.IsDir() {
				return err
			}
			text, err := os.ReadFile(path)
			name, _ := filepath.Rel(root, path)
			files[name] = string(text)
			return err
		})
		if err != nil {
			t.Fatalf("reading the module: %v", err)
		}
	}
	return files
}

// gitServer is an overlay with a git server in a container, beside the others.
func gitServer(m *module) string {
	return fmt.Sprintf(`services:
  git:
    image: %s
    container_name: "${INMANTA_NAME}-git"
    user: "0:0"
    entrypoint: [git, -c, safe.directory=*, daemon, --export-all, --reuseaddr, --base-path=/srv/git]
    healthcheck: {disable: true}
    volumes:
      - {type: bind, source: %s, target: /srv/git, read_only: true}
  init:
    depends_on: [git]
`, orchestratorImage(), filepath.Dir(m.bare))
}

package rsync

import (
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// statistic is a number that --stats shows.
func statistic(t *testing.T, output, name string) int {
	t.Helper()
	_, after, found := strings.Cut(output, name+": ")
	if !found {
		t.Fatalf("no %q in\n%s", name, output)
	}
	digits := strings.ReplaceAll(after[:strings.IndexAny(after+" ", " \n")], ",", "")
	number, err := strconv.Atoi(digits)
	if err != nil {
		t.Fatal(err)
	}
	return number
}

func TestLittleChangesAreLittleTraffic(t *testing.T) {
	t.Parallel()
	for _, way := range []string{"push", "pull"} {
		for _, options := range []string{"-a", "-az", "-a --inplace", "-a --protocol=29"} {
			top := t.TempDir()
			old := noise(11, 4<<20)
			changed := append(append(append([]byte(nil), old[:1<<20]...), "inserted"...), old[1<<20:]...)
			changed[3<<20] ^= 1
			must(t, os.Mkdir(filepath.Join(top, "src"), 0o755))
			must(t, os.Mkdir(filepath.Join(top, "dst"), 0o755))
			must(t, os.WriteFile(filepath.Join(top, "src/f"), changed, 0o644))
			must(t, os.WriteFile(filepath.Join(top, "dst/f"), old, 0o644))
			must(t, os.Chtimes(filepath.Join(top, "dst/f"), time.Unix(1, 0), time.Unix(1, 0)))
			from, to := "src/", "host:dst/"
			if way == "pull" {
				from, to = "host:src/", "dst/"
			}
			args := append(strings.Fields(options), "--stats", from, to)
			got := transfer(t, top, ours(t), args...)
			data, err := os.ReadFile(filepath.Join(top, "dst/f"))
			if err != nil || string(data) != string(changed) || got.code != 0 {
				t.Errorf("%s %s: another file, %v, exit code %d\n%s", way, options, err, got.code, got.stderr)
			}
			literal, traffic := statistic(t, got.stdout, "Literal data"), statistic(t, got.stdout, "Total bytes sent")+statistic(t, got.stdout, "Total bytes received")
			// In place, what comes after the insertion is overwritten by then.
			most := 10_000
			if options == "-a --inplace" {
				most = 4 << 20
			}
			if literal > most || most < 1<<20 && traffic > 60_000 {
				t.Errorf("%s %s: %d bytes of new data, %d in all", way, options, literal, traffic)
			}
			again := transfer(t, top, ours(t), args...)
			if n := statistic(t, again.stdout, "Number of regular files transferred"); n != 0 || again.code != 0 {
				t.Errorf("%s %s: the second time %d files are transferred\n%s", way, options, n, again.stderr)
			}
		}
	}
}

// What pytest-inmanta-lsm runs, word for word but for the paths: a project is
// sent, its libraries are put aside on the other machine and brought back.
func TestOrchestratorTestsOfInmanta(t *testing.T) {
	t.Parallel()
	top := world(t)
	shell := fakeShell(t)
	project := filepath.Join(top, "src")
	for _, remote := range []string{"project", "project/libs/mod"} {
		must(t, os.MkdirAll(filepath.Join(top, remote), 0o755))
	}
	must(t, os.MkdirAll(filepath.Join(top, "project/libs/old"), 0o755))
	must(t, os.WriteFile(filepath.Join(top, "project/gone.cf"), nil, 0o600))
	must(t, os.MkdirAll(filepath.Join(top, "project/env/kept"), 0o755))
	send := func() ran {
		return command(t, top, client(t), "--filter=:- "+project+"/.gitignore", "--exclude=.git",
			"--exclude=.env", "--exclude=env", "--exclude=.cfcache", "--exclude=__pycache__", "--exclude=.env-py*", "--exclude=libs",
			"--delete", "-e", shell, "--rsync-path="+ours(t), "-rl", project+"/", "host:"+top+"/project/")
	}
	got := send()
	// One file of the test world is in the way of a directory and the other
	// way round; here the destination is empty of both.
	if got.code != 0 || got.stderr != "" {
		t.Fatalf("exit code %d: %s", got.code, got.stderr)
	}
	for name, want := range map[string]bool{
		"a/b.txt": true, "link": true, "libs/old": true, "env/kept": true, "gone.cf": false, ".git": false, "a/x.pyc": false, "a/b/keep.log": false, "env/bin": false,
	} {
		if _, err := os.Lstat(filepath.Join(top, "project", name)); (err == nil) != want {
			t.Errorf("%s is there: %v, want %v", name, err == nil, want)
		}
	}
	for _, way := range [][]string{{"libs", "cache"}, {"cache", "libs"}} {
		must(t, os.MkdirAll(filepath.Join(top, "project", way[0]), 0o755))
		must(t, os.MkdirAll(filepath.Join(top, "project", way[1], "surplus"), 0o755))
		c := exec.Command(ours(t), "-r", "--delete", way[0]+"/", way[1]+"/")
		c.Dir = filepath.Join(top, "project")
		if out, err := c.CombinedOutput(); err != nil || len(out) > 0 {
			t.Fatalf("%v: %v\n%s", way, err, out)
		}
		if a, b := snapshot(t, filepath.Join(c.Dir, way[0]), false), snapshot(t, filepath.Join(c.Dir, way[1]), false); a != b {
			t.Errorf("%v: %s", way, difference(a, b))
		}
	}
}

// Copies on one machine are rsync's own, too.
func TestCopiesHereAreLikeRsync(t *testing.T) {
	for _, line := range []string{
		"-r --delete src/ dst/", "-a src/ dst", "-a --delete src/ dst/", "-a src dst", "-aH --delete src/ fresh", "-av src/ dst/", "-an src/ dst/",
		"-a --exclude=*.log --include=a src/ dst/", "-a --exclude-from=list src/ dst/", "-aR src/./a/b dst", "-ac src/ dst/", "-au src/ dst/", "-ab --delete src/ dst/",
		"-a --existing src/ dst/", "-aC src/ dst/", "-aF --delete src/ dst/", "src/big dst/copy", "-a --remove-source-files src/a/ dst/", "-rlt --no-W src/ dst/", "src/ dst/",
		"-a src/nothing dst", "-a src/big src/same dst/big", "-a --max-size=1k src/ dst/", "-rlpt --inplace --no-whole-file src/ dst/",
	} {
		t.Run(strings.ReplaceAll(line, "/", "∕"), func(t *testing.T) {
			t.Parallel()
			here, there := world(t), world(t)
			for _, top := range []string{here, there} {
				must(t, os.WriteFile(filepath.Join(top, "list"), []byte("# comment\n*.txt\n- a-b\n"), 0o600))
			}
			want := command(t, there, client(t), strings.Fields(line)...)
			got := command(t, here, ours(t), strings.Fields(line)...)
			if got.code != want.code || (got.stderr == "") != (want.stderr == "") {
				t.Errorf("exit code %d, rsync's is %d\n%s%s", got.code, want.code, got.stderr, want.stderr)
			}
			if a, b := quiet(got.stdout), quiet(want.stdout); strings.Contains(line, "v") && a != b && !strings.Contains(line, "nothing") && !strings.Contains(line, "move") {
				t.Errorf("output differs:\n%s", difference(a, b))
			}
			times := strings.Contains(line, "t ") || strings.HasPrefix(line, "-a")
			if a, b := recent(snapshot(t, here, times), times), recent(snapshot(t, there, times), times); a != b {
				t.Errorf("files differ:\n%s", difference(a, b))
			}
		})
	}
}

func TestRefusalsNameTheOption(t *testing.T) {
	t.Parallel()
	top := world(t)
	before := snapshot(t, top, true)
	for line, says := range map[string]string{
		"-aX src/ host:dst/":                      "-X",
		"-aA src/ host:dst/":                      "-A",
		"-aU src/ host:dst/":                      "-U",
		"-aK src/ host:dst/":                      "-K",
		"-a --partial-dir=.p src/ host:dst/":      "--partial-dir",
		"-a --delay-updates src/ host:dst/":       "--delay-updates",
		"-a --link-dest=../x src/ host:dst/":      "--link-dest",
		"-a --temp-dir=/tmp src/ host:dst/":       "--temp-dir",
		"-a --chown=a:b src/ host:dst/":           "--usermap",
		"-a --usermap=a:b src/ host:dst/":         "--usermap",
		"-a --super src/ host:dst/":               "--super",
		"-a --write-devices src/ host:dst/":       "--write-devices",
		"-a --preallocate src/ host:dst/":         "--preallocate",
		"-a --delete-missing-args src/ host:dst/": "--delete-missing-args",
		"-a --iconv=utf8,latin1 src/ host:dst/":   "--iconv",
		"-a -z --zc=zstd src/ host:dst/":          "zstd",
		"-a --cc=sha1 src/ host:dst/":             "sha1",
		"-ab --inplace src/ host:dst/":            "--inplace",
		"-a -M--nonsense src/ host:dst/":          "--nonsense",
		"-a --protocol=28 src/ host:dst/":         "protocol 28",
		"-a --copy-devices host:src/ dst/":        "--copy-devices",
		"-a -M--daemon src/ host:dst/":            "--daemon",
	} {
		got := transfer(t, top, ours(t), strings.Fields(line)...)
		if got.code == 0 || !strings.Contains(got.stderr, says) || !strings.HasPrefix(got.stderr, "rsync: ") {
			t.Errorf("%s: exit code %d, want %q named in\n%s", line, got.code, says, got.stderr)
		}
	}
	for line, want := range map[string]struct {
		says string
		code int
	}{
		"src/ host:dst/":       {"other machine", 4},
		"rsync://h/src/ dst/":  {"other machine", 4},
		"src/":                 {"destination", 1},
		"--progress src/ dst/": {"--progress", 4},
		"-ai src/ dst/":        {"-i", 4},
		"-a --stats src/ dst/": {"--stats", 4},
		"--list-only src/ d/":  {"--list-only", 4},
		"-e ssh src/ dst/":     {"-e", 1},
		"--nonsense src/ dst/": {"--nonsense", 1},
		"--server -r dst/":     {"server", 1},
		"--server -r . a b":    {"destination", 1},
		"--server -B x . a":    {"-B", 1},
		"--server --timeout":   {"--timeout", 1},
		"--delete src/ dst/":   {"--delete", 1},
	} {
		got := command(t, top, ours(t), strings.Fields(line)...)
		if got.code != want.code || !strings.Contains(got.stderr, want.says) || strings.Count(got.stderr, "\n") != 1 {
			t.Errorf("%s: exit code %d, want %d and %q in one line of\n%s", line, got.code, want.code, want.says, got.stderr)
		}
	}
	if after := snapshot(t, top, true); after != before {
		t.Errorf("something is changed:\n%s", difference(after, before))
	}
}

// slowly starts a client that sends or receives a file that takes long, and
// returns once some of it is in the destination.
func slowly(t *testing.T, top string, args ...string) *exec.Cmd {
	t.Helper()
	must(t, os.MkdirAll(filepath.Join(top, "src"), 0o755))
	must(t, os.MkdirAll(filepath.Join(top, "dst"), 0o755))
	must(t, os.WriteFile(filepath.Join(top, "src/big"), noise(12, 8<<20), 0o644))
	must(t, os.WriteFile(filepath.Join(top, "dst/big"), []byte("as it was"), 0o644))
	// The shell tells its own process, which becomes the server's.
	shell := filepath.Join(top, "shell")
	must(t, os.WriteFile(shell, []byte("#!/bin/sh\nshift\necho $$ >pid\nexec "+strings.Join([]string{"sh", "-c", `"exec $*"`}, " ")+"\n"), 0o755))
	c := exec.Command(client(t), append([]string{"-e", shell, "--rsync-path=" + ours(t), "--bwlimit=500"}, args...)...)
	c.Dir = top
	c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	must(t, c.Start())
	t.Cleanup(func() {
		_ = syscall.Kill(-c.Process.Pid, syscall.SIGKILL)
		_ = c.Wait()
	})
	until(t, "some of the file has arrived", func() bool {
		found, _ := filepath.Glob(filepath.Join(top, "dst/.big.*"))
		if len(found) == 0 {
			return false
		}
		info, err := os.Stat(found[0])
		return err == nil && info.Size() > 0
	})
	return c
}

func until(t *testing.T, what string, is func() bool) {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); !is(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("it never came to be that %s", what)
		}
	}
}

func server(t *testing.T, top string) int {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(top, "pid"))
	must(t, err)
	pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
	must(t, err)
	return pid
}

func TestInterruptedTransferLeavesNothing(t *testing.T) {
	for name, interrupt := range map[string]func(t *testing.T, top string, c *exec.Cmd){
		"the client is killed": func(t *testing.T, _ string, c *exec.Cmd) { must(t, c.Process.Kill()) },
		"the server is told to stop": func(t *testing.T, top string, _ *exec.Cmd) {
			must(t, syscall.Kill(server(t, top), syscall.SIGTERM))
		},
		"the server is hung up on": func(t *testing.T, top string, _ *exec.Cmd) {
			must(t, syscall.Kill(server(t, top), syscall.SIGHUP))
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			top := t.TempDir()
			interrupt(t, top, slowly(t, top, "-a", "src/", "host:dst/"))
			until(t, "the server is gone", func() bool { return syscall.Kill(server(t, top), 0) != nil })
			found, err := os.ReadDir(filepath.Join(top, "dst"))
			must(t, err)
			data, err := os.ReadFile(filepath.Join(top, "dst/big"))
			if len(found) != 1 || err != nil || string(data) != "as it was" {
				t.Errorf("left is %v, with %d bytes in the file", found, len(data))
			}
		})
	}
}

func TestPartialKeepsWhatArrived(t *testing.T) {
	t.Parallel()
	top := t.TempDir()
	c := slowly(t, top, "-a", "--partial", "src/", "host:dst/")
	must(t, c.Process.Kill())
	until(t, "the server is gone", func() bool { return syscall.Kill(server(t, top), 0) != nil })
	info, err := os.Stat(filepath.Join(top, "dst/big"))
	if err != nil || info.Size() < 1000 || info.ModTime().Unix() != 0 {
		t.Fatalf("%v, %v: want some of the file, with a time of 0", info, err)
	}
	got := transfer(t, top, ours(t), "-a", "--stats", "src/", "host:dst/")
	if literal := statistic(t, got.stdout, "Literal data"); got.code != 0 || literal > 8<<20-int(info.Size())+200_000 {
		t.Errorf("%d bytes are sent, %d were there", literal, info.Size())
	}
}

func TestSilentClientIsGivenUp(t *testing.T) {
	t.Parallel()
	c := exec.Command(ours(t), "--server", "-r", "--timeout=1", ".", t.TempDir())
	in, err := c.StdinPipe()
	must(t, err)
	defer in.Close()
	out, err := c.CombinedOutput()
	if c.ProcessState.ExitCode() != exitTimeout || !strings.Contains(string(out), "seconds") {
		t.Errorf("%v: %s", err, out)
	}
}

// An ordinary user cannot give files away, and directories that nothing can be
// put into are still filled.
func TestAsAnOrdinaryUser(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Log("this is an ordinary user already")
	}
	top := t.TempDir()
	must(t, os.Chmod(top, 0o755))
	for parent := filepath.Dir(top); parent != os.TempDir() && parent != "/"; parent = filepath.Dir(parent) {
		must(t, os.Chmod(parent, 0o755))
	}
	must(t, os.MkdirAll(filepath.Join(top, "src/closed/deeper"), 0o755))
	must(t, os.WriteFile(filepath.Join(top, "src/closed/deeper/f"), []byte("f"), 0o400))
	must(t, os.WriteFile(filepath.Join(top, "src/secret"), []byte("s"), 0o600))
	must(t, os.WriteFile(filepath.Join(top, "src/open"), []byte("o"), 0o644))
	must(t, os.Chmod(filepath.Join(top, "src/closed/deeper"), 0o555))
	must(t, os.Chmod(filepath.Join(top, "src/closed"), 0o500))
	must(t, os.Mkdir(filepath.Join(top, "dst"), 0o755))
	must(t, os.MkdirAll(filepath.Join(top, "dst/gone/closed"), 0o755))
	must(t, os.WriteFile(filepath.Join(top, "dst/gone/closed/f"), nil, 0o400))
	must(t, os.Chmod(filepath.Join(top, "dst/gone/closed"), 0o500))
	as := ""
	if os.Geteuid() == 0 {
		const somebody = 54321
		must(t, filepath.WalkDir(filepath.Join(top, "dst"), func(path string, _ fs.DirEntry, err error) error {
			if err == nil {
				err = os.Lchown(path, somebody, somebody)
			}
			return err
		}))
		as = fmt.Sprintf("setpriv --reuid=%d --regid=%d --clear-groups ", somebody, somebody)
	}
	program := filepath.Join(top, "rsync")
	self, err := os.Executable()
	must(t, err)
	binary, err := os.ReadFile(self)
	must(t, err)
	must(t, os.WriteFile(program, binary, 0o755))
	shell := filepath.Join(top, "shell")
	must(t, os.WriteFile(shell, []byte("#!/bin/sh\nshift\nexec "+as+"sh -c \"$*\"\n"), 0o755))

	got := command(t, top, client(t), "-e", shell, "--rsync-path="+program, "-ai", "--delete", "src/", "host:dst/")
	if got.code != 0 || got.stderr != "" {
		t.Errorf("push: exit code %d\n%s", got.code, got.stderr)
	}
	for name, mode := range map[string]fs.FileMode{"closed": 0o500, "closed/deeper": 0o555, "closed/deeper/f": 0o400, "secret": 0o600} {
		info, err := os.Stat(filepath.Join(top, "dst", name))
		if err != nil || info.Mode().Perm() != mode {
			t.Errorf("%s: %v, %v, want mode %o", name, info, err, mode)
		}
	}
	if _, err := os.Stat(filepath.Join(top, "dst/gone")); err == nil {
		t.Error("what is gone is still there")
	}
	again := command(t, top, client(t), "-e", shell, "--rsync-path="+program, "-ai", "--delete", "src/", "host:dst/")
	if again.code != 0 || again.stdout != "" {
		t.Errorf("the second time there are changes:\n%s%s", again.stdout, again.stderr)
	}
	if os.Geteuid() != 0 {
		return
	}
	// What it cannot read is told, and all else comes.
	got = command(t, top, client(t), "-e", shell, "--rsync-path="+program, "-r", "host:src/", "back/")
	if got.code != exitPartial || !strings.Contains(got.stderr, "secret") || !strings.Contains(got.stderr, "closed") {
		t.Errorf("pull: exit code %d\n%s", got.code, got.stderr)
	}
	if _, err := os.Stat(filepath.Join(top, "back/open")); err != nil {
		t.Error(err)
	}
	// Nor does what it cannot write stop the rest.
	must(t, os.MkdirAll(filepath.Join(top, "mixed/mine"), 0o755))
	must(t, os.Chmod(filepath.Join(top, "mixed"), 0o777))
	must(t, os.MkdirAll(filepath.Join(top, "from/mine"), 0o755))
	must(t, os.WriteFile(filepath.Join(top, "from/mine/f"), []byte("f"), 0o644))
	must(t, os.WriteFile(filepath.Join(top, "from/g"), []byte("g"), 0o644))
	got = command(t, top, client(t), "-e", shell, "--rsync-path="+program, "-r", "from/", "host:mixed/")
	if got.code != exitPartial || !strings.Contains(got.stderr, "mine/f") {
		t.Errorf("exit code %d\n%s", got.code, got.stderr)
	}
	if data, err := os.ReadFile(filepath.Join(top, "mixed/g")); err != nil || string(data) != "g" {
		t.Error(err)
	}
}

// A gibibyte with next to nothing in it takes next to no room.
func TestSparseFiles(t *testing.T) {
	t.Parallel()
	top := t.TempDir()
	must(t, os.Mkdir(filepath.Join(top, "src"), 0o755))
	file, err := os.Create(filepath.Join(top, "src/sparse"))
	must(t, err)
	_, err = file.WriteAt([]byte("in the middle"), 512<<20)
	must(t, err)
	must(t, file.Truncate(1<<30))
	must(t, file.Close())
	got := transfer(t, top, ours(t), "-aS", "src/", "host:dst/")
	info, err := os.Stat(filepath.Join(top, "dst/sparse"))
	if got.code != 0 || err != nil || info.Size() != 1<<30 {
		t.Fatalf("exit code %d, %v, %v\n%s", got.code, info, err, got.stderr)
	}
	if blocks := info.Sys().(*syscall.Stat_t).Blocks; blocks > 2048 {
		t.Errorf("it takes %d bytes", blocks*512)
	}
	copied, err := os.Open(filepath.Join(top, "dst/sparse"))
	must(t, err)
	defer copied.Close()
	text := make([]byte, 13)
	if _, err := copied.ReadAt(text, 512<<20); err != nil || string(text) != "in the middle" {
		t.Errorf("%q, %v", text, err)
	}
}

func TestDiskFullIsAnError(t *testing.T) {
	t.Parallel()
	var limited syscall.Rlimit
	must(t, syscall.Getrlimit(syscall.RLIMIT_FSIZE, &limited))
	top := t.TempDir()
	must(t, os.Mkdir(filepath.Join(top, "src"), 0o755))
	must(t, os.Mkdir(filepath.Join(top, "dst"), 0o755))
	must(t, os.WriteFile(filepath.Join(top, "src/big"), noise(13, 4<<20), 0o644))
	must(t, os.WriteFile(filepath.Join(top, "dst/big"), []byte("as it was"), 0o644))
	shell := filepath.Join(top, "shell")
	// No file may become longer than a mebibyte: writing fails as on a full disk.
	must(t, os.WriteFile(shell, []byte("#!/bin/sh\nshift\ntrap '' XFSZ\nulimit -f 2048\nexec sh -c \"$*\"\n"), 0o755))
	got := command(t, top, client(t), "-e", shell, "--rsync-path="+ours(t), "-a", "src/", "host:dst/")
	if got.code != exitFile || !strings.Contains(got.stderr, "big") || !strings.Contains(got.stderr, "File too large") {
		t.Errorf("exit code %d\n%s", got.code, got.stderr)
	}
	found, err := os.ReadDir(filepath.Join(top, "dst"))
	data, _ := os.ReadFile(filepath.Join(top, "dst/big"))
	if err != nil || len(found) != 1 || string(data) != "as it was" {
		t.Errorf("left is %v, with %d bytes in the file", found, len(data))
	}
}

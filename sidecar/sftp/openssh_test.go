package sftp_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// openssh runs a program of OpenSSH's client in dir, with this one as the
// server it starts, and is what it printed.
func openssh(t *testing.T, dir, name string, args ...string) (*exec.Cmd, *strings.Builder) {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		t.Fatalf("the client to test with: %v: install the package openssh-client", err)
	}
	command := program(t, path, slices.Concat([]string{"-D", self(t)}, args)...)
	said := &strings.Builder{}
	command.Dir, command.Stdout, command.Stderr = dir, said, said
	return command, said
}

// batch has sftp do commands in dir, of which none may fail. A line with "-"
// in front may.
func batch(t *testing.T, dir string, args []string, commands ...string) string {
	t.Helper()
	command, said := openssh(t, dir, "sftp", append(args, "-b", "-")...)
	command.Stdin = strings.NewReader(strings.Join(commands, "\n") + "\n")
	if err := command.Run(); err != nil {
		t.Fatalf("%v\n%s", err, said)
	}
	return said.String()
}

// refuse has sftp try a single command that has to fail.
func refuse(t *testing.T, dir, commandLine, because string) {
	t.Helper()
	command, said := openssh(t, dir, "sftp", "-b", "-")
	command.Stdin = strings.NewReader(commandLine + "\n")
	if err := command.Run(); err == nil || !strings.Contains(said.String(), because) {
		t.Fatalf("%s: %v, want it to say %q:\n%s", commandLine, err, because, said)
	}
}

// forest is a tree with what makes trees hard to copy.
func forest(t *testing.T, dir string) {
	t.Helper()
	for _, d := range []string{"deep/er/still", "empty", "with space", "ünïcødé"} {
		must(t, os.MkdirAll(filepath.Join(dir, d), 0o755))
	}
	for path, size := range map[string]int{
		"zero": 0, "one": 1, "page": 4096, "chunk": 258048, "more": 600_001,
		"deep/er/file": 10, "deep/er/still/there": 70_000, "with space/a 'quoted' \"name\"": 3, "ünïcødé/日本": 3, "-dash": 2,
	} {
		put(t, filepath.Join(dir, path), pattern(size))
	}
	must(t, os.Chmod(filepath.Join(dir, "one"), 0o751))
	must(t, os.Chmod(filepath.Join(dir, "deep/er"), 0o700))
}

func sameTree(t *testing.T, what, got, want string) {
	t.Helper()
	if g, w := tree(t, got), tree(t, want); g != w {
		t.Fatalf("%s: %d bytes of tree, want %d", what, len(g), len(w))
	}
}

func TestSFTPCommands(t *testing.T) {
	t.Parallel()
	dir := resolved(t, t.TempDir())
	in := func(name string) string { return filepath.Join(dir, name) }
	data := pattern(1_000_000)
	put(t, in("data"), data)
	put(t, in("script"), "#!/bin/sh")
	must(t, os.Chmod(in("script"), 0o750))

	if said := batch(t, dir, nil, "pwd", "version"); !strings.Contains(said, "directory: "+dir) || !strings.Contains(said, "version 3") {
		t.Fatal(said)
	}
	must(t, os.Mkdir(in("ls"), 0o755))
	for _, name := range []string{"plain", ".hidden", "with space", "star*", "[x]", "qu'ote", `back\slash`, "new\nline"} {
		put(t, filepath.Join(in("ls"), name), "12345")
	}
	if said := batch(t, dir, nil, "ls -1 ls"); strings.Count(said, "ls/") != 7 || strings.Contains(said, ".hidden") {
		t.Fatal(said)
	}
	if said := batch(t, dir, nil, "ls -la ls"); !strings.Contains(said, ".hidden") || !strings.Contains(said, "-rw-r--r--") {
		t.Fatal(said)
	}
	for _, one := range []string{`ls "ls/with space"`, `ls ls/with\ space`, `ls ls/star\*`, `ls 'ls/[x]'`, `ls "ls/qu'ote"`, `ls ls/pl*n`, `ls ls/back\\slash`} {
		if said := batch(t, dir, nil, one); strings.Count(said, "ls/") != 2 {
			t.Fatalf("%s: %s", one, said)
		}
	}
	batch(t, dir, nil,
		"put data copy", "put -p script script.put", "get data copy.get", "get -p script script.get",
		"mkdir d", "cd d", "put script", "lcd ls", `put "with space" 'quoted space'`, "cd ..",
		"rename copy d/moved", "rename -l d/moved d/again",
		"ln d/again hard", "ln -s d/again soft", "ln -s ../nowhere dangling", "cp hard cp.data",
		"chmod 640 hard", "df", "df -hi", "-get missing", "-ls missing",
	)
	for _, copied := range []string{"copy.get", "d/again", "hard", "soft", "cp.data"} {
		if get(t, in(copied)) != data {
			t.Errorf("%s is not what it is a copy of", copied)
		}
	}
	if target, err := os.Readlink(in("soft")); err != nil || target != "d/again" {
		t.Errorf("%q %v", target, err)
	}
	if target, err := os.Readlink(in("dangling")); err != nil || target != "../nowhere" {
		t.Errorf("%q %v", target, err)
	}
	original, err := os.Stat(in("script"))
	must(t, err)
	for _, copied := range []string{"script.put", "script.get"} {
		info, err := os.Stat(in(copied))
		must(t, err)
		if info.Mode() != original.Mode() || info.ModTime().Unix() != original.ModTime().Unix() {
			t.Errorf("%s: %v %v, want %v %v", copied, info.Mode(), info.ModTime(), original.Mode(), original.ModTime())
		}
	}
	if info, err := os.Stat(in("hard")); err != nil || info.Mode() != 0o640 {
		t.Errorf("%v %v", info.Mode(), err)
	}
	if get(t, in("d/quoted space")) != "12345" {
		t.Error("quoted space")
	}
	batch(t, dir, nil, "rm d/*", "rmdir d", "rm soft", "rm dangling", "rename hard cp.data")
	for _, gone := range []string{"d", "soft", "dangling", "hard"} {
		absent(t, in(gone))
	}
}

func TestSFTPTrees(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	in := func(name string) string { return filepath.Join(dir, name) }
	must(t, os.Mkdir(in("forest"), 0o755))
	forest(t, in("forest"))
	for i, args := range [][]string{nil, {"-B", "4096"}, {"-B", "32768"}, {"-B", "258048"}, {"-B", "261120"}, {"-R", "1"}, {"-R", "200", "-B", "1000"}} {
		up, down := fmt.Sprintf("up%d", i), fmt.Sprintf("down%d", i)
		batch(t, dir, args, "put -pR forest "+up, "get -pR "+up+" "+down)
		sameTree(t, fmt.Sprintf("put -r %s", args), in(up), in("forest"))
		sameTree(t, fmt.Sprintf("get -r %s", args), in(down), in("forest"))
	}
	// Once more over what is there.
	batch(t, dir, nil, "put -pR forest/* up0", "get -pR up0/* down0")
	sameTree(t, "put again", in("up0"), in("forest"))
	sameTree(t, "get again", in("down0"), in("forest"))
}

func TestSFTPBadCommands(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	put(t, filepath.Join(dir, "file"), "kept")
	put(t, filepath.Join(dir, "other"), "kept too")
	must(t, os.MkdirAll(filepath.Join(dir, "d/full"), 0o755))
	must(t, os.Symlink("round", filepath.Join(dir, "round")))
	for command, because := range map[string]string{
		"get missing x":         "not found",
		"get d x":               "not a regular file",
		"get missing/x x":       "not found",
		"put missing x":         "No such file",
		"put file missing/x":    "No such file",
		"cd missing":            "No such file",
		"cd file":               "not a directory",
		"ls missing":            "not found",
		"rm missing":            "No such file",
		"rm d":                  "Failure",
		"rmdir d":               "Failure",
		"rmdir file":            "No such file",
		"mkdir d":               "Failure",
		"mkdir missing/d":       "No such file",
		"rename missing x":      "No such file",
		"rename -l file other":  "Failure",
		"rename file d":         "Failure",
		"rename d file":         "No such file",
		"rename file missing/x": "No such file",
		"ln missing x":          "No such file",
		"ln file other":         "Failure",
		"ln -s file other":      "Failure",
		"chmod 600 missing":     "No such file",
		"get round x":           "No such file",
		"cp missing x":          "No such file",
		"cp file missing/x":     "No such file",
		"jajajaja":              "Invalid command",
	} {
		refuse(t, dir, command, because)
	}
	absent(t, filepath.Join(dir, "x"))
	if get(t, filepath.Join(dir, "file")) != "kept" || get(t, filepath.Join(dir, "other")) != "kept too" {
		t.Error("a command that failed did something")
	}
}

func TestSFTPResumes(t *testing.T) {
	t.Parallel()
	data := pattern(1_200_000)
	for _, way := range []string{"put -a", "get -a", "reput", "reget"} {
		for _, have := range []int{0, 1, 1000, 1 << 20, len(data) - 1, len(data)} {
			dir := t.TempDir()
			put(t, filepath.Join(dir, "from"), data)
			put(t, filepath.Join(dir, "to"), data[:have])
			// It is a failure where there is nothing left to do.
			batch(t, dir, nil, "-"+way+" from to")
			if get(t, filepath.Join(dir, "to")) != data {
				t.Errorf("%s with %d bytes there: not the same", way, have)
			}
		}
	}
}

func TestSCP(t *testing.T) {
	t.Parallel()
	dir := resolved(t, t.TempDir())
	in := func(name string) string { return filepath.Join(dir, name) }
	must(t, os.Mkdir(in("forest"), 0o755))
	forest(t, in("forest"))
	put(t, in("file"), pattern(600_000))
	scp := func(args ...string) {
		t.Helper()
		command, said := openssh(t, dir, "scp", args...)
		if err := command.Run(); err != nil {
			t.Fatalf("scp %q: %v\n%s", args, err, said)
		}
	}
	scp("file", "host:up")
	scp("host:up", "down")
	scp("host:"+in("up"), "host:forest/deep/er/f*", in("forest/empty"))
	scp("file", "host:~/home up")
	scp("host:~/home up", "home down")
	for _, copied := range []string{"up", "down", "forest/empty/up", "home up", "home down"} {
		if get(t, in(copied)) != get(t, in("file")) {
			t.Errorf("%s is not what it is a copy of", copied)
		}
	}
	must(t, os.RemoveAll(in("forest/empty/up")))
	scp("-rp", "forest", "host:tree up")
	scp("-rp", "host:tree up", "tree down")
	sameTree(t, "scp -r up", in("tree up"), in("forest"))
	sameTree(t, "scp -r down", in("tree down"), in("forest"))
	command, said := openssh(t, dir, "scp", "host:missing", "x")
	if err := command.Run(); err == nil || !strings.Contains(said.String(), "No such file") {
		t.Errorf("%v\n%s", err, said)
	}
}

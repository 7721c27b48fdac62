package dbdump

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/inmanta/inmanta-docker/sidecar/dumps"
)

// TestMain lets this binary be a sidecar that ends itself at one of its steps.
func TestMain(m *testing.M) {
	if len(os.Args) != 4 || os.Args[1] != "daemon" {
		os.Exit(m.Run())
	}
	at, err := strconv.Atoi(os.Args[3])
	if err == nil {
		err = life(os.Args[2], at)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

// life is one of a sidecar below a folder: the dump that is due at its start, and
// one more that is asked for. It dies at the step of that number.
func life(below string, at int) error {
	steps := 0
	c := inTest(below)
	c.Log = os.Stdout
	c.Step = func(name string) {
		if steps++; steps == at {
			fmt.Println("dies at:", name)
			_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
			select {}
		}
	}
	ctx, stop := context.WithTimeout(context.Background(), 20*time.Second)
	defer stop()
	ended := make(chan error, 1)
	go func() { ended <- Serve(ctx, c) }()
	for {
		said, err := ask(ctx, c.Address, "now")
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case err == nil && said.Now.Error != "":
			return fmt.Errorf("the dump failed: %s", said.Now.Error)
		case err == nil:
			stop()
			return <-ended
		}
		select { // it listens soon
		case <-ctx.Done():
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// inTest is the configuration of a sidecar below a folder, with a primary that
// answers, and programs that stand in for PostgreSQL's.
func inTest(below string) Config {
	return Config{
		Folder: filepath.Join(below, "dumps"), Shown: "./dumps", State: filepath.Join(below, "state"), Deployment: "lab",
		Policy:  dumps.Policy{Keep: 2, Zone: time.UTC},
		Servers: []address{{Host: "db", Port: "5432"}}, User: "inmanta", Database: "inmanta",
		Tools:   []string{"PATH=" + os.Getenv("PATH"), "BELOW=" + below},
		Address: fmt.Sprintf("@db-dump-test-%d-%s", os.Getpid(), filepath.Base(below)), Log: io.Discard,
		comeback: 200 * time.Millisecond,
		inquire:  func(_ context.Context, a address) server { return server{address: a, version: "17.2", tables: 7} },
	}
}

// programsInTest stand in for PostgreSQL's. What they are to do otherwise is in files
// below the folder that they are told of.
var programsInTest = map[string]string{
	"pg_dump": `for argument; do case $argument in
			--version) echo "pg_dump (PostgreSQL) 17.2"; exit;;
			--file=*) file=${argument#--file=};;
			--dbname=*host=\'db-replica\'*) [ ! -e "$BELOW/no-standby" ] || { echo "pg_dump: error: canceling statement due to conflict with recovery" >&2; exit 1; };;
		esac; done
		echo "$@" >> "$BELOW/calls"
		echo begun > "$file"
		if [ -e "$BELOW/hang" ]; then sleep 300 & echo $! > "$BELOW/sleeper"; wait; fi
		if [ -e "$BELOW/fail" ]; then echo "pg_dump: error: $(cat "$BELOW/fail")" >&2; echo "pg_dump: detail: more" >&2; exit 1; fi
		[ ! -e "$BELOW/cut" ] || exit 0
		echo 1234 >> "$file"; echo whole >> "$file"`,
	"pg_restore": `while [ $# -gt 1 ]; do shift; done
		[ "$(tail -n 1 "$1")" = whole ] || { echo "pg_restore: error: it ends in the middle" >&2; exit 1; }
		echo ";"; echo "; Archive"; echo ";"; [ -e "$BELOW/empty" ] || echo "215; 1259 16385 TABLE public kept inmanta"`,
}

// lab is a folder with those programs in the path of this process.
func lab(t *testing.T) (below string) {
	t.Helper()
	below = t.TempDir()
	for _, folder := range []string{"dumps", "state", "bin"} {
		if err := os.Mkdir(filepath.Join(below, folder), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for name, text := range programsInTest {
		put(t, filepath.Join(below, "bin", name), "#!/bin/bash\n"+text+"\n", 0o755)
	}
	t.Setenv("PATH", filepath.Join(below, "bin")+":"+os.Getenv("PATH"))
	return below
}

func put(t *testing.T, path, text string, mode os.FileMode) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), mode); err != nil {
		t.Fatal(err)
	}
}

// putDump puts a good dump of so many days ago into the folder.
func putDump(t *testing.T, below string, days int) string {
	t.Helper()
	name := dumps.Name("lab", time.Now().AddDate(0, 0, -days))
	const text = "begun\nof before\nwhole\n"
	sum := sha256.Sum256([]byte(text))
	put(t, filepath.Join(below, "dumps", name), text, 0o640)
	put(t, filepath.Join(below, "dumps", dumps.Checksum(name)), dumps.SumLine(name, hex.EncodeToString(sum[:])), 0o640)
	return name
}

// sound fails the test unless every dump is whole and has its checksum, and says
// which there are, and what else.
func sound(t *testing.T, when, below string) (whole, rest []string) {
	t.Helper()
	entries, err := os.ReadDir(filepath.Join(below, "dumps"))
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range entries {
		kind, name, _ := dumps.Parse("lab", entry.Name())
		if kind != dumps.Complete {
			if kind != dumps.Others && (kind != dumps.Sum || !slices.Contains(whole, name)) {
				rest = append(rest, entry.Name())
			}
			continue
		}
		text, err := os.ReadFile(filepath.Join(below, "dumps", name))
		if err != nil {
			t.Fatal(err)
		}
		line, err := os.ReadFile(filepath.Join(below, "dumps", dumps.Checksum(name)))
		if err != nil {
			t.Fatalf("%s: %s has no checksum: %v", when, name, err)
		}
		digest := sha256.Sum256(text)
		if sum, ok := dumps.ParseSum(name, string(line)); !ok || sum != hex.EncodeToString(digest[:]) || !bytes.HasSuffix(text, []byte("\nwhole\n")) {
			t.Fatalf("%s: %s holds %q, and its checksum is %q", when, name, text, line)
		}
		whole = append(whole, name)
	}
	return whole, rest
}

// Killed at any step, it leaves no half dump under the name of one, and loses none
// before there is another; the next start removes what was cut short, and goes on.
func TestKilledAtEveryStep(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	var died []string
	for at := 1; ; at++ {
		below := lab(t)
		before := []string{putDump(t, below, 9), putDump(t, below, 8), putDump(t, below, 7)}
		live := func(at int) string {
			out, err := exec.Command(self, "daemon", below, strconv.Itoa(at)).CombinedOutput()
			if at == 0 && err != nil {
				t.Fatalf("it does not go on: %v\n%s", err, out)
			}
			_, step, _ := strings.Cut(string(out), "dies at: ")
			return strings.TrimSpace(step)
		}
		step := live(at)
		if step == "" {
			break // there is no such step
		}
		died = append(died, step)
		whole, _ := sound(t, "killed at "+step, below)
		fresh := slices.DeleteFunc(slices.Clone(whole), func(name string) bool { return slices.Contains(before, name) })
		if len(fresh) == 0 && len(whole) != len(before) {
			t.Errorf("killed at %s, there is no new dump, and of the old ones %q", step, whole)
		}
		live(0)
		whole, rest := sound(t, "after "+step, below)
		// Who asked may have been given the one that was due.
		if len(whole) != 2 || len(rest) > 0 || slices.Contains(before, whole[1]) {
			t.Errorf("killed at %s and started again, there is %q, and %q", step, whole, rest)
		}
	}
	for _, step := range []string{"dump", "read contents", "read checksum", "write checksum", "sync folder", "remember", "remove", "remove checksum"} {
		if !slices.Contains(died, step) {
			t.Errorf("it was not killed at %q, only at %q", step, died)
		}
	}
	if named := slices.IndexFunc(died, func(step string) bool { return strings.HasPrefix(step, "name 2") && strings.HasSuffix(step, ".dump") }); named < 0 {
		t.Errorf("it was not killed before a dump got its name: %q", died)
	}
}

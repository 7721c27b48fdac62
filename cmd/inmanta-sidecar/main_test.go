package main_test

import (
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// largestBinary is what is mounted into every sidecar's container, in bytes.
const largestBinary = 15 << 20

// binary is the command as `make build` makes it.
var binary string

func TestMain(m *testing.M) {
	folder, err := os.MkdirTemp("", "inmanta-sidecar-")
	if err != nil {
		panic(err)
	}
	binary = filepath.Join(folder, "inmanta-sidecar")
	build := exec.Command("go", "build", "-trimpath", "-ldflags=-s -w -X main.version=1.2.3", "-o", binary, ".")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	build.Stdout, build.Stderr = os.Stderr, os.Stderr
	code := 1
	if err := build.Run(); err == nil {
		code = m.Run()
	}
	os.RemoveAll(folder)
	os.Exit(code)
}

func TestBinaryIsSmall(t *testing.T) {
	info, err := os.Stat(binary)
	if err != nil {
		t.Fatal(err)
	}
	if info.Size() > largestBinary {
		t.Errorf("%d bytes, want at most %d", info.Size(), largestBinary)
	}
}

func TestVerbs(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	open := listener.Addr().String()

	for _, c := range []struct {
		args           string
		code           int
		stdout, stderr string // what each contains; nothing where empty
	}{
		{"version", 0, "1.2.3\n", ""},
		{"help", 0, "inmanta-sidecar probe http URL", ""},
		{"probe tcp " + open, 0, "", ""},
		{"probe tcp 127.0.0.1", 1, "", "write HOST:PORT"},
		{"probe http https://127.0.0.1", 1, "", "write http://HOST:PORT/PATH"},
		{"probe udp " + open, 1, "", "probe takes `http URL` or `tcp HOST:PORT`"},
		{"probe tcp", 1, "", "probe takes `http URL` or `tcp HOST:PORT`"},
		{"probe tcp " + open + " " + open, 1, "", "probe takes `http URL` or `tcp HOST:PORT`"},
		{"", 1, "", "inmanta-sidecar help"},
		{"telnet", 1, "", "there is no sidecar \"telnet\""},
	} {
		t.Run(c.args, func(t *testing.T) {
			var stdout, stderr strings.Builder
			command := exec.Command(binary, strings.Fields(c.args)...)
			command.Stdout, command.Stderr = &stdout, &stderr
			err := command.Run()
			if command.ProcessState == nil {
				t.Fatal(err)
			}
			if code := command.ProcessState.ExitCode(); code != c.code {
				t.Errorf("exit code %d, want %d", code, c.code)
			}
			expect(t, "standard output", stdout.String(), c.stdout)
			expect(t, "standard error", stderr.String(), c.stderr)
			if strings.Count(stderr.String(), "\n") > 1 {
				t.Errorf("standard error is more than a sentence: %q", stderr.String())
			}
		})
	}
}

// What runs for somebody ends with the one who started it, and says nothing to
// nobody; until then it runs as ever.
func TestAttached(t *testing.T) {
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	command := exec.Command(binary, "attached", "probe", "http", "http://"+silent.Addr().String())
	var said strings.Builder
	command.Stdout, command.Stderr = &said, &said
	input, err := command.StdinPipe()
	if err == nil {
		err = command.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	asked, err := silent.Accept() // it is at work
	if err != nil {
		t.Fatal(err)
	}
	defer asked.Close()
	if err := input.Close(); err != nil {
		t.Fatal(err)
	}
	if err := command.Wait(); err == nil || said.String() != "" {
		t.Errorf("once nobody listens it ends with %v and says %q", err, said.String())
	}

	command = exec.Command(binary, "attached", "version")
	if input, err = command.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	defer input.Close()
	if out, err := command.Output(); err != nil || string(out) != "1.2.3\n" {
		t.Errorf("with somebody there it prints %q, %v", out, err)
	}
}

func expect(t *testing.T, where, got, want string) {
	t.Helper()
	if want == "" && got != "" || !strings.Contains(got, want) {
		t.Errorf("%s is %q, want %q", where, got, want)
	}
}

package e2e

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// inmanta-docker logrotate says what the sidecar says, ends as it does, and says
// in plain words where there is nobody to ask.
func TestLogrotateVerb(t *testing.T) {
	t.Parallel()
	s := newRotatorAlone(t)
	s.fails(1, []string{"the logrotate sidecar has no container", "inmanta-docker up"}, "logrotate", "ls")
	s.start()

	s.writes("seq -f 'first %.0f' 3 > agent-1.log; seq -f 'second %.0f' 3 > agent-2.log")
	s.until("it has seen them", func() bool { return len(s.ls().Logs) == 2 })
	s.says(s.must("logrotate", "now", "agent-1.log").stdout, "agent-1.log", "agent-1.log-20")
	if first, second := s.log("agent-1.log"), s.log("agent-2.log"); len(first.Archives) != 1 || first.Result != "ok" || first.LastRotation.IsZero() || len(second.Archives) != 0 {
		t.Errorf("of two logs of which one was rotated there is %+v and %+v", first, second)
	}
	s.writes("seq -f 'second %.0f' 4 6 >> agent-2.log")
	if second := s.log("agent-2.log"); second.SizeBytes != int64(len("second 1\n")*6) {
		t.Errorf("of a log that has grown it says %+v", second)
	}
	s.says(s.must("logrotate", "ls").stdout, "agent-1.log", "agent-2.log")
	s.prints("inmanta-docker logrotate show agent-1", "first 1\nfirst 2\nfirst 3")
	s.prints("inmanta-docker logrotate show agent-2.log --since 2020-01-01", "second 1\nsecond 2\nsecond 3\nsecond 4\nsecond 5\nsecond 6")
	s.says(s.must("logrotate", "metrics").stdout, "# TYPE inmanta_logrotate_healthy gauge\ninmanta_logrotate_healthy 1\n", `inmanta_logrotate_log_archives{log="agent-1.log"} 1`)
	if all := s.ls(); !all.Healthy || all.Folder != logFolder || !all.Next.After(time.Now()) {
		t.Errorf("it says of itself %+v", all)
	}

	// What it refuses is refused in its words, with its code, and nothing on the
	// standard output.
	for line, words := range map[string][]string{
		"show server.log":               {"no log is called", "agent-1.log, agent-2.log"},
		"show agent":                    {"2 logs fit"},
		"show ../../../etc/passwd":      {"no log is called"},
		"show agent-1.log --since soon": {"is no time"},
		"now agent-3.log":               {"no log is called"},
	} {
		r := s.ends(1, "inmanta-docker logrotate "+line, words...)
		if r.stdout != "" {
			t.Errorf("%s prints %q", line, r.stdout)
		}
	}

	s.docker("pause", s.container())
	s.fails(1, []string{"is paused", "docker unpause"}, "logrotate", "ls")
	s.docker("unpause", s.container())
	s.must("logrotate", "ls")
	s.stock("stop logrotate")
	s.fails(1, []string{"does not run", "inmanta-docker up"}, "logrotate", "show", "agent-1.log")
	s.fails(1, []string{"this deployment has no logrotate sidecar", "-f docker-compose.yml -f docker-compose.logrotate.yml up"}, "-f", "docker-compose.yml", "logrotate", "now")
}

// A log that is far larger than memory should be passes through both ends, and
// whoever stops reading stops it.
func TestLogrotateShowsLargeLogs(t *testing.T) {
	t.Parallel()
	s := newRotatorAlone(t)
	s.start()
	const lines = 40_000_000 // 350 MB
	s.writes(fmt.Sprintf("seq %d > big.log; seq 10 > small.log", lines/2))
	s.until("it has seen it", func() bool { return len(s.ls().Logs) == 2 })
	s.must("logrotate", "now", "big.log")
	s.writes(fmt.Sprintf("seq %d %d > big.log", lines/2+1, lines))

	small, _ := s.reads("small.log", io.Discard)
	sum := &lineCounter{}
	large, inside := s.reads("big.log", sum)
	if sum.lines != lines || sum.last != strconv.Itoa(lines) {
		t.Errorf("of %d lines %d came, the last is %q", lines, sum.lines, sum.last)
	}
	const mib = 1 << 10 // in KiB
	if large > small+32*mib || inside > 64*mib {
		t.Errorf("for 10 lines it takes %d MiB, for 350 MB %d, and %d in the container", small/mib, large/mib, inside/mib)
	}

	gone := func() {
		t.Helper()
		s.until("the end in the container is gone", func() bool { return len(s.asking()) == 0 })
	}
	gone()
	// Its reader has enough.
	s.prints("inmanta-docker logrotate show big.log | head -n 2", "1\n2")
	gone()
	// Somebody interrupts it, or worse.
	for signal, code := range map[os.Signal]int{os.Interrupt: 130, syscall.SIGTERM: 130, os.Kill: -1} {
		cmd := s.command(t.Context(), "inmanta-docker", "logrotate", "show", "big.log")
		out, err := cmd.StdoutPipe()
		if err == nil {
			err = cmd.Start()
		}
		if err == nil {
			_, err = io.CopyN(io.Discard, out, 1<<20)
		}
		if err != nil {
			t.Fatal(err)
		}
		if len(s.asking()) != 1 {
			t.Errorf("while it shows something, in the container there are %v", s.asking())
		}
		if err := cmd.Process.Signal(signal); err != nil {
			t.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, out)
		var exit *exec.ExitError
		if err := cmd.Wait(); !errors.As(err, &exit) || exit.ExitCode() != code {
			t.Errorf("after the signal %s it ends with %v, want %d", signal, err, code)
		}
		gone()
	}
	s.must("logrotate", "now")
	s.well()
}

// lineCounter counts lines, and keeps the last.
type lineCounter struct {
	lines int
	last  string
	rest  strings.Builder
}

func (c *lineCounter) Write(p []byte) (int, error) {
	c.lines += strings.Count(string(p), "\n")
	text := c.rest.String() + string(p)
	c.rest.Reset()
	whole := strings.LastIndexByte(text, '\n')
	c.rest.WriteString(text[whole+1:])
	if whole >= 0 {
		c.last = text[strings.LastIndexByte(text[:whole], '\n')+1 : whole]
	}
	return len(p), nil
}

// reads shows a log, and says how much memory that took, here and in the
// container, in KiB.
func (s *rotator) reads(log string, into io.Writer) (here, inside int64) {
	s.t.Helper()
	cmd := s.command(s.t.Context(), "inmanta-docker", "logrotate", "show", log)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		s.t.Fatal(err)
	}
	reader := bufio.NewReaderSize(out, 1<<20)
	for {
		_, err := io.CopyN(into, reader, 32<<20)
		for _, pid := range s.asking() {
			status, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
			if _, peak, ok := strings.Cut(string(status), "VmHWM:"); ok {
				kib, _ := strconv.ParseInt(strings.Fields(peak)[0], 10, 64)
				inside = max(inside, kib)
			}
		}
		if err != nil {
			break
		}
	}
	if err := cmd.Wait(); err != nil {
		s.t.Fatalf("showing %s: %v", log, err)
	}
	return cmd.ProcessState.SysUsage().(*syscall.Rusage).Maxrss, inside
}

// asking are the processes that show something in the sidecar's container, as the
// engine's machine numbers them.
func (s *rotator) asking() []int {
	s.t.Helper()
	var pids []int
	for line := range strings.Lines(s.top(s.container())) {
		if !strings.Contains(line, "attached logrotate show") {
			continue
		}
		pid, err := strconv.Atoi(strings.Fields(line)[0])
		if err != nil {
			s.t.Fatal(err)
		}
		pids = append(pids, pid)
	}
	return pids
}

// top are the processes of a container, each with its number on the engine's
// machine. The engine's ps fails where one ends at that moment.
func (s *stack) top(container string) string {
	s.t.Helper()
	var r result
	s.until("the engine lists processes", func() bool {
		r = s.exec("bash", "-c", "docker top "+container+" -eo pid,args")
		return r.code == 0
	})
	return r.stdout
}

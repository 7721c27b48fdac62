package e2e

import (
	"context"
	"strings"
	"time"
)

// sh runs a line of shell with our tools first on the path. One that hangs ends
// with 124.
func (s *stack) sh(line string) result {
	s.t.Helper()
	return s.exec("bash", "-euc", "exec timeout 220 bash -euc "+quoted(line))
}

// ok runs a line of shell, as `sh` does; the scenario ends here unless it
// succeeds. What it prints is trimmed.
func (s *stack) ok(line string) string {
	s.t.Helper()
	r := s.sh(line)
	if r.code != 0 {
		s.t.Fatalf("%s: exit code %d\n%s%s", line, r.code, r.stdout, r.stderr)
	}
	return strings.TrimSpace(r.stdout)
}

// finally runs a line of shell when the scenario is over, however it ends.
func (s *stack) finally(line string) {
	s.t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		s.command(ctx, "bash", "-c", line).Run() //nolint:errcheck // there may be nothing to do
	})
}

// prints runs a line of shell that must succeed and print just that.
func (s *stack) prints(line, want string) {
	s.t.Helper()
	if got := s.ok(line); got != want {
		s.t.Errorf("%s\nprints %q\nwant   %q", line, got, want)
	}
}

// ends runs a line of shell that must end with that code and say each of the words.
func (s *stack) ends(code int, line string, words ...string) result {
	s.t.Helper()
	r := s.sh(line)
	if r.code != code {
		s.t.Errorf("%s: exit code %d, want %d\n%s%s", line, r.code, code, r.stdout, r.stderr)
	}
	for _, word := range words {
		if !strings.Contains(r.stdout+r.stderr, word) {
			s.t.Errorf("%s does not say %q:\n%s%s", line, word, r.stdout, r.stderr)
		}
	}
	return r
}

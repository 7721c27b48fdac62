package database

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"
)

// servers run pg_dump and pg_restore: one prints a dump, the other one keeps what it
// reads.
type servers struct {
	container
	dump             string
	dumping, loading error
	dumped, loaded   int
	kept             strings.Builder
}

func (s *servers) Feed(ctx context.Context, _, _ string, command []string, stdin io.Reader, stdout, stderr io.Writer) (int, error) {
	if command[0] == "pg_dump" {
		if _, err := io.WriteString(stdout, s.dump); err != nil {
			return 0, errors.Join(err, ctx.Err())
		}
		_, _ = io.WriteString(stderr, "pg_dump: that is not there\n")
		return s.dumped, s.dumping
	}
	if s.loading != nil || s.loaded != 0 {
		_, _ = io.WriteString(stderr, "pg_restore: it does not fit\n")
		return s.loaded, s.loading // without having read it
	}
	_, err := io.Copy(&s.kept, stdin)
	return 0, err
}

// A database that could not be dumped to its end is none that was copied, and
// nobody waits for one that is not read.
func TestCopy(t *testing.T) {
	t.Parallel()
	gone := errors.New("no engine")
	long := strings.Repeat("row\n", 1<<16)
	for name, c := range map[string]struct {
		servers servers
		says    string
	}{
		"all of it":            {servers: servers{dump: long}},
		"dumping fails":        {servers: servers{dump: "half", dumped: 1}, says: "pg_dump ends with 1: pg_dump: that is not there"},
		"nobody to dump":       {servers: servers{dumping: gone}, says: "no engine"},
		"loading fails":        {servers: servers{dump: long, loaded: 1}, says: "pg_restore ends with 1: pg_restore: it does not fit"},
		"nobody to load it":    {servers: servers{dump: long, loading: gone}, says: "no engine"},
		"loading fails of all": {servers: servers{dump: "", loaded: 1}, says: "it does not fit"},
	} {
		err := Copy(t.Context(), &c.servers, "from", User, "to", Loaded)
		if c.says == "" && (err != nil || c.servers.kept.String() != c.servers.dump) {
			t.Errorf("%s: %d bytes, %v", name, c.servers.kept.Len(), err)
		}
		if c.says != "" && (err == nil || !strings.Contains(err.Error(), c.says)) {
			t.Errorf("%s: %v, want %q", name, err, c.says)
		}
	}
}

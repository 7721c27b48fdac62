package rotation

import (
	"fmt"
	"os"
	"testing"

	"golang.org/x/sys/unix"
)

func TestManyArchivesAreSyncedAtOnceOrEach(t *testing.T) {
	t.Parallel()
	for _, one := range []struct {
		name       string
		logs       int
		fails      error
		all, alone int // how often the file system, and files, are to be synced
	}{
		{"few", many - 1, nil, 0, many - 1},
		{"many", many, nil, 1, 0},
		{"many, and some file of the file system cannot be written", many, unix.EIO, 1, many},
	} {
		t.Run(one.name, func(t *testing.T) {
			t.Parallel()
			l := newLogs(t)
			for i := range one.logs {
				if err := os.WriteFile(l.path(fmt.Sprintf("agent-%d.log", i)), []byte("a line\n"), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			all, alone := 0, make(chan string, 2*one.logs)
			l.sys.syncAll = func(*os.File) error { all++; return one.fails }
			sync := l.sys.sync
			l.sys.sync = func(file *os.File) error {
				if file != l.dir && file != l.state && file.Name() != intentFile+".tmp" {
					alone <- file.Name()
				}
				return sync(file)
			}
			for _, o := range l.rotate() {
				if o.Result != Archived {
					t.Errorf("%+v", o)
				}
			}
			if all != one.all || len(alone) != one.alone {
				t.Errorf("the file system %d times, %d files, want %d, %d", all, len(alone), one.all, one.alone)
			}
		})
	}
}

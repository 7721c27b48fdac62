package proof

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// A piece is one file that holds a part of a log, as anybody finds it by its
// name, with the tools that anybody has.
type piece struct {
	path string
	// What orders pieces, the oldest first: foreign archives (by age, then
	// by date), ours, and the live file.
	kind  int
	age   int
	date  string
	part  int
	plain bool
}

const (
	numbered = iota // logrotate's, the highest number first
	dated           // logrotate's with dateext
	archived        // ours
	live
)

var (
	oursName     = regexp.MustCompile(`^-(\d{8}T\d{6}Z)(?:-(\d+))?(\.gz|\.zst)?$`)
	datedName    = regexp.MustCompile(`^-(\d{8}|\d{10})(\.gz|\.zst)?$`)
	numberedName = regexp.MustCompile(`^\.(\d+)(\.gz|\.zst)?$`)
)

// pieces are the files of the log called name, the oldest first.
func pieces(folder, name string) ([]piece, error) {
	entries, err := os.ReadDir(folder)
	if err != nil {
		return nil, err
	}
	var found []piece
	for _, entry := range entries {
		rest, is := strings.CutPrefix(entry.Name(), name)
		if !is || !entry.Type().IsRegular() {
			continue
		}
		one := piece{path: filepath.Join(folder, entry.Name())}
		suffix := ""
		if rest == "" {
			one.kind = live
		} else if m := oursName.FindStringSubmatch(rest); m != nil {
			one.kind, one.date, suffix = archived, m[1], m[3]
			// What was taken of a file in place comes before what was left of it.
			one.part = 1 << 30
			if m[2] != "" {
				one.part, _ = strconv.Atoi(m[2])
			}
		} else if m := datedName.FindStringSubmatch(rest); m != nil {
			one.kind, one.date, suffix = dated, m[1], m[2]
		} else if m := numberedName.FindStringSubmatch(rest); m != nil {
			one.kind, suffix = numbered, m[2]
			one.age, _ = strconv.Atoi(m[1])
		} else {
			continue
		}
		one.plain = suffix == ""
		found = append(found, one)
	}
	slices.SortFunc(found, func(a, b piece) int {
		return cmp.Or(
			cmp.Compare(a.kind, b.kind), -cmp.Compare(a.age, b.age),
			strings.Compare(a.date, b.date), cmp.Compare(a.part, b.part),
		)
	})
	return found, nil
}

// open reads one piece: archives through the tools of Debian, what is not
// compressed without its holes and its zero bytes, which no line has.
func (p piece) open() (io.ReadCloser, error) {
	if p.plain {
		file, err := os.Open(p.path)
		if err != nil {
			return nil, err
		}
		return &written{file: file}, nil
	}
	tool := "zcat"
	if strings.HasSuffix(p.path, ".zst") {
		tool = "zstdcat"
	}
	command := exec.Command(tool, p.path)
	said := &bytes.Buffer{}
	command.Stderr = said
	out, err := command.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := command.Start(); err != nil {
		return nil, err
	}
	return &unpacked{out, command, said}, nil
}

// unpacked is what zcat or zstdcat says, and an error instead of the end where
// they find the archive damaged.
type unpacked struct {
	io.ReadCloser
	command *exec.Cmd
	said    *bytes.Buffer
}

func (u *unpacked) Read(to []byte) (int, error) {
	n, err := u.ReadCloser.Read(to)
	if errors.Is(err, io.EOF) {
		if failed := u.command.Wait(); failed != nil {
			return n, fmt.Errorf("%s: %w: %s", u.command, failed, u.said)
		}
	}
	return n, err
}

// written is what was written to a file: its bytes but for holes and zeros.
type written struct {
	file *os.File
	at   int64
	end  int64 // of the data that begins before at
}

func (w *written) Close() error { return w.file.Close() }

func (w *written) Read(to []byte) (int, error) {
	for {
		if w.at >= w.end {
			begin, err := unix.Seek(int(w.file.Fd()), w.at, unix.SEEK_DATA)
			if errors.Is(err, unix.ENXIO) {
				return 0, io.EOF
			}
			if err != nil {
				return 0, err
			}
			end, err := unix.Seek(int(w.file.Fd()), begin, unix.SEEK_HOLE)
			if err != nil {
				return 0, err
			}
			w.at, w.end = begin, end
		}
		n, err := w.file.ReadAt(to[:min(int64(len(to)), w.end-w.at)], w.at)
		w.at += int64(n)
		kept := slices.DeleteFunc(to[:n], func(b byte) bool { return b == 0 })
		if len(kept) > 0 {
			return len(kept), nil
		}
		if err != nil && !errors.Is(err, io.EOF) {
			return 0, err
		}
		if n == 0 {
			w.end = w.at // cut off meanwhile
		}
	}
}

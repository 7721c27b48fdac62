package bundle

import (
	"archive/tar"
	"bytes"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/inmanta/inmanta-docker/problem"
)

// made is a part of a backup in these tests.
type made struct {
	name, text string
}

func someHeader() Header {
	return Header{
		ID: "01", Created: time.Date(2026, 11, 20, 14, 0, 0, 0, time.UTC), Project: "inmanta", Tool: "1.0", Consistent: true,
		Topology: []string{"iso"}, Settings: map[string]string{"INMANTA_NAME": "a<b"},
		Images:       map[string]Image{"db": {"postgres:16", "sha256:01"}},
		Orchestrator: Orchestrator{"Inmanta Service Orchestrator", "iso", "9.0", map[string]int64{"core": 202511}},
		Database:     Server{"16.4", 16, "inmanta", 1 << 20, "UTF8", "en_US.utf8"},
	}
}

func someContent() Content {
	return Content{
		Halted: []string{"6d1f0bd5-8e4a-4b62-8e4f-0d0b4d7c1d0a"},
		Tables: []Table{{"public", "resource", 12, "af"}},
		State:  Volume{Files: 3, Bytes: 17, UID: 996, GID: 995},
	}
}

// pack is a backup of these parts.
func pack(t testing.TB, parts ...made) []byte {
	t.Helper()
	var file bytes.Buffer
	w, err := NewWriter(&file, someHeader())
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range parts {
		to, err := w.Part(p.name)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(to, p.text); err != nil {
			t.Fatal(err)
		}
		if err := to.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := w.Finish(someContent()); err != nil {
		t.Fatal(err)
	}
	return file.Bytes()
}

// unpack reads all of a backup.
func unpack(file []byte) (h Header, m Manifest, parts []made, err error) {
	r, err := NewReader(bytes.NewReader(file), "FILE")
	if err != nil {
		return h, m, nil, err
	}
	for {
		name, part, err := r.Next()
		if errors.Is(err, io.EOF) {
			m, err = r.Manifest()
			return r.Header(), m, parts, err
		}
		if err != nil {
			return h, m, nil, err
		}
		text, err := io.ReadAll(part)
		if err != nil {
			return h, m, nil, err
		}
		parts = append(parts, made{name, string(text)})
	}
}

// idOf is the ID of the problem that an error is, "" of any other.
func idOf(err error) string {
	p, _ := errors.AsType[problem.Problem](err)
	return p.ID
}

func TestWhatIsWrittenIsRead(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("0123456789abcdef", 2*segmentSize/16)
	for name, parts := range map[string][]made{
		"none":              nil,
		"both":              {{State, "state"}, {Database, "database"}},
		"the other order":   {{Database, "database"}, {State, "state"}},
		"empty":             {{State, ""}, {Database, ""}},
		"a block":           {{Database, strings.Repeat("x", block)}},
		"a segment":         {{Database, long[:segmentSize]}},
		"two":               {{State, long}, {Database, "y"}},
		"a segment and one": {{Database, long[:segmentSize+1]}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			file := pack(t, parts...)
			h, m, got, err := unpack(file)
			if err != nil {
				t.Fatal(err)
			}
			should := someHeader()
			should.Format = Format
			if !reflect.DeepEqual(h, should) || !reflect.DeepEqual(m.Content, someContent()) || !reflect.DeepEqual(got, parts) {
				t.Errorf("it reads %+v, %+v and %d parts", h, m, len(got))
			}
			for i, p := range m.Parts {
				if p.Name != parts[i].name || p.Size != int64(len(parts[i].text)) || p.Segments != max(1, (len(parts[i].text)+segmentSize-1)/segmentSize) {
					t.Errorf("the manifest lists %+v", p)
				}
			}
			var read int64
			checked, again, err := Check(bytes.NewReader(file), "FILE", func(n int64) { read = n })
			if err != nil || !reflect.DeepEqual(again, m) || !reflect.DeepEqual(checked, h) || read != int64(len(file)) {
				t.Errorf("Check says %+v, %v, and counts %d of %d bytes", again, err, read, len(file))
			}
		})
	}
}

// A backup of years ago is read: this one was written by the first version that
// made any, and never again.
func TestTheFirstFormatIsRead(t *testing.T) {
	t.Parallel()
	file, err := os.ReadFile("testdata/format-1.inmanta-backup")
	if err != nil {
		t.Fatal(err)
	}
	h, m, parts, err := unpack(file)
	if err != nil || h.Project != "inmanta" || h.Orchestrator.Schema["core"] != 202511 || m.Content.Tables[0] != (Table{"public", "resource", 12, "af"}) {
		t.Errorf("%+v, %+v, %v", h, m, err)
	}
	if !slices.Equal(parts, []made{{State, "state"}, {Database, "database"}}) {
		t.Errorf("it has %q", parts)
	}
}

// Nobody needs this program to get at what is in a backup.
func TestStockToolsReadIt(t *testing.T) {
	t.Parallel()
	file := pack(t, made{State, strings.Repeat("s", segmentSize) + "state"}, made{Database, "database"})
	dir := t.TempDir()
	run := exec.Command("sh", "-e", "-c", `
		tar x
		sha256sum --quiet -c manifest.json.sha256
		test $(cat state.tar.zst/* | wc -c) = 8388613
		test "$(cat database.dump/*)" = database
		test "$(find . -type f -perm 600 -newermt 2026-11-20T13:59:59Z ! -newermt 2026-11-20T14:00:00Z | wc -l)" = 6
	`)
	run.Dir, run.Stdin = dir, bytes.NewReader(file)
	if output, err := run.CombinedOutput(); err != nil || len(output) != 0 {
		t.Errorf("tar and sha256sum say %q, %v", output, err)
	}
	if names, _ := filepath.Glob(dir + "/*"); len(names) != 5 {
		t.Errorf("unpacked are %v", names)
	}
	// Go's own reader is stricter in some things.
	for archive, n := tar.NewReader(bytes.NewReader(file)), 0; ; n++ {
		if _, err := archive.Next(); errors.Is(err, io.EOF) {
			if n != 6 {
				t.Errorf("it has %d entries", n)
			}
			return
		} else if err != nil {
			t.Fatal(err)
		}
	}
}

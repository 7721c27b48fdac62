package dbarchive

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"github.com/inmanta/inmanta-docker/sidecar/moments"
)

// segmentOf is a segment of 1 MiB whose first bytes are filled, and the rest zero.
func segmentOf(filled int) []byte {
	content := make([]byte, 1<<20)
	source := rand.NewChaCha8([32]byte{1})
	_, _ = source.Read(content[:filled])
	binary.LittleEndian.PutUint32(content[32:], 1<<20)
	return content
}

// packed is content as pg_receivewal writes it, that syncs after every piece; one
// that is cut short has no end.
func packed(t testing.TB, content []byte, piece int, whole bool) []byte {
	t.Helper()
	var out bytes.Buffer
	w, err := gzip.NewWriterLevel(&out, 1)
	for at := 0; err == nil && at < len(content); at += piece {
		if _, err = w.Write(content[at:min(at+piece, len(content))]); err == nil {
			err = w.Flush()
		}
	}
	if err == nil && whole {
		err = w.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func TestFetch(t *testing.T) {
	t.Parallel()
	const name = "000000010000000000000003"
	full := segmentOf(1 << 20)
	half, most := full[:500_000], full[:700_000]
	pad := func(content []byte) []byte {
		return append(bytes.Clone(content), make([]byte, len(full)-len(content))...)
	}
	flipped := packed(t, full, 1<<18, true)
	flipped[len(flipped)/2] ^= 4
	for what, c := range map[string]struct {
		files map[string][]byte
		want  []byte
	}{
		"a whole one":                  {map[string][]byte{".gz": packed(t, full, 1<<18, true)}, full},
		"a whole one, and what it was": {map[string][]byte{".gz": packed(t, full, 1<<18, true), ".gz.kept": packed(t, half, 1000, false)}, full},
		"a growing one":                {map[string][]byte{".gz.partial": packed(t, half, 1000, false)}, pad(half)},
		"one that was closed":          {map[string][]byte{".gz.partial": packed(t, half, 1000, true)}, pad(half)},
		"one written anew":             {map[string][]byte{".gz.partial": packed(t, half, 5000, false), ".gz.kept": packed(t, most, 1000, false)}, pad(most)},
		"one that is further again":    {map[string][]byte{".gz.partial": packed(t, most, 5000, false), ".gz.kept": packed(t, half, 1000, true)}, pad(most)},
		"a rest behind it":             {map[string][]byte{".gz": append(packed(t, full, 1<<18, true), "rest"...)}, full},
		"none":                         {nil, nil},
		"a whole one cut short":        {map[string][]byte{".gz": packed(t, full, 1<<18, false)}, nil},
		"a whole one too short":        {map[string][]byte{".gz": packed(t, half, 1<<18, true)}, nil},
		"a bit flipped":                {map[string][]byte{".gz": flipped}, nil},
		"nothing in it":                {map[string][]byte{".gz.partial": {}}, nil},
		"no segment":                   {map[string][]byte{".gz.partial": packed(t, make([]byte, 5000), 1000, false)}, nil},
	} {
		folder := t.TempDir()
		for ending, content := range c.files {
			if err := os.WriteFile(filepath.Join(folder, name+ending), content, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		target := filepath.Join(t.TempDir(), "target")
		err := Fetch(folder, name, target)
		got, _ := os.ReadFile(target)
		if (err == nil) != (c.want != nil) || !bytes.Equal(got, c.want) {
			t.Errorf("%s: %d bytes, %v", what, len(got), err)
		}
	}
	for _, name := range []string{"../x", "000000010000000000000003.gz", "about.json", "/etc/passwd"} {
		if err := Fetch(t.TempDir(), name, filepath.Join(t.TempDir(), "target")); err == nil {
			t.Errorf("%s is fetched", name)
		}
	}
}

// Whatever is set aside and begun anew, in whatever order, the most that was there
// stays to be had, and goes once the segment is whole.
func TestKeepGrown(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	const name = "000000010000000000000003"
	full := segmentOf(1 << 20)
	write := func(ending string, content []byte) {
		if err := os.WriteFile(filepath.Join(folder, name+ending), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, step := range []struct{ growing, most int }{{100_000, 100_000}, {400_000, 400_000}, {200_000, 400_000}, {0, 400_000}, {500_000, 500_000}} {
		write(moments.Growing, packed(t, full[:step.growing], 7000, false))
		if err := keepGrown(folder); err != nil {
			t.Fatal(err)
		}
		if _, err := os.Stat(filepath.Join(folder, name+moments.Growing)); err == nil {
			t.Errorf("after %d what was growing is in the way", step.growing)
		}
		if got, err := grown(folder, name); err != nil || len(got) != step.most {
			t.Errorf("after %d there are %d, %v", step.growing, len(got), err)
		}
	}
	write(moments.Compressed, packed(t, full, 1<<18, true))
	if err := keepGrown(folder); err != nil {
		t.Fatal(err)
	}
	if entries, err := os.ReadDir(folder); err != nil || len(entries) != 1 {
		t.Errorf("once it is whole there is %v, %v", entries, err)
	}
}

func FuzzInflate(f *testing.F) {
	content := segmentOf(5000)[:6000]
	for _, whole := range []bool{true, false} {
		f.Add(packed(f, content, 1000, whole), whole)
	}
	f.Add([]byte{}, false)
	f.Fuzz(func(t *testing.T, file []byte, whole bool) {
		if len(file) > 1<<16 {
			return
		}
		content, err := inflate(bytes.NewReader(file), whole)
		if err != nil && (!whole || content != nil) {
			t.Errorf("%d bytes with %v", len(content), err)
		}
		segment, err := padded(content, whole)
		if size, ok := segmentSize(segment); err == nil && (!ok || len(segment) != size) {
			t.Errorf("a segment has %d bytes, and says %d", len(segment), size)
		}
	})
}

package bundle

import (
	"archive/tar"
	"bytes"
	"errors"
	"io"
	"reflect"
	"slices"
	"strings"
	"testing"
)

// Whatever a file is, it is refused in words or it is a backup, and then stock tar
// sees the same in it.
func FuzzReader(f *testing.F) {
	good := pack(f, made{State, "state"}, made{Database, ""})
	f.Add(good)
	f.Add(pack(f))
	f.Add(good[:len(good)-1])
	f.Add(append(slices.Clone(good), 0))
	f.Add(good[:2*block])
	f.Add([]byte("age-encryption.org/v1\n"))
	f.Fuzz(func(t *testing.T, file []byte) {
		_, m, parts, err := unpack(file)
		if err != nil {
			if idOf(err) == "" {
				t.Errorf("an error that says nothing: %v", err)
			}
			return
		}
		if len(parts) != len(m.Parts) {
			t.Errorf("%d parts of %d", len(parts), len(m.Parts))
		}
		var seen []made
		for archive := tar.NewReader(bytes.NewReader(file)); ; {
			head, err := archive.Next()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil || head.Typeflag != tar.TypeReg {
				t.Fatalf("stock tar sees %+v, %v", head, err)
			}
			part, _, is := strings.Cut(head.Name, "/")
			if !is {
				continue
			}
			text, err := io.ReadAll(archive)
			if err != nil {
				t.Fatal(err)
			}
			if len(seen) == 0 || seen[len(seen)-1].name != part {
				seen = append(seen, made{name: part})
			}
			seen[len(seen)-1].text += string(text)
		}
		if !slices.Equal(seen, parts) {
			t.Errorf("stock tar sees %q, and this %q", seen, parts)
		}
	})
}

// An entry more, of whatever kind, is one too many.
func FuzzEntry(f *testing.F) {
	good := piecesOf(f, pack(f, made{State, "state"}))
	f.Add("../x", byte(tar.TypeReg), int64(0o600), "", []byte(""), 1)
	f.Add(segment(State, 2), byte(tar.TypeReg), int64(0o600), "", []byte("x"), 2)
	f.Add(segment(Database, 1), byte(tar.TypeReg), int64(0o600), "", []byte("x"), 2)
	f.Add(manifestName, byte(tar.TypeSymlink), int64(0o777), "/etc/passwd", []byte(""), 3)
	f.Fuzz(func(t *testing.T, name string, kind byte, mode int64, target string, content []byte, at int) {
		var text bytes.Buffer
		archive := tar.NewWriter(&text)
		header := tar.Header{Name: name, Typeflag: kind, Mode: mode, Linkname: target, Size: int64(len(content)), ModTime: someHeader().Created}
		if archive.WriteHeader(&header) != nil {
			return // tar has no such entry
		}
		if _, err := archive.Write(content); err != nil || archive.Flush() != nil {
			return
		}
		if at < 0 || at > len(good) {
			return
		}
		strange := piece{head: text.Bytes()}
		if file := join(slices.Insert(slices.Clone(good), at, strange)...); !refused(file) {
			t.Errorf("%+v is taken in, at %d", header, at)
		}
	})
}

func FuzzHeader(f *testing.F) {
	h := someHeader()
	h.Format = Format
	text, err := encode(h)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(text)
	f.Add([]byte(`{"format":2}`))
	f.Add([]byte(`{"format":1,"id":"x","created":"2026-11-20T14:00:00Z"}`))
	f.Add([]byte(`{"format":1,"FORMAT":2}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		h, err := parseHeader(text)
		if err != nil {
			return
		}
		again, err := encode(h)
		if err != nil {
			t.Fatalf("%+v cannot be written: %v", h, err)
		}
		if read, err := parseHeader(again); err != nil || !reflect.DeepEqual(read, h) {
			t.Errorf("%+v becomes %+v, %v", h, read, err)
		}
	})
}

func FuzzManifest(f *testing.F) {
	text, err := encode(Manifest{Header: "00", Parts: []Part{{State, 1, "00", 1}}, Content: someContent()})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(text)
	f.Add([]byte(`{"content":{"tables":[{"schema":"a","name":"b","rows":-1}]}}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		m, err := parseManifest(text)
		if err != nil {
			return
		}
		again, err := encode(m)
		if err != nil {
			t.Fatalf("%+v cannot be written: %v", m, err)
		}
		if read, err := parseManifest(again); err != nil || !reflect.DeepEqual(read, m) {
			t.Errorf("%+v becomes %+v, %v", m, read, err)
		}
		_ = m.matches("00", []Part{{State, 1, "00", 1}}) // does not panic
	})
}

package bundle

import (
	"errors"
	"io"
	"strings"
	"testing"
	"time"
)

// narrow takes so many bytes, and then no more.
type narrow struct{ left int }

var errFull = errors.New("no room")

// Write implements io.Writer.
func (n *narrow) Write(p []byte) (int, error) {
	if len(p) > n.left {
		return n.left, errFull
	}
	n.left -= len(p)
	return len(p), nil
}

// write writes a small backup as far as it gets.
func write(to io.Writer) error {
	w, err := NewWriter(to, someHeader())
	if err != nil {
		return err
	}
	part, err := w.Part(State)
	if err != nil {
		return err
	}
	if _, err := part.Write(make([]byte, segmentSize+1)); err != nil {
		return errors.Join(err, part.Close())
	}
	if err := part.Close(); err != nil {
		return err
	}
	_, err = w.Finish(someContent())
	return err
}

// Wherever there is no more room, it is told.
func TestWritingThatFails(t *testing.T) {
	t.Parallel()
	all := &narrow{1 << 30}
	if err := write(all); err != nil {
		t.Fatal(err)
	}
	whole := 1<<30 - all.left
	for _, left := range []int{0, 1, block, 2 * block, 4 * block, segmentSize, segmentSize + 5*block, whole - 2*block, whole - 1} {
		if err := write(&narrow{left}); !errors.Is(err, errFull) {
			t.Errorf("with room for %d bytes of %d: %v", left, whole, err)
		}
	}
}

// What is written in another order than it can be is never finished.
func TestWritingTheWrongWay(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		do   func(*Writer) error
		says string
	}{
		"a part of nobody":      {func(w *Writer) error { return errorOf(w.Part("more")) }, "no part"},
		"a part that leads up":  {func(w *Writer) error { return errorOf(w.Part("../" + State)) }, "no part"},
		"two at once":           {func(w *Writer) error { _, _ = w.Part(State); return errorOf(w.Part(Database)) }, "before state.tar.zst is closed"},
		"one twice":             {func(w *Writer) error { p, _ := w.Part(State); return errors.Join(p.Close(), errorOf(w.Part(State))) }, "written twice"},
		"the end before a part": {func(w *Writer) error { _, _ = w.Part(State); return errorOf(w.Finish(Content{})) }, "before its part state.tar.zst is closed"},
		"what is not read":      {func(w *Writer) error { return errorOf(w.Finish(Content{Tables: []Table{{"", "", 1, ""}}})) }, "can be no table"},
		"more than is read": {func(w *Writer) error {
			return errorOf(w.Finish(Content{Halted: []string{strings.Repeat("x", mostJSON)}}))
		}, "is the most"},
	} {
		w, err := NewWriter(io.Discard, someHeader())
		if err != nil {
			t.Fatal(err)
		}
		if err := c.do(w); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := w.Finish(someContent()); err == nil {
			t.Errorf("%s: and then it is finished", name)
		}
		if _, err := w.Part(Database); err == nil {
			t.Errorf("%s: and then it goes on", name)
		}
	}
	w, err := NewWriter(io.Discard, someHeader())
	if err != nil {
		t.Fatal(err)
	}
	part, err := w.Part(State)
	if err := errors.Join(err, part.Close(), part.Close()); err != nil {
		t.Error(err)
	}
	if _, err := part.Write([]byte("x")); err == nil {
		t.Error("a part goes on after its end")
	}
	if _, err := w.Finish(someContent()); err != nil {
		t.Error(err)
	}
	if _, err := w.Finish(someContent()); err == nil {
		t.Error("it is finished twice")
	}
}

func TestHeadersThatAreNotWritten(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*Header){
		"no id":             func(h *Header) { h.ID = "" },
		"no time":           func(h *Header) { h.Created = time.Time{} },
		"a time far ahead":  func(h *Header) { h.Created = time.Unix(1<<33, 0) },
		"more than is read": func(h *Header) { h.Settings = map[string]string{"x": strings.Repeat("x", mostJSON)} },
	} {
		h := someHeader()
		change(&h)
		if _, err := NewWriter(io.Discard, h); err == nil {
			t.Errorf("%s: it is written", name)
		}
	}
}

package bundle

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"slices"
	"time"
)

// Writer writes one backup. It is not safe for concurrent use. After an error the
// file is worth nothing, and every further call fails.
type Writer struct {
	to      io.Writer
	created time.Time
	header  string
	parts   []Part
	open    *partWriter
	buffer  []byte // one segment; shared by the parts
	err     error
}

var zeros [2 * block]byte

// NewWriter begins a backup with its header, whose format it sets and whose time
// it cuts to whole seconds, in UTC.
func NewWriter(to io.Writer, h Header) (*Writer, error) {
	h.Format, h.Created = Format, h.Created.UTC().Truncate(time.Second)
	if err := h.valid(); err != nil {
		return nil, fmt.Errorf("the header of the backup: %w", err)
	}
	text, err := encode(h)
	if err != nil {
		return nil, fmt.Errorf("encoding the header of the backup: %w", err)
	}
	sum := sha256.Sum256(text)
	w := &Writer{to: to, created: h.Created, header: hex.EncodeToString(sum[:])}
	return w, w.entry(headerName, text)
}

// Part begins a part: State or Database. What is written to it gets there a
// segment at a time, the last one with Close. One part is open at a time, and none
// is written twice.
func (w *Writer) Part(name string) (io.WriteCloser, error) {
	switch {
	case w.err != nil:
		return nil, w.err
	case w.open != nil:
		return nil, w.fail(fmt.Errorf("the part %s is begun before %s is closed", name, w.open.name))
	case !slices.Contains(known, name):
		return nil, w.fail(fmt.Errorf("a backup has no part %q", name))
	case slices.ContainsFunc(w.parts, func(p Part) bool { return p.Name == name }):
		return nil, w.fail(fmt.Errorf("the part %s is written twice", name))
	}
	if w.buffer == nil {
		w.buffer = make([]byte, 0, segmentSize)
	}
	w.open = &partWriter{to: w, name: name, sum: sha256.New()}
	return w.open, nil
}

// Finish writes the manifest and the end. Until then there is no backup.
func (w *Writer) Finish(c Content) (Manifest, error) {
	if w.err != nil {
		return Manifest{}, w.err
	}
	if w.open != nil {
		return Manifest{}, w.fail(fmt.Errorf("the backup is finished before its part %s is closed", w.open.name))
	}
	m := Manifest{Header: w.header, Parts: w.parts, Content: c}
	text, err := encode(m)
	if err == nil {
		// What its own reader refuses is no backup, however well it is written.
		_, err = parseManifest(text)
	}
	if err != nil {
		return Manifest{}, w.fail(fmt.Errorf("encoding the manifest of the backup: %w", err))
	}
	sum := sha256.Sum256(text)
	if err := errors.Join(w.entry(manifestName, text), w.entry(sumName, []byte(sumText(sum[:]))), w.write(zeros[:])); err != nil {
		return Manifest{}, err
	}
	w.err = errors.New("the backup is finished already")
	return m, nil
}

// fail makes an error the Writer's last.
func (w *Writer) fail(err error) error {
	w.err = err
	return err
}

func (w *Writer) write(p []byte) error {
	if w.err != nil {
		return w.err
	}
	if _, err := w.to.Write(p); err != nil {
		return w.fail(fmt.Errorf("writing the backup: %w", err))
	}
	return nil
}

// entry writes one entry of the archive.
func (w *Writer) entry(name string, content []byte) error {
	e := entry{name, int64(len(content))}
	head, err := render(e, w.created)
	if err != nil {
		return w.fail(fmt.Errorf("writing the entry %s of the backup: %w", name, err))
	}
	for _, p := range [][]byte{head, content, zeros[:e.padding()]} {
		if err := w.write(p); err != nil {
			return err
		}
	}
	return nil
}

// partWriter is one part on its way.
type partWriter struct {
	to       *Writer
	name     string
	sum      hash.Hash
	size     int64
	segments int
	closed   bool
}

// Write implements io.Writer.
func (p *partWriter) Write(content []byte) (int, error) {
	w := p.to
	if p.closed {
		return 0, fmt.Errorf("the part %s is closed already", p.name)
	}
	written := 0
	for written < len(content) {
		// Not before there is more: the last segment is for Close.
		if len(w.buffer) == segmentSize {
			if err := p.flush(); err != nil {
				return written, err
			}
		}
		n := min(segmentSize-len(w.buffer), len(content)-written)
		w.buffer = append(w.buffer, content[written:written+n]...)
		written += n
	}
	return written, w.err
}

// flush writes what is buffered as a segment.
func (p *partWriter) flush() error {
	w := p.to
	if p.segments == mostSegments {
		return w.fail(fmt.Errorf("the part %s is larger than %d bytes", p.name, int64(mostSegments)*segmentSize))
	}
	p.segments++
	p.size += int64(len(w.buffer))
	p.sum.Write(w.buffer)
	err := w.entry(segment(p.name, p.segments), w.buffer)
	w.buffer = w.buffer[:0]
	return err
}

// Close writes the last segment.
func (p *partWriter) Close() error {
	if p.closed {
		return p.to.err
	}
	p.closed = true
	p.to.open = nil
	if err := p.flush(); err != nil {
		return err
	}
	p.to.parts = append(p.to.parts, Part{p.name, p.size, hex.EncodeToString(p.sum.Sum(nil)), p.segments})
	return nil
}

package bundle

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"slices"
	"time"
)

// Reader reads one backup, in one go. It is not safe for concurrent use. Nothing
// that it gave is known to be whole before Next has said io.EOF.
type Reader struct {
	from     *bufio.Reader
	where    string
	header   Header
	sum      string // of the header
	created  time.Time
	parts    []Part
	open     *partReader
	ahead    *entry // met while the open part was read
	manifest Manifest
	err      error // io.EOF after all of it was read and found good
}

// NewReader reads the header of a backup that is called where in what is said
// about it. Anything else than a backup that this version can read, an encrypted
// one included, is refused with a problem.Problem.
func NewReader(from io.Reader, where string) (*Reader, error) {
	r := &Reader{from: bufio.NewReaderSize(from, 64<<10), where: where}
	if head, _ := r.from.Peek(len(intro)); IsEncrypted(head) {
		return nil, locked(where)
	}
	head := make([]byte, block)
	if n, err := io.ReadFull(r.from, head); err != nil {
		if !bytes.HasPrefix(head[:n], []byte(headerName)) && (errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)) {
			return nil, foreign(where, err)
		}
		return nil, unreadable(where, err)
	}
	if name, _, _ := bytes.Cut(head, []byte{0}); string(name) != headerName {
		return nil, foreign(where, nil)
	}
	created, err := createdOf(head)
	if err != nil {
		return nil, damaged(where, err)
	}
	r.created = created
	e, err := parse(head, created)
	if err != nil {
		return nil, damaged(where, err)
	}
	text, err := r.whole(e)
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(text)
	r.sum = hex.EncodeToString(sum[:])
	r.header, err = parseHeader(text)
	switch {
	case errors.Is(err, errNewer):
		return nil, newer(where)
	case err != nil:
		return nil, damaged(where, fmt.Errorf("its header cannot be read: %w", err))
	case !r.header.Created.Equal(created):
		return nil, damaged(where, errors.New("its header says another time than its entries"))
	}
	return r, nil
}

// Header is what the backup says of itself.
func (r *Reader) Header() Header { return r.header }

// Next is the next part and what is in it, to be read before Next is called again;
// what is left of it then is read and checked, and thrown away. After the last part
// the manifest is read, and all of it compared: io.EOF says that the file is what
// was written, and ends there.
func (r *Reader) Next() (name string, part io.Reader, err error) {
	if r.open != nil {
		if _, err := io.Copy(io.Discard, r.open); err != nil {
			return "", nil, err
		}
	}
	if r.err != nil {
		return "", nil, r.err
	}
	e, err := r.entry()
	if err != nil {
		return "", nil, err
	}
	name, number, is := e.part()
	switch {
	case is && number != 1:
		return "", nil, r.damaged("%s comes without those before it", e.name)
	case is && slices.ContainsFunc(r.parts, func(p Part) bool { return p.Name == name }):
		return "", nil, r.damaged("its %s is there twice", name)
	case is:
		r.open = &partReader{from: r, name: name, sum: sha256.New(), segments: 1, now: e, left: e.size}
		return name, r.open, nil
	case e.name != manifestName:
		return "", nil, r.damaged("%s is not where it belongs", e.name)
	}
	if err := r.finish(e); err != nil {
		return "", nil, err
	}
	r.err = io.EOF
	return "", nil, io.EOF
}

// Manifest is what the backup consists of; known when Next has said io.EOF.
func (r *Reader) Manifest() (Manifest, error) {
	if !errors.Is(r.err, io.EOF) {
		return Manifest{}, errors.New("the manifest of the backup has not been read yet")
	}
	return r.manifest, nil
}

// finish reads the manifest and the end.
func (r *Reader) finish(e entry) error {
	text, err := r.whole(e)
	if err != nil {
		return err
	}
	sum := sha256.Sum256(text)
	if e, err = r.entry(); err != nil {
		return err
	}
	if e.name != sumName {
		return r.damaged("%s follows its manifest", e.name)
	}
	seal, err := r.whole(e)
	if err != nil {
		return err
	}
	if string(seal) != sumText(sum[:]) {
		return r.damaged("its manifest is not the one that was written")
	}
	m, err := parseManifest(text)
	if err != nil {
		return r.damaged("its manifest cannot be read: %w", err)
	}
	if err := m.matches(r.sum, r.parts); err != nil {
		return r.damaged("%w", err)
	}
	end := make([]byte, len(zeros))
	if _, err := io.ReadFull(r.from, end); err != nil {
		return r.fail(unreadable(r.where, err))
	}
	if !bytes.Equal(end, zeros[:]) {
		return r.damaged("something follows its manifest")
	}
	switch _, err := r.from.ReadByte(); {
	case err == nil:
		return r.damaged("something follows its end")
	case !errors.Is(err, io.EOF):
		return r.fail(unreadable(r.where, err))
	}
	r.manifest = m
	return nil
}

// entry reads the next header block.
func (r *Reader) entry() (entry, error) {
	if e := r.ahead; e != nil {
		r.ahead = nil
		return *e, nil
	}
	head := make([]byte, block)
	if _, err := io.ReadFull(r.from, head); err != nil {
		return entry{}, r.fail(unreadable(r.where, err))
	}
	if bytes.Equal(head, zeros[:block]) {
		return entry{}, r.fail(unfinished(r.where))
	}
	e, err := parse(head, r.created)
	if err != nil {
		return entry{}, r.damaged("%w", err)
	}
	return e, nil
}

// whole reads all of a short entry. It grows with what is there, not with what the
// entry claims.
func (r *Reader) whole(e entry) ([]byte, error) {
	text, err := io.ReadAll(io.LimitReader(r.from, e.size))
	if err != nil {
		return nil, r.fail(unreadable(r.where, err))
	}
	if int64(len(text)) != e.size {
		return nil, r.fail(unfinished(r.where))
	}
	return text, r.pad(e)
}

// pad reads what follows an entry's content.
func (r *Reader) pad(e entry) error {
	padding := make([]byte, e.padding())
	if _, err := io.ReadFull(r.from, padding); err != nil {
		return r.fail(unreadable(r.where, err))
	}
	if !bytes.Equal(padding, zeros[:len(padding)]) {
		return r.damaged("something is hidden behind its %s", e.name)
	}
	return nil
}

// fail makes an error the Reader's last.
func (r *Reader) fail(err error) error {
	r.err = err
	return err
}

func (r *Reader) damaged(format string, of ...any) error {
	return r.fail(damaged(r.where, fmt.Errorf(format, of...)))
}

// partReader is one part as it is read.
type partReader struct {
	from     *Reader
	name     string
	sum      hash.Hash
	size     int64
	segments int
	now      entry // the segment
	left     int64 // of it
}

// Read implements io.Reader.
func (p *partReader) Read(into []byte) (int, error) {
	r := p.from
	switch {
	case r.open != p:
		return 0, io.EOF // as it was when it ended, or was left behind
	case r.err != nil:
		return 0, r.err
	case len(into) == 0:
		return 0, nil
	}
	for p.left == 0 {
		more, err := p.turn()
		if err != nil {
			return 0, err
		}
		if !more {
			r.open = nil
			r.parts = append(r.parts, Part{p.name, p.size, hex.EncodeToString(p.sum.Sum(nil)), p.segments})
			return 0, io.EOF
		}
	}
	n, err := r.from.Read(into[:min(int64(len(into)), p.left)])
	p.sum.Write(into[:n])
	p.size += int64(n)
	p.left -= int64(n)
	if err != nil {
		return n, r.fail(unreadable(r.where, err))
	}
	return n, nil
}

// turn goes on to the next segment, if there is one.
func (p *partReader) turn() (more bool, err error) {
	r := p.from
	if err := r.pad(p.now); err != nil {
		return false, err
	}
	next, err := r.entry()
	if err != nil {
		return false, err
	}
	name, number, is := next.part()
	if !is || name != p.name {
		r.ahead = &next
		return false, nil
	}
	switch {
	case number != p.segments+1:
		return false, r.damaged("%s follows %s", next.name, p.now.name)
	case p.now.size != segmentSize:
		return false, r.damaged("%s is shorter than those that are not the last", p.now.name)
	case next.size == 0:
		return false, r.damaged("%s is empty", next.name)
	}
	p.segments, p.now, p.left = number, next, next.size
	return true, nil
}

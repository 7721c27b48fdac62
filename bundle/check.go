package bundle

import (
	"errors"
	"io"
)

// Check reads all of a backup and says whether it is what was written. The
// progress is told how many bytes of the file have been read, from time to time;
// it may be nil.
func Check(from io.Reader, where string, progress func(read int64)) (Header, Manifest, error) {
	if progress != nil {
		from = &counted{from: from, progress: progress}
	}
	r, err := NewReader(from, where)
	if err != nil {
		return Header{}, Manifest{}, err
	}
	for {
		// Next reads what it finds unread.
		if _, _, err := r.Next(); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return Header{}, Manifest{}, err
		}
	}
	m, err := r.Manifest()
	return r.Header(), m, err
}

// counted tells how much was read.
type counted struct {
	from     io.Reader
	read     int64
	progress func(int64)
}

// Read implements io.Reader.
func (c *counted) Read(into []byte) (int, error) {
	n, err := c.from.Read(into)
	c.read += int64(n)
	c.progress(c.read)
	return n, err
}

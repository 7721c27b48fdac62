package rotation

import (
	"bytes"
	"errors"
	"io"
)

// comparison is written to, and compares that with what it reads.
type comparison struct {
	with   io.Reader
	buffer []byte
	length int64 // of what was the same, in bytes
}

var (
	errDiffers = errors.New("it differs")
	errEnds    = errors.New("there is more than in the archive")
)

// Write fails with errDiffers, or with errEnds once all that there is was the same.
func (c *comparison) Write(p []byte) (int, error) {
	if len(c.buffer) < len(p) {
		c.buffer = make([]byte, len(p))
	}
	n, err := io.ReadFull(c.with, c.buffer[:len(p)])
	c.length += int64(n)
	switch {
	case !bytes.Equal(c.buffer[:n], p[:n]):
		return 0, errDiffers
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return n, errEnds
	case err != nil:
		return n, err
	}
	return len(p), nil
}

// ended says whether all that there is to read was written, too.
func (c *comparison) ended() (bool, error) {
	_, err := io.ReadFull(c.with, make([]byte, 1))
	if errors.Is(err, io.EOF) {
		return true, nil
	}
	return false, err
}

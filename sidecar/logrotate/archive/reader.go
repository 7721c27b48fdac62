package archive

import (
	"bytes"
	"errors"
	"fmt"
	"io"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// largestWindow is how far back a zstd archive may refer, in bytes, which is how
// much memory its reading takes. It is what every decoder should take (RFC 8878)
// and what zstd -19 needs; only --ultra and --long go beyond.
const largestWindow = 8 << 20

// NewReader decompresses r: all members of a gzip file, all frames of zstd. An
// archive that is cut off, or continues with something else, ends in an error
// after all that could be read. Memory is bounded whatever is in it. Close gives
// the memory back and does not close r.
func NewReader(r io.Reader, format Format) (io.ReadCloser, error) {
	if format == Plain {
		return io.NopCloser(r), nil
	}
	// An archive of nothing has some bytes. One without any was not completed.
	var first [1]byte
	if _, err := io.ReadFull(r, first[:]); errors.Is(err, io.EOF) {
		return nil, io.ErrUnexpectedEOF
	} else if err != nil {
		return nil, err
	}
	r = io.MultiReader(bytes.NewReader(first[:]), r)
	switch format {
	case Gzip:
		decoder, err := gzip.NewReader(r)
		if err != nil {
			return nil, err
		}
		return decoder, nil
	case Zstd:
		decoder, err := zstd.NewReader(r,
			zstd.WithDecoderConcurrency(1),
			zstd.WithDecoderLowmem(true),
			zstd.WithDecoderMaxWindow(largestWindow))
		if err != nil {
			return nil, err
		}
		return decoder.IOReadCloser(), nil
	default:
		return nil, fmt.Errorf("%s cannot be read here: use its own tool", format)
	}
}

package archive

import (
	"fmt"
	"io"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// DefaultGzip and DefaultZstd are the levels that level 0 stands for.
const (
	DefaultGzip = 6
	DefaultZstd = 3
)

// windowSize is how far back zstd looks, in bytes: it decides what an encoder
// takes of the memory, and how much of that stays in the processor's own. Lines of
// a log are like those shortly before.
const windowSize = 512 << 10

// Writer compresses. Close completes what was written and leaves the underlying
// writer open; after Close, Reset starts another with the same buffers, which are
// most of what a small file costs. It is not for several goroutines at once.
type Writer interface {
	io.WriteCloser
	Reset(w io.Writer)
}

// NewWriter compresses to w, in the caller's goroutine. Level 0 is the default;
// else gzip has 1 to 9 and zstd 1 to 22, of which four are told apart: below 3,
// below 6, below 10, and above. Plain has none. What is written without a byte is
// a whole archive, too.
func NewWriter(w io.Writer, format Format, level int) (Writer, error) {
	if err := CheckLevel(format, level); err != nil {
		return nil, err
	}
	switch format {
	case Gzip:
		if level == 0 {
			level = DefaultGzip
		}
		return gzip.NewWriterLevel(w, level)
	case Zstd:
		if level == 0 {
			level = DefaultZstd
		}
		return zstd.NewWriter(w,
			zstd.WithEncoderLevel(zstd.EncoderLevelFromZstd(level)),
			zstd.WithEncoderConcurrency(1),
			zstd.WithLowerEncoderMem(true),
			zstd.WithWindowSize(windowSize),
			zstd.WithZeroFrames(true))
	default:
		return &plainWriter{w}, nil
	}
}

// CheckLevel refuses what NewWriter does.
func CheckLevel(format Format, level int) error {
	highest := map[Format]int{Plain: 0, Gzip: 9, Zstd: 22}
	most, known := highest[format]
	switch {
	case !known:
		return fmt.Errorf("archives are not written in %s", format)
	case level < 0 || level > most:
		return fmt.Errorf("%s has levels up to %d, not %d", format, most, level)
	}
	return nil
}

// plainWriter does not compress.
type plainWriter struct{ io.Writer }

func (p *plainWriter) Reset(w io.Writer) { p.Writer = w }

func (p *plainWriter) Close() error { return nil }

package volume

import (
	"fmt"
	"io"
	"runtime"
	"sync"

	"github.com/klauspost/compress/zstd"
)

// frame is how much is compressed by itself, in bytes: the parts of a stream are
// compressed at the same time, and decompressed as one by whatever knows zstd.
const frame = 4 << 20

// mostCompressors bounds the memory that it takes: two frames each.
const mostCompressors = 4

// compressor writes what is written to it as zstd's frames.
type compressor struct {
	encoder *zstd.Encoder
	// spare are the frames that nobody uses: there is nothing to wait for but them.
	spare   chan *part
	filling *part
	todo    chan *part
	ordered chan *part
	workers sync.WaitGroup
	written chan struct{} // closed when all is written, or cannot be
	err     error         // to be read when written is closed
}

// part is one frame.
type part struct {
	text, packed []byte
	done         chan struct{} // has one value when it is compressed
}

func newCompressor(out io.Writer) (*compressor, error) {
	workers := min(runtime.GOMAXPROCS(0), mostCompressors)
	encoder, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedDefault), zstd.WithEncoderConcurrency(workers), zstd.WithWindowSize(frame))
	if err != nil {
		return nil, fmt.Errorf("preparing compression: %w", err)
	}
	parts := workers + 1 // each is compressed, while one is filled or written
	c := &compressor{
		encoder: encoder, written: make(chan struct{}),
		spare: make(chan *part, parts), todo: make(chan *part, parts), ordered: make(chan *part, parts),
	}
	for range parts {
		c.spare <- &part{done: make(chan struct{}, 1)}
	}
	for range workers {
		c.workers.Go(func() {
			for p := range c.todo {
				p.packed = c.encoder.EncodeAll(p.text, p.packed[:0])
				p.done <- struct{}{}
			}
		})
	}
	go c.writeTo(out)
	return c, nil
}

// writeTo writes the frames in order. After an error they are only taken back.
func (c *compressor) writeTo(out io.Writer) {
	defer close(c.written)
	for p := range c.ordered {
		<-p.done
		if c.err == nil {
			_, c.err = out.Write(p.packed)
		}
		if c.err != nil {
			return
		}
		c.spare <- p
	}
}

// Write fails with what writing further has failed with, a while later.
func (c *compressor) Write(text []byte) (int, error) {
	all := len(text)
	for len(text) > 0 {
		if c.filling == nil {
			select {
			case c.filling = <-c.spare:
			case <-c.written:
				return 0, c.err
			}
			if c.filling.text == nil {
				// At once: what grows leaves what it was for the collector.
				c.filling.text = make([]byte, 0, frame)
				c.filling.packed = make([]byte, 0, c.encoder.MaxEncodedSize(frame))
			}
			c.filling.text = c.filling.text[:0]
		}
		n := min(len(text), frame-len(c.filling.text))
		c.filling.text = append(c.filling.text, text[:n]...)
		text = text[n:]
		if len(c.filling.text) == frame {
			c.hand()
		}
	}
	return all, nil
}

// hand gives what was filled to those who compress and write it.
func (c *compressor) hand() {
	c.todo <- c.filling // there is room for all of them
	c.ordered <- c.filling
	c.filling = nil
}

// Close writes what is left.
func (c *compressor) Close() error {
	if c.filling != nil {
		c.hand()
	}
	close(c.todo)
	close(c.ordered)
	c.workers.Wait()
	<-c.written
	return c.err
}

package volume

import (
	"errors"
	"fmt"
	"io"

	"golang.org/x/sys/unix"
)

// The sizes of what is under way: memory is bounded by them, whatever is packed.
const (
	batches    = 8         // that are read or waiting
	batchItems = 32        // files in one
	smallFile  = 64 << 10  // bytes of a file that is read into a batch
	batchBytes = 512 << 10 // beyond which the rest of a batch counts as large
	chunk      = 256 << 10
)

// batch is some items of a stream, one after the other.
type batch struct {
	items []item
	text  []byte        // the blocks of all items, but for large ones
	ready chan struct{} // closed when it has been read
}

// item is one entry of a stream.
type item struct {
	kind       uint8 // DT_REG and the like
	name       string
	base       string // the last element of name
	in         *folder
	stat       unix.Stat_t
	attributes []attribute

	from, to int  // its blocks in the batch's text
	large    bool // it is read when it is written
	gone     bool // it is not there, or of another kind
	changed  bool
	fd       int // of a large one, while it is written
	err      error
}

// failed notes why it could not be read, if it could not.
func (i *item) failed(err error) {
	if i.gone = vanished(err); !i.gone {
		i.err = err
	}
}

func (p *packing) newBatch() *batch {
	b, ok := p.free.Get().(*batch)
	if !ok {
		b = &batch{items: make([]item, 0, batchItems), text: make([]byte, 0, batchBytes+2*smallFile)}
	}
	b.items, b.text, b.ready = b.items[:0], b.text[:0], make(chan struct{})
	return b
}

// drop lets go of the folders.
func (b *batch) drop() {
	for n := range b.items {
		if i := &b.items[n]; i.in != nil {
			i.in.release()
			i.in = nil
		}
	}
}

// read reads all items but large files.
func (b *batch) read() {
	for n := range b.items {
		i := &b.items[n]
		i.from = len(b.text)
		err := b.readItem(i)
		i.failed(err)
		if err != nil {
			b.text = b.text[:i.from]
		}
		i.to = len(b.text)
	}
}

func (b *batch) readItem(i *item) error {
	switch i.kind {
	case unix.DT_DIR:
		name := i.name
		if name == "" {
			name = "./"
		}
		h := headerOf(kindFolder, name, &i.stat)
		h.attributes = i.attributes
		b.text = h.appendTo(b.text)
		return nil
	case unix.DT_REG:
		return b.readFile(i)
	case unix.DT_LNK, unix.DT_FIFO:
		return b.readOther(i)
	}
	return unix.ENOENT // walk found nothing there
}

// readOther reads a symbolic link or a pipe.
func (b *batch) readOther(i *item) error {
	if err := unix.Fstatat(i.in.fd, i.base, &i.stat, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return err
	}
	h := headerOf(kindPipe, i.name, &i.stat)
	switch i.stat.Mode & unix.S_IFMT {
	case unix.S_IFIFO:
	case unix.S_IFLNK:
		to := make([]byte, unix.PathMax)
		n, err := unix.Readlinkat(i.in.fd, i.base, to)
		if errors.Is(err, unix.EINVAL) {
			return unix.ENOENT // it is none any more
		}
		if err != nil {
			return err
		}
		h.kind, h.link = kindSymlink, string(to[:n])
	default:
		return unix.ENOENT
	}
	b.text = h.appendTo(b.text)
	return nil
}

// readFile reads a file, unless it is large.
func (b *batch) readFile(i *item) error {
	fd, err := i.open()
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	if i.large = i.stat.Size > smallFile || len(b.text) > batchBytes; i.large {
		return nil
	}
	h, err := i.header(fd)
	if err != nil {
		return err
	}
	b.text = h.appendTo(b.text)
	at, size := len(b.text), int(i.stat.Size)
	b.text = append(b.text, make([]byte, size+-size&(block-1))...)
	n, err := readAt(fd, b.text[at:at+size], 0)
	if err != nil {
		return err
	}
	i.changed = n < size || i.touched(fd)
	return nil
}

// open opens a file, and says what it is in stat.
func (i *item) open() (int, error) {
	// A pipe that took the name must not make us wait for its other end.
	fd, err := open(i.in.fd, i.base, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_NOCTTY, 0)
	if err != nil {
		return -1, err
	}
	err = unix.Fstat(fd, &i.stat)
	if err == nil && i.stat.Mode&unix.S_IFMT != unix.S_IFREG {
		err = unix.ENOENT
	}
	if err != nil {
		_ = unix.Close(fd)
		return -1, err
	}
	return fd, nil
}

func (i *item) header(fd int) (header, error) {
	h := headerOf(kindFile, i.name, &i.stat)
	h.size = i.stat.Size
	var err error
	h.attributes, err = attributes(fd)
	return h, err
}

// touched says whether a file is another than when it was opened.
func (i *item) touched(fd int) bool {
	var now unix.Stat_t
	return unix.Fstat(fd, &now) != nil || now.Size != i.stat.Size || now.Mtim != i.stat.Mtim || now.Ctim != i.stat.Ctim
}

// readAt fills text from an offset on, as far as the file goes.
func readAt(fd int, text []byte, from int64) (int, error) {
	read := 0
	for read < len(text) {
		n, err := unix.Pread(fd, text[read:], from+int64(read))
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return read, err
		}
		if n == 0 {
			break
		}
		read += n
	}
	return read, nil
}

// writeLarge reads a large file that is open, and writes it as it comes.
func (p *packing) writeLarge(i *item, out io.Writer) error {
	fail := func(err error) error { return fmt.Errorf("reading %q: %w", "/"+i.name, err) }
	h, err := i.header(i.fd)
	if err != nil {
		return fail(err)
	}
	if err := written(out.Write(h.appendTo(nil))); err != nil {
		return err
	}
	if p.buffer == nil {
		p.buffer = make([]byte, chunk)
	}
	for at := int64(0); at < h.size; {
		want := p.buffer[:min(h.size-at, int64(len(p.buffer)))]
		n, err := readAt(i.fd, want, at)
		if err != nil {
			return fail(err)
		}
		clear(want[n:])
		if err := written(out.Write(want)); err != nil {
			return err
		}
		at += int64(len(want))
	}
	if i.touched(i.fd) {
		p.summary.change(i.name)
	}
	return written(out.Write(padded(nil, int(h.size%block))))
}

package volume

import (
	"errors"
	"fmt"
	"io"
	"path"
	"sync"

	"golang.org/x/sys/unix"
)

// readers are how many files are read at once: what is not in memory is waited
// for together.
const readers = 4

// Pack writes all that is below the folder to out: a tar file, POSIX's, compressed
// with zstd. In it come folders before what is in them, and names in the order of
// their bytes, so that the same volume gives the same stream. Excluded are names
// below the folder, with all below them.
func Pack(where string, excluded []string, out io.Writer) (Summary, error) {
	compressed, err := newCompressor(out)
	if err != nil {
		return Summary{}, err
	}
	summary, err := packTo(where, excluded, compressed)
	if closeErr := compressed.Close(); err == nil && closeErr != nil {
		err = fmt.Errorf("writing the stream: %w", closeErr)
	}
	return summary, err
}

// packing is one run: walk puts batches of files into both channels, readers
// take them from todo in any order, and write takes them from ordered.
type packing struct {
	excluded      map[string]bool
	summary       Summary // what write and walk know; walk's part is joined at the end
	skipped       int64
	todo, ordered chan *batch
	stop          chan struct{} // closed when write has failed
	free          sync.Pool     // of batches
	batch         *batch        // that walk fills
	walkErr       error
	linked        map[inode]*linkedFile
	buffer        []byte
}

// inode is a file as the kernel knows it, and linkedFile one with several names.
type (
	inode      struct{ device, number uint64 }
	linkedFile struct {
		name  string // its first one
		times uint64 // how many names are still to come
	}
)

// packTo writes the tar file.
func packTo(where string, excluded []string, out io.Writer) (Summary, error) {
	p := &packing{
		excluded: map[string]bool{restoreName: true},
		todo:     make(chan *batch, batches), ordered: make(chan *batch, batches),
		stop: make(chan struct{}), linked: map[inode]*linkedFile{},
	}
	for _, name := range excluded {
		p.excluded[path.Clean(name)] = true
	}
	top, stat, err := openTop(where)
	if err != nil {
		return Summary{}, err
	}
	p.summary.UID, p.summary.GID = stat.Uid, stat.Gid

	var reading, walking sync.WaitGroup
	for range readers {
		reading.Go(func() {
			for b := range p.todo {
				b.read()
				close(b.ready)
			}
		})
	}
	walking.Go(func() {
		p.walkErr = p.walk(top, stat)
		close(p.todo)
		close(p.ordered)
	})
	err = p.write(out)
	close(p.stop)
	for b := range p.ordered {
		<-b.ready
		b.drop()
	}
	reading.Wait()
	walking.Wait()
	p.summary.Skipped = p.skipped
	if err == nil {
		err = p.walkErr
	}
	return p.summary, err
}

// errStopped is what walk ends with when there is nobody to walk for.
var errStopped = errors.New("stopped")

// walk goes through all there is.
func (p *packing) walk(top *folder, stat unix.Stat_t) error {
	p.batch = p.newBatch()
	err := p.folder(top, "", stat)
	if err == nil {
		err = p.hand()
	}
	if err != nil {
		p.batch.drop()
	}
	if errors.Is(err, errStopped) {
		return nil // write says why
	}
	return err
}

// folder goes through one folder, and lets go of it. Its name ends with a slash,
// but for that of the volume's own.
func (p *packing) folder(f *folder, name string, stat unix.Stat_t) error {
	defer f.release()
	fail := func(err error) error { return fmt.Errorf("reading the folder %q: %w", "/"+name, err) }
	attributes, err := attributes(f.fd)
	if err != nil {
		return fail(err)
	}
	if err := p.add(item{kind: unix.DT_DIR, name: name, stat: stat, attributes: attributes}); err != nil {
		return err
	}
	entries, err := f.names()
	if vanished(err) {
		return p.add(item{name: name}) // removed since it was opened
	}
	if err != nil {
		return fail(err)
	}
	for _, e := range entries {
		full := name + e.name
		if p.excluded[full] {
			continue
		}
		if err := p.entry(f, full, e); err != nil {
			return err
		}
	}
	return nil
}

func (p *packing) entry(in *folder, full string, e entry) error {
	if e.kind == unix.DT_UNKNOWN {
		var err error
		if e.kind, err = in.kindOf(e.name); errors.Is(err, unix.ENOENT) {
			return p.add(item{name: full}) // gone
		} else if err != nil {
			return fmt.Errorf("looking at %q: %w", "/"+full, err)
		}
	}
	switch e.kind {
	case unix.DT_DIR:
		below, stat, err := in.below(e.name)
		if vanished(err) {
			return p.add(item{name: full})
		}
		if err != nil {
			return fmt.Errorf("opening the folder %q: %w", "/"+full, err)
		}
		return p.folder(below, full+"/", stat)
	case unix.DT_REG, unix.DT_LNK, unix.DT_FIFO:
		in.hold()
		return p.add(item{kind: e.kind, name: full, base: e.name, in: in})
	}
	p.skipped++
	return nil
}

// kindOf asks for the kind of a file where the file system does not tell it with
// the name.
func (f *folder) kindOf(name string) (uint8, error) {
	var stat unix.Stat_t
	if err := unix.Fstatat(f.fd, name, &stat, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return 0, err
	}
	return uint8(stat.Mode & unix.S_IFMT >> 12), nil // as the kernel makes one of the other
}

// vanished says that what a name stood for a moment ago is not there any more:
// there is nothing, or something of another kind.
func vanished(err error) bool {
	return errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ELOOP) || errors.Is(err, unix.ENOTDIR) || errors.Is(err, unix.ENXIO)
}

// add puts an item into the batch, and hands that over when it is full.
func (p *packing) add(i item) error {
	p.batch.items = append(p.batch.items, i)
	if len(p.batch.items) < cap(p.batch.items) {
		return nil
	}
	if err := p.hand(); err != nil {
		return err
	}
	p.batch = p.newBatch()
	return nil
}

// hand gives the batch to those who read and write it.
func (p *packing) hand() error {
	select {
	case p.ordered <- p.batch:
	case <-p.stop:
		return errStopped
	}
	p.todo <- p.batch // the readers take whatever comes
	return nil
}

// write writes what has been read, and the end.
func (p *packing) write(out io.Writer) error {
	for b := range p.ordered {
		<-b.ready
		err := p.writeBatch(b, out)
		b.drop()
		if err != nil {
			return err
		}
		p.free.Put(b)
	}
	// Two empty blocks end a tar file; where the walk has failed there is no end.
	if p.walkErr != nil {
		return nil
	}
	return written(out.Write(make([]byte, 2*block)))
}

func written(_ int, err error) error {
	if err != nil {
		return fmt.Errorf("writing the stream: %w", err)
	}
	return nil
}

func (p *packing) writeBatch(b *batch, out io.Writer) error {
	for n := range b.items {
		if err := p.writeItem(b, &b.items[n], out); err != nil {
			return err
		}
	}
	return nil
}

// writeItem writes what was read of it, or reads and writes it where it is large.
func (p *packing) writeItem(b *batch, i *item, out io.Writer) error {
	fail := func(err error) error { return fmt.Errorf("reading %q: %w", "/"+i.name, err) }
	if i.large {
		fd, err := i.open()
		if err == nil {
			defer unix.Close(fd)
			i.fd = fd
		}
		i.failed(err)
	}
	switch {
	case i.err != nil:
		return fail(i.err)
	case i.gone:
		p.summary.change(i.name)
		return nil
	case i.name == "":
		return written(out.Write(b.text[i.from:i.to]))
	}
	p.summary.Files++
	if i.kind == unix.DT_REG {
		if first, again := p.seen(i); again {
			h := headerOf(kindHardLink, i.name, &i.stat)
			h.link = first
			return written(out.Write(h.appendTo(nil)))
		}
		p.summary.Bytes += i.stat.Size
	}
	if !i.large {
		if i.changed {
			p.summary.change(i.name)
		}
		return written(out.Write(b.text[i.from:i.to]))
	}
	return p.writeLarge(i, out)
}

// seen says under which name a file with several names is in the stream already.
func (p *packing) seen(i *item) (first string, again bool) {
	if i.stat.Nlink < 2 {
		return "", false
	}
	key := inode{i.stat.Dev, i.stat.Ino}
	file, again := p.linked[key]
	if !again {
		p.linked[key] = &linkedFile{i.name, i.stat.Nlink - 1}
		return "", false
	}
	if file.times--; file.times == 0 {
		delete(p.linked, key)
	}
	return file.name, true
}

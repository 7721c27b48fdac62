package rotation

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"

	"github.com/inmanta/inmanta-docker/sidecar/logrotate/archive"
)

// press is what archives are made with: kept from one to the next. It is the
// writer of the one that it is on.
type press struct {
	format archive.Format
	level  int
	writer archive.Writer
	// out gathers what is to be written: gzip hands it on in bits of 250 bytes.
	out    *bufio.Writer
	buffer []byte
}

// compress writes a part of a file to a new temporary one, without holes and
// without what nobody wrote, and says how many bytes of the log that were. It is
// not synced yet.
func (f *Folder) compress(temporary string, task Task, file *os.File, is facts, k knowledge, of archive.Range) (bytes int64, err error) {
	f.options.Step("create archive")
	to, err := create(f.dir, temporary)
	if errors.Is(err, unix.EEXIST) {
		// Left of an attempt that failed, or put there by somebody.
		if err = unlink(f.dir, temporary); err == nil {
			to, err = create(f.dir, temporary)
		}
	}
	if err != nil {
		return 0, fmt.Errorf("creating an archive: %w", err)
	}
	defer func() {
		if closed := to.Close(); err == nil {
			err = closed
		}
	}()
	ranges := data(file, of.Start, of.End)
	if k.Gap != nil {
		ranges = without(ranges, *k.Gap)
	}
	if err := f.press.on(to, task.Format, task.Level); err != nil {
		return 0, err
	}
	if bytes, err = copyRanges(stepping{&f.press, f.options.Step}, file, ranges, f.press.buffer); err != nil {
		return 0, err
	}
	if err := f.press.Close(); err != nil {
		return 0, err
	}
	// As old as its last line, which is no more than what it is kept by.
	written := unix.NsecToTimespec(is.modified)
	_ = unix.UtimesNanoAt(int(f.dir.Fd()), temporary, []unix.Timespec{written, written}, unix.AT_SYMLINK_NOFOLLOW)
	// As readable as the log was.
	return bytes, unix.Fchmod(int(to.Fd()), is.mode&0o777)
}

// on begins an archive.
func (p *press) on(to io.Writer, format archive.Format, level int) error {
	if p.buffer == nil {
		p.buffer, p.out = make([]byte, 64<<10), bufio.NewWriterSize(nil, 64<<10)
	}
	p.out.Reset(to)
	if p.writer != nil && p.format == format && p.level == level {
		p.writer.Reset(p.out)
		return nil
	}
	writer, err := archive.NewWriter(p.out, format, level)
	if err != nil {
		return err
	}
	p.writer, p.format, p.level = writer, format, level
	return nil
}

func (p *press) Write(text []byte) (int, error) { return p.writer.Write(text) }

// Close completes the archive, and leaves its file open.
func (p *press) Close() error {
	if err := p.writer.Close(); err != nil {
		return err
	}
	return p.out.Flush()
}

// stepping makes each piece that is written a step.
type stepping struct {
	io.Writer
	step func(string)
}

func (s stepping) Write(p []byte) (int, error) {
	s.step("fill archive")
	return s.Writer.Write(p)
}

package archive

import (
	"io"
	"os"
	"time"
)

// source is an item being read.
type source struct {
	item
	file      *os.File
	inode     uint64
	modified  time.Time
	reader    io.ReadCloser // of an archive; else nil
	plain     *uncompressed
	delivered int64
}

func (f *source) close() {
	if f.reader != nil {
		f.reader.Close()
	}
	f.file.Close()
}

// old tells whether all that is in an archive was written before what is wanted.
// Its name says when it was set aside; its writer may have added to it later,
// but not after the file itself was written.
func (s *Stream) old(from *source) bool {
	return from.fixed() && from.Time.Before(s.options.Since) && from.modified.Before(s.options.Since)
}

func (s *Stream) open(i item) (*source, error) {
	file, stat, err := openRegular(s.folder, i.base())
	if err != nil {
		return nil, err
	}
	from := &source{item: i, file: file, inode: stat.Ino, modified: time.Unix(stat.Mtim.Unix())}
	if !s.old(from) {
		switch {
		case i.Format != Plain && !i.Format.Writable():
			_, err = NewReader(file, i.Format)
		case i.Format != Plain:
		case i.fixed():
			from.plain = &uncompressed{file: file}
		default:
			from.plain = &uncompressed{file: file, gaps: s.options.Gaps}
		}
	}
	if err != nil {
		file.Close()
		return nil, err
	}
	return from, nil
}

func (f *source) read(p []byte) (int, error) {
	if f.plain != nil {
		n, err := f.plain.Read(p)
		f.delivered += int64(n)
		return n, err
	}
	if f.reader == nil {
		reader, err := NewReader(f.file, f.Format)
		if err != nil {
			return 0, err
		}
		f.reader = reader
	}
	n, err := f.reader.Read(p)
	f.delivered += int64(n)
	return n, err
}

package volume

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// deepest is how many folders may be in one another: each is open at that time.
const deepest = 1000

// member is one entry of a stream that may be unpacked.
type member struct {
	header
	folder string // with a slash at its end, but for the volume's own, which is ""
	base   string
}

// wrap says which entry an error is about.
func (m member) wrap(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, unix.EEXIST):
		return fmt.Errorf("%q is in the stream twice", m.name)
	case errors.Is(err, unix.ENOSPC), errors.Is(err, unix.EDQUOT):
		err = errRoom
	}
	return fmt.Errorf("unpacking %q: %w", m.name, err)
}

// entryOf is what a header says, if it is one that Pack may have written.
func entryOf(h *tar.Header) (member, error) {
	refuse := func(format string, args ...any) (member, error) {
		return member{}, fmt.Errorf("%q "+format, append([]any{h.Name}, args...)...)
	}
	kind := h.Typeflag
	if !slices.Contains([]byte{kindFile, kindHardLink, kindSymlink, kindFolder, kindPipe}, kind) {
		return refuse("is of a kind (%q) that is not unpacked", kind)
	}
	if h.Format != tar.FormatUSTAR && h.Format != tar.FormatPAX {
		return refuse("is written in another way than POSIX's")
	}
	m := member{header: header{
		kind: kind, name: h.Name, link: h.Linkname, mode: uint32(h.Mode), uid: uint32(h.Uid), gid: uint32(h.Gid), size: h.Size,
		sec: h.ModTime.Unix(), nsec: int64(h.ModTime.Nanosecond()),
	}}
	if h.Mode&^0o7777 != 0 || !isID(h.Uid) || !isID(h.Gid) {
		return refuse("has a mode or an owner that there is not")
	}
	if kind != kindFile && h.Size != 0 {
		return refuse("has content, and is no file")
	}
	if kind == kindFolder {
		if h.Name == "./" {
			m.name = ""
		} else if m.name, _ = strings.CutSuffix(h.Name, "/"); m.name == h.Name {
			return refuse("is a folder, and its name that of something else")
		}
	}
	if m.name != "" || kind != kindFolder {
		if !below(m.name) {
			return refuse("is no name below the volume")
		}
		at := strings.LastIndexByte(m.name, '/') + 1
		m.folder, m.base = m.name[:at], m.name[at:]
	}
	if kind == kindFolder && m.name != "" {
		m.name += "/"
	}
	switch {
	case kind == kindHardLink && !below(m.link):
		return refuse("leads to %q, which is no name below the volume", m.link)
	case kind == kindSymlink && (m.link == "" || len(m.link) >= unix.PathMax || strings.IndexByte(m.link, 0) >= 0):
		return refuse("is a link to nothing")
	case kind != kindHardLink && kind != kindSymlink && m.link != "":
		return refuse("has a target, and is no link")
	}
	return m, m.attributesOf(h)
}

func isID(n int) bool { return n >= 0 && n < 1<<32-1 }

// below says that a name is that of something below the volume's folder, in its
// one form, and not of what a restore works with.
func below(name string) bool {
	if strings.IndexByte(name, 0) >= 0 {
		return false
	}
	first := true
	for element := range strings.SplitSeq(name, "/") {
		if element == "" || element == "." || element == ".." || len(element) > unix.NAME_MAX || first && element == restoreName {
			return false
		}
		first = false
	}
	return true
}

// attributesOf takes the extended attributes out of a header's records, and
// refuses those that Pack does not write.
func (m *member) attributesOf(h *tar.Header) error {
	for key, value := range h.PAXRecords {
		name, is := strings.CutPrefix(key, attributeOf)
		name = unescapeKey.Replace(name)
		switch {
		case is && kept(name) && (m.kind == kindFile || m.kind == kindFolder):
			m.attributes = append(m.attributes, attribute{name, value})
		case is || !slices.Contains([]string{"mtime", "path", "linkpath", "uid", "gid", "size"}, key):
			return fmt.Errorf("%q has an attribute %q that is not unpacked", h.Name, key)
		}
	}
	return nil
}

// ended passes a tar file on, and knows whether it has ended as one does: with
// two empty blocks, and nothing after them.
type ended struct {
	io.Reader
	empty int // bytes that are zero, so far the last ones
}

func (e *ended) Read(p []byte) (int, error) {
	n, err := e.Reader.Read(p)
	zeros := 0
	for zeros < n && p[n-1-zeros] == 0 {
		zeros++
	}
	if zeros == n {
		zeros += e.empty
	}
	e.empty = zeros
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		err = fmt.Errorf("the stream is damaged, or no packed volume: %w", err)
	}
	return n, err
}

// check reads on to the end, where nothing may come any more.
func (e *ended) check() error {
	if e.empty < 2*block {
		return io.ErrUnexpectedEOF
	}
	var more [1]byte
	n, err := io.ReadFull(e.Reader, more[:])
	switch {
	case n > 0:
		return errors.New("something comes after the end of the stream")
	case errors.Is(err, io.EOF):
		return nil
	}
	return err
}

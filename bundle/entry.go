package bundle

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

const (
	block       = 512
	segmentSize = 8 << 20
	// mostSegments keeps the numbers in six digits: 8 TB a part.
	mostSegments = 999_999
)

// known are the parts that there are.
var known = []string{State, Database}

// entry is one entry of the archive.
type entry struct {
	name string
	size int64
}

// segment is the name of a part's segment.
func segment(part string, number int) string { return fmt.Sprintf("%s/%06d", part, number) }

// part is which part an entry is a segment of, if it is one, and the number.
func (e entry) part() (name string, number int, is bool) {
	name, digits, _ := strings.Cut(e.name, "/")
	number, err := strconv.Atoi(digits)
	return name, number, err == nil && slices.Contains(known, name) && number > 0 && segment(name, number) == e.name
}

// padding is how many zeros follow the entry's content.
func (e entry) padding() int64 { return (block - e.size%block) % block }

// most is how long an entry of this name may be; 0 for a name that there is not.
func (e entry) most() int64 {
	switch _, _, is := e.part(); {
	case is:
		return segmentSize
	case e.name == headerName, e.name == manifestName:
		return mostJSON
	case e.name == sumName:
		return int64(len(sumText(make([]byte, 32))))
	}
	return 0
}

// render is the header block of an entry: there is one way to write each.
func render(e entry, created time.Time) ([]byte, error) {
	var text bytes.Buffer
	err := tar.NewWriter(&text).WriteHeader(&tar.Header{
		Format: tar.FormatUSTAR, Typeflag: tar.TypeReg, Mode: 0o600, Name: e.name, Size: e.size, ModTime: created,
	})
	return text.Bytes(), err
}

// parse reads what render wrote, and nothing else: whatever tar has besides
// (links, devices, long names, holes, other people's extensions) has no place in a
// backup, and what is not understood here cannot lead anywhere.
func parse(head []byte, created time.Time) (entry, error) {
	name, _, _ := bytes.Cut(head[:100], []byte{0})
	if kind := head[156]; kind != tar.TypeReg {
		return entry{}, fmt.Errorf("it has an entry %q that is %s", name, kindOf(kind))
	}
	size, err := strconv.ParseInt(string(head[124:135]), 8, 64)
	e := entry{string(name), size}
	if e.most() == 0 {
		return entry{}, fmt.Errorf("it has an entry %q, which no backup has", name)
	}
	if err != nil || size < 0 || size > e.most() {
		return entry{}, fmt.Errorf("its entry %q is larger than one of that name can be", name)
	}
	should, err := render(e, created)
	if err != nil || !bytes.Equal(head, should) {
		return entry{}, fmt.Errorf("its entry %q is described in another way than backups are written", name)
	}
	return e, nil
}

// kindOf is what a tar's entry is that is no regular file.
func kindOf(kind byte) string {
	switch kind {
	case tar.TypeLink, tar.TypeSymlink:
		return "a link"
	case tar.TypeChar, tar.TypeBlock:
		return "a device"
	case tar.TypeDir:
		return "a folder"
	case tar.TypeFifo:
		return "a pipe"
	}
	return fmt.Sprintf("of a kind that no backup has (%q)", kind)
}

// createdOf is the time that a header block gives.
func createdOf(head []byte) (time.Time, error) {
	seconds, err := strconv.ParseInt(string(head[136:147]), 8, 64)
	if err != nil {
		return time.Time{}, errors.New("its header says no time")
	}
	return time.Unix(seconds, 0).UTC(), nil
}

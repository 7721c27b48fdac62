package dbarchive

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/inmanta/inmanta-docker/sidecar/hostfolder"
	"github.com/inmanta/inmanta-docker/sidecar/moments"
)

// largestSegment is the largest that PostgreSQL has, in bytes.
const largestSegment = 1 << 30

// inflate is what is in a compressed segment. Of one that was being written it is
// as much as can be read: what comes after that was never there.
func inflate(from io.Reader, whole bool) ([]byte, error) {
	var out bytes.Buffer
	reader, err := gzip.NewReader(from)
	if err == nil {
		reader.Multistream(false)
		_, err = io.Copy(&out, io.LimitReader(reader, largestSegment+1))
	}
	if out.Len() > largestSegment {
		err = errors.New("it is larger than any segment")
		out.Truncate(largestSegment)
	}
	if err != nil && whole {
		return nil, err
	}
	return out.Bytes(), nil
}

// segmentSize is how many bytes a segment has that begins with these, as the long
// header of its first page says: XLogLongPageHeaderData, in the server's own order.
func segmentSize(beginning []byte) (int, bool) {
	const at = 32
	if len(beginning) < at+4 {
		return 0, false
	}
	size := binary.LittleEndian.Uint32(beginning[at:])
	if size < 1<<20 || size > largestSegment || size&(size-1) != 0 {
		return 0, false
	}
	return int(size), true
}

// padded is a segment in its full length: a server takes no other, and zeros for
// the end of the log.
func padded(content []byte, whole bool) ([]byte, error) {
	size, ok := segmentSize(content)
	switch {
	case !ok:
		return nil, errors.New("it does not begin as a segment does")
	case len(content) > size || whole && len(content) != size:
		return nil, fmt.Errorf("it has %d bytes, and says that it has %d", len(content), size)
	}
	return append(content, make([]byte, size-len(content))...), nil
}

// readSegment reads a file with a segment.
func readSegment(path string, whole bool) ([]byte, error) {
	file, err := os.OpenFile(path, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	content, err := inflate(file, whole)
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", filepath.Base(path), err)
	}
	return content, nil
}

// grown is the most that is there of a segment that was still being written.
func grown(folder, name string) ([]byte, error) {
	var most []byte
	found := false
	for _, ending := range []string{moments.Growing, moments.Kept} {
		content, err := readSegment(filepath.Join(folder, name+ending), false)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		if found = true; len(content) > len(most) {
			most = content
		}
	}
	if !found {
		return nil, fs.ErrNotExist
	}
	return most, nil
}

var historyForm = regexp.MustCompile(`^[0-9A-F]{8}\.history$`)

// Fetch puts a file of the log to where a server that recovers wants it, which calls
// it (restore_command). That there is no such file is how it learns where the log
// ends: it is an error as any.
func Fetch(folder, name, target string) error {
	if historyForm.MatchString(name) {
		text, err := os.ReadFile(filepath.Join(folder, name))
		if err != nil {
			return err
		}
		return os.WriteFile(target, text, 0o600)
	}
	segment, _, ok := moments.ParseSegment(name)
	if !ok || segment.String() != name {
		return fmt.Errorf("%q is no file of the log", name)
	}
	content, err := readSegment(filepath.Join(folder, name+moments.Compressed), true)
	whole := err == nil
	if errors.Is(err, fs.ErrNotExist) {
		content, err = grown(folder, name)
		if errors.Is(err, fs.ErrNotExist) { // it may have become whole meanwhile
			content, err = readSegment(filepath.Join(folder, name+moments.Compressed), true)
			whole = true
		}
	}
	if err != nil {
		return err
	}
	if content, err = padded(content, whole); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return os.WriteFile(target, content, 0o600)
}

// keepGrown sets aside what was being written when its writer ended: the next one
// begins the segment anew, over it.
func keepGrown(folder string) error {
	entries, err := os.ReadDir(folder)
	if err != nil {
		return fmt.Errorf("listing the log: %w", err)
	}
	var names []string
	for _, entry := range entries {
		names = append(names, entry.Name())
	}
	for _, file := range names {
		name, is := strings.CutSuffix(file, moments.Kept)
		if is && slices.Contains(names, name+moments.Compressed) {
			if err := os.Remove(filepath.Join(folder, file)); err != nil {
				return fmt.Errorf("removing what was kept of %s: %w", name, err)
			}
		}
	}
	for _, file := range names {
		name, is := strings.CutSuffix(file, moments.Growing)
		if !is {
			continue
		}
		growing, err := readSegment(filepath.Join(folder, file), false)
		if err != nil {
			return err
		}
		kept, err := readSegment(filepath.Join(folder, name+moments.Kept), false)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		if len(growing) > len(kept) {
			err = os.Rename(filepath.Join(folder, file), filepath.Join(folder, name+moments.Kept))
		} else {
			err = os.Remove(filepath.Join(folder, file))
		}
		if err != nil {
			return fmt.Errorf("keeping what there is of %s: %w", name, err)
		}
	}
	return hostfolder.Sync(folder)
}

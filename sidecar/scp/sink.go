package scp

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/inmanta/inmanta-docker/sidecar/filelog"
)

// receive takes what the client sends to the target.
func (p *peer) receive(target string) error {
	info, err := os.Stat(target)
	folder := err == nil && info.IsDir()
	if p.directory && !folder {
		if err == nil {
			err = errors.New("not a directory")
		}
		return errors.Join(p.fail(target, err), fmt.Errorf("%s: not a directory", target))
	}
	if err := p.acknowledge(); err != nil {
		return err
	}
	return p.receiveInto(target, folder, 0)
}

// deepest bounds how folders may nest: each takes a little of the stack.
const deepest = 1000

// receiveInto takes files until the folder that they belong to ends. Where the
// target is no folder it is itself the file.
func (p *peer) receiveInto(target string, folder bool, depth int) error {
	if depth > deepest {
		return fmt.Errorf("folders nest deeper than %d", deepest)
	}
	var stamp *times
	for {
		kind, err := p.in.ReadByte()
		if errors.Is(err, io.EOF) && depth == 0 {
			return nil // that was all
		}
		if err != nil {
			return err
		}
		line, err := p.line()
		if err != nil {
			return err
		}
		switch kind {
		case 1:
			p.failures++ // the client could not read one of its files
		case 2:
			return errors.New("the client gave up")
		case 'E':
			if depth == 0 {
				return errors.New("the client ended a folder that it had not begun")
			}
			return p.acknowledge()
		case 'T':
			if stamp, err = parseTimes(line); err != nil {
				return errors.Join(p.fail("protocol", err), err)
			}
			if err := p.acknowledge(); err != nil {
				return err
			}
		case 'C', 'D':
			r, err := parseRecord(kind == 'D', line)
			if err != nil {
				return errors.Join(p.fail("protocol", err), err)
			}
			path := target
			if folder {
				path = filepath.Join(target, r.name)
			}
			if r.folder {
				err = p.receiveFolder(path, r, stamp, depth)
			} else {
				err = p.receiveFile(path, r, stamp)
			}
			if err != nil {
				return err
			}
			stamp = nil
		default:
			err := fmt.Errorf("the client sent %q, which begins nothing", kind)
			return errors.Join(p.fail("protocol", err), err)
		}
	}
}

func (p *peer) receiveFolder(path string, r record, stamp *times, depth int) error {
	if !p.recursive {
		err := errors.New("received a directory without -r")
		return errors.Join(p.fail("protocol", err), err)
	}
	made := false
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		// Its owner has to be able to fill it, whatever its mode is to be.
		err = os.Mkdir(path, fs.FileMode(r.mode&0o777|0o700))
		made = err == nil
	case err == nil && !info.IsDir():
		err = errors.New("not a directory")
	}
	if err != nil {
		return p.fail(path, err) // the client leaves the folder out
	}
	if err := p.acknowledge(); err != nil {
		return err
	}
	if err := p.receiveInto(path, true, depth+1); err != nil {
		return err
	}
	// Too late to tell the client of its own folder, but not for the exit code.
	if err := stamp.apply(path); err != nil {
		p.complain(path, err)
	}
	if p.preserve || made && r.mode&0o700 != 0o700 {
		if err := os.Chmod(path, fs.FileMode(r.mode&0o777)); err != nil {
			p.complain(path, err)
		}
	}
	return nil
}

// complain tells of trouble that the protocol has no place for.
func (p *peer) complain(path string, err error) {
	p.failures++
	fmt.Fprintf(p.log, "scp: %q: %v\n", path, err)
}

// receiveFile takes one file. All that the client says it has is read, even
// when it cannot be kept, as the next file comes right after it.
func (p *peer) receiveFile(path string, r record, stamp *times) error {
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE, fs.FileMode(r.mode&0o777|0o200))
	if err != nil {
		return p.fail(path, err) // the client goes on with the next
	}
	defer file.Close()
	if err := p.acknowledge(); err != nil {
		return err
	}
	keep := &keeper{to: file}
	defer func() {
		p.told(filelog.Event{Operation: filelog.Transfer, Path: path, Written: uint64(keep.kept), Cut: keep.kept < r.size})
	}()
	if _, err := io.CopyBuffer(struct{ io.Writer }{keep}, struct{ io.Reader }{io.LimitReader(p.in, r.size)}, make([]byte, min(bufferSize, r.size+1))); err != nil {
		return err
	}
	if keep.read < r.size {
		return io.ErrUnexpectedEOF
	}
	wrong := keep.failed
	note := func(err error) {
		if wrong == nil {
			wrong = err
		}
	}
	if wrong == nil {
		// What was there may have been longer; what is no file cannot be cut.
		if info, err := file.Stat(); err == nil && info.Mode().IsRegular() {
			note(file.Truncate(r.size))
		}
	}
	if p.preserve {
		note(file.Chmod(fs.FileMode(r.mode & 0o777)))
	}
	note(file.Close())
	note(stamp.apply(path))
	// What the client made of reading its file comes first.
	if err := p.awaitAnswer(); err != nil && !errors.Is(err, errRefused) {
		return err
	}
	if wrong != nil {
		return p.fail(path, wrong)
	}
	return p.acknowledge()
}

// keeper writes until it fails, and reads on from there.
type keeper struct {
	to     io.Writer
	read   int64 // of what came, in bytes
	kept   int64 // of that
	failed error
}

func (k *keeper) Write(p []byte) (int, error) {
	k.read += int64(len(p))
	if k.failed == nil {
		var n int
		n, k.failed = k.to.Write(p)
		k.kept += int64(n)
	}
	return len(p), nil
}

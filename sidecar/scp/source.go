package scp

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/inmanta/inmanta-docker/sidecar/filelog"
)

// sendAll sends what the client asked for; its shell has found the names.
func (p *peer) sendAll(paths []string) error {
	if err := p.awaitAnswer(); err != nil {
		return err
	}
	for _, path := range paths {
		if err := p.send(path, 0); err != nil {
			return err
		}
	}
	return nil
}

// send sends one file or folder. Only what keeps the rest from being sent is an
// error.
func (p *peer) send(path string, depth int) error {
	name := filepath.Base(path)
	if strings.ContainsAny(name, "\n") {
		// OpenSSH sends it under another name, which then is not the file's.
		return p.fail(path, errors.New("a name with a line break cannot be sent this way: use sftp"))
	}
	// Not to wait for whoever opens the other end of a pipe.
	file, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return p.fail(path, err)
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return p.fail(path, err)
	}
	switch {
	case info.IsDir() && p.recursive:
		return p.sendFolder(path, name, file, info, depth)
	case !info.Mode().IsRegular():
		return p.fail(path, errors.New("not a regular file"))
	}
	return p.sendFile(path, name, file, info)
}

// announce sends the lines that begin a file or a folder, and is errRefused
// when the client does not want it.
func (p *peer) announce(info fs.FileInfo, kind byte, size int64, name string) error {
	if p.preserve {
		if err := p.sendTimes(info); err != nil {
			return err
		}
	}
	if _, err := fmt.Fprintf(p.out, "%c%04o %d %s\n", kind, info.Mode().Perm(), size, name); err != nil {
		return err
	}
	return p.awaitAnswer()
}

func (p *peer) sendTimes(info fs.FileInfo) error {
	modified := max(info.ModTime().Unix(), 0)
	accessed := modified
	if stat, ok := info.Sys().(*syscall.Stat_t); ok {
		accessed = max(stat.Atim.Sec, 0)
	}
	if _, err := fmt.Fprintf(p.out, "T%d 0 %d 0\n", modified, accessed); err != nil {
		return err
	}
	return p.awaitAnswer()
}

func (p *peer) sendFile(path, name string, file *os.File, info fs.FileInfo) error {
	if err := p.announce(info, 'C', info.Size(), name); err != nil {
		return unlessRefused(err)
	}
	sent, err := io.CopyBuffer(struct{ io.Writer }{p.out}, struct{ io.Reader }{io.LimitReader(file, info.Size())}, make([]byte, min(bufferSize, info.Size()+1)))
	short := info.Size() - sent
	p.told(filelog.Event{Operation: filelog.Transfer, Path: path, Read: uint64(sent), Cut: short > 0})
	if short > 0 {
		// It shrank, or cannot be read: the client counts on what was announced.
		if err == nil {
			err = errors.New("the file became shorter while it was sent")
		}
		if _, padding := io.CopyN(p.out, zeros{}, short); padding != nil {
			return padding
		}
	}
	if err != nil {
		if err := p.fail(path, err); err != nil {
			return err
		}
	} else if err := p.acknowledge(); err != nil {
		return err
	}
	return unlessRefused(p.awaitAnswer())
}

func (p *peer) sendFolder(path, name string, folder *os.File, info fs.FileInfo, depth int) error {
	if depth > deepest {
		return p.fail(path, fmt.Errorf("folders nest deeper than %d", deepest))
	}
	if err := p.announce(info, 'D', 0, name); err != nil {
		return unlessRefused(err)
	}
	for {
		// A few at a time: a folder can have a million.
		entries, err := folder.Readdirnames(1000)
		for _, entry := range entries {
			if err := p.send(filepath.Join(path, entry), depth+1); err != nil {
				return err
			}
		}
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			if err := p.fail(path, err); err != nil {
				return err
			}
			break
		}
	}
	if _, err := io.WriteString(p.out, "E\n"); err != nil {
		return err
	}
	return unlessRefused(p.awaitAnswer())
}

// unlessRefused is nil where the client has only refused one thing.
func unlessRefused(err error) error {
	if errors.Is(err, errRefused) {
		return nil
	}
	return err
}

// zeros are as many as one likes.
type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

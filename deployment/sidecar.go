package deployment

import (
	"crypto/sha256"
	"debug/elf"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/inmanta/inmanta-docker/problem"
)

// SidecarFile is the sidecars' binary: the compose files mount it from beside
// themselves.
const SidecarFile = "inmanta-sidecar"

// Sidecar is the sidecars' binary in a deployment's directory: what is there,
// and what belongs there.
type Sidecar struct {
	// Path is where the compose files mount it from.
	Path string
	// From is the file that is to be put at Path; empty where what is there
	// stays, or where there is none to be had.
	From string
	// Digest is the SHA-256, in hexadecimal, of what is at Path once From has
	// been put there; empty where there is nothing.
	Digest string
	// Since is when that content got there; zero where From is still to be put there.
	Since time.Time
	// Processor is what that content is made for, as Go names it: "amd64". Empty
	// where it is no program for Linux.
	Processor string
	// Irregular says that something is at Path that is no file: an engine that
	// was to mount what is not there may have made a directory of it.
	Irregular bool
	// Locked is why From cannot be put at Path; empty where it can.
	Locked string
}

// FindSidecar compares what is in dir with own, the binary that belongs to this
// command line; empty where there is none. What is not own is to be replaced:
// the two are made for each other. It changes nothing.
func FindSidecar(dir, own string) (Sidecar, error) {
	s := Sidecar{Path: filepath.Join(dir, SidecarFile)}
	there, err := os.Stat(s.Path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		there = nil
	case err != nil:
		return s, unreadable(s.Path, err)
	case !there.Mode().IsRegular():
		s.Irregular = true
		return s, nil
	}
	if there != nil {
		if s.Digest, err = digest(s.Path); err != nil {
			return s, err
		}
		s.Since, s.Processor = changed(there), processor(s.Path)
	}
	if own == "" {
		return s, nil
	}
	mine, err := os.Stat(own)
	if err != nil {
		return s, unreadable(own, err)
	}
	if there != nil && os.SameFile(there, mine) {
		return s, nil
	}
	belongs, err := digest(own)
	if err != nil || belongs == s.Digest && executable(there) {
		return s, err
	}
	s.From, s.Digest, s.Since, s.Processor = own, belongs, time.Time{}, processor(own)
	if err := syscall.Access(dir, writable); err != nil {
		s.Locked = err.Error()
	}
	return s, nil
}

// writable is W_OK of access(2).
const writable = 2

// anybody may read and run it: it is mounted into containers with users of their own.
const anybody = 0o555

func executable(info fs.FileInfo) bool { return info.Mode()&anybody == anybody }

// changed is when a file got its content, or was put where it is: the time that
// no tool sets back.
func changed(info fs.FileInfo) time.Time {
	if system, ok := info.Sys().(*syscall.Stat_t); ok {
		return time.Unix(system.Ctim.Unix())
	}
	return info.ModTime()
}

func digest(path string) (string, error) {
	file, err := os.Open(path)
	if err != nil {
		return "", unreadable(path, err)
	}
	defer file.Close()
	sum := sha256.New()
	if _, err := io.Copy(sum, file); err != nil {
		return "", unreadable(path, err)
	}
	return hex.EncodeToString(sum.Sum(nil)), nil
}

// processors are those that releases are made for, and their neighbours.
var processors = map[elf.Machine]string{
	elf.EM_X86_64: "amd64", elf.EM_AARCH64: "arm64", elf.EM_386: "386", elf.EM_ARM: "arm",
	elf.EM_RISCV: "riscv64", elf.EM_S390: "s390x", elf.EM_PPC64: "ppc64le", elf.EM_LOONGARCH: "loong64",
}

// processor is what a program is made for; empty for one that is none.
func processor(path string) string {
	program, err := elf.Open(path)
	if err != nil {
		return ""
	}
	defer program.Close()
	if name, ok := processors[program.Machine]; ok {
		return name
	}
	return program.Machine.String()
}

func unreadable(path string, err error) problem.Problem {
	return problem.Problem{
		ID: "sidecar-unreadable", Where: path, What: fmt.Sprintf("the sidecars' binary cannot be read: %v", unwrapPath(err)),
		Fix: "give this user the right to read it (chmod a+rx), or run as its owner", Err: err,
	}
}

// Place puts From at Path, all of it or nothing: containers that run keep what
// they were started with. ok is false where there is nothing to do.
func (s Sidecar) Place() (written Written, ok bool, err error) {
	if s.From == "" {
		return Written{}, false, nil
	}
	content, err := os.ReadFile(s.From)
	if err != nil {
		return Written{}, false, unreadable(s.From, err)
	}
	if err := writeFile(s.Path, content, 0o755); err != nil {
		return Written{}, false, err
	}
	return Written{Path: s.Path}, true, nil
}

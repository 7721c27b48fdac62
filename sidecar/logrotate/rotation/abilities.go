package rotation

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"

	"golang.org/x/sys/unix"
)

// Abilities are what the file system of the folder can do, found out by trying.
type Abilities struct {
	// Lease: it can be known whether anybody may still write to a file. Without,
	// what is set aside is kept as it is for ever.
	Lease bool `json:"lease"`
	// Block is what can be given back to the file system beneath a writer, in
	// bytes, whole ones only; 0 where nothing can.
	Block int64 `json:"block"`
	// Collapse: the rest of the file can move to its beginning.
	Collapse bool `json:"collapse"`
}

// blocks are tried in turn: file systems with larger clusters say 4 KiB as well.
var blocks = []int64{4 << 10, 16 << 10, 64 << 10, 256 << 10, 1 << 20}

// tryOut finds out the abilities with a file of its own in the folder.
func (f *Folder) tryOut() (Abilities, error) {
	base := fmt.Sprintf("%s-%d", scratch, rand.Uint64())
	file, err := create(f.dir, base)
	if err != nil {
		return Abilities{}, fmt.Errorf("making a file to try the file system with: %w", err)
	}
	defer func() {
		file.Close()
		_ = unlink(f.dir, base)
	}()
	var found Abilities
	for _, block := range blocks {
		// Neither all of a file nor its last byte can be collapsed.
		if err := fill(file, 2*block); err != nil {
			return found, fmt.Errorf("trying the file system: %w", err)
		}
		if err := f.sys.punch(file, block); err != nil {
			if cannot(err) {
				break
			}
			return found, fmt.Errorf("trying to punch a hole: %w", err)
		}
		if start, err := firstData(file, 2*block); err != nil || start != block {
			continue // it gives back more at a time, or does not say what it gave back
		}
		if found.Block == 0 {
			found.Block = block
		}
		if f.sys.collapse(file, block) == nil {
			found.Block, found.Collapse = block, true
			break
		}
	}
	reader, err := f.sys.open(f.dir, base, unix.O_RDONLY)
	if err != nil {
		return found, err
	}
	defer reader.Close()
	// As long as this process has it open for writing nobody gets a lease.
	file.Close()
	found.Lease = f.sys.lease(reader) == nil
	return found, nil
}

func fill(file *os.File, size int64) error {
	if err := file.Truncate(0); err != nil {
		return err
	}
	block := make([]byte, 64<<10)
	for i := range block {
		block[i] = 'x'
	}
	for at := int64(0); at < size; at += int64(len(block)) {
		if _, err := file.WriteAt(block[:min(int64(len(block)), size-at)], at); err != nil {
			return err
		}
	}
	return nil
}

// cannot says whether an error means that this file system, or this file, does
// not do that at all; what was asked for then did not happen, not even in part.
func cannot(err error) bool {
	for _, one := range []error{unix.EOPNOTSUPP, unix.ENOSYS, unix.EINVAL, unix.EPERM, unix.ENODEV, unix.ETXTBSY} {
		if errors.Is(err, one) {
			return true
		}
	}
	return false
}

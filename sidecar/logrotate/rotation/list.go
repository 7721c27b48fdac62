package rotation

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/inmanta/inmanta-docker/sidecar/logrotate/archive"
)

// List is what there is of the logs whose names match, by name.
func (f *Folder) List(match func(log string) bool) ([]Log, []Refusal, error) {
	bases, err := f.Bases()
	if err != nil {
		return nil, nil, err
	}
	logs := map[string]*Log{}
	of := func(name string) *Log {
		l := logs[name]
		if l == nil {
			l = &Log{Name: name}
			logs[name] = l
		}
		return l
	}
	var refused []Refusal
	present := map[Inode]bool{}
	for _, base := range bases {
		name, archived := archive.Parse(base)
		if !archived {
			name = archive.Name{Log: base}
		}
		if strings.HasPrefix(base, scratch) || archive.Temporary(base) || !match(name.Log) {
			continue
		}
		is, err := look(f.dir, base)
		if errors.Is(err, fs.ErrNotExist) {
			continue // gone meanwhile
		}
		if err != nil {
			refused = append(refused, Refusal{Base: base, Log: name.Log, Why: err.Error(), Fault: true})
			continue
		}
		why := is.unfit()
		if archived && !segment(name) && is.mode&unix.S_IFMT == unix.S_IFREG {
			why = "" // it is not changed any more: that of a backup may be its second name
		}
		if why == "" {
			// Names are given to it, and have to be read again.
			if err := archive.CheckLog(name.Log); err != nil {
				why = err.Error()
			}
		}
		if why != "" {
			refused = append(refused, Refusal{Base: base, Log: name.Log, Why: why, Fault: is.mode&unix.S_IFMT == unix.S_IFREG})
			continue
		}
		present[is.inode] = true
		file := f.file(base, name, is)
		switch l := of(name.Log); {
		case !archived:
			l.Live = &file
		case segment(name):
			l.Segments = append(l.Segments, file)
		default:
			l.Archives = append(l.Archives, file)
		}
	}
	if err := f.forget(match, present); err != nil {
		return nil, nil, err
	}
	all := make([]Log, 0, len(logs))
	for _, l := range logs {
		for _, files := range [][]File{l.Segments, l.Archives} {
			slices.SortFunc(files, func(a, b File) int { return archive.Compare(a.Name, b.Name) })
		}
		all = append(all, *l)
	}
	slices.SortFunc(all, func(a, b Log) int { return cmp.Compare(a.Name, b.Name) })
	slices.SortFunc(refused, func(a, b Refusal) int { return cmp.Compare(a.Base, b.Base) })
	return all, refused, nil
}

// Bases are the names in the folder, in order.
func (f *Folder) Bases() ([]string, error) {
	// A descriptor of its own, that begins at the beginning.
	fd, err := unix.Openat(int(f.dir.Fd()), ".", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("listing %s: %w", f.options.Path, err)
	}
	again := os.NewFile(uintptr(fd), f.options.Path)
	defer again.Close()
	bases, err := again.Readdirnames(-1)
	if err != nil {
		return nil, fmt.Errorf("listing %s: %w", f.options.Path, err)
	}
	slices.Sort(bases)
	return bases, nil
}

func (f *Folder) file(base string, name archive.Name, is facts) File {
	file := File{
		Base: base, Name: name, Size: is.size, Allocated: is.allocated,
		Mode: fs.FileMode(is.mode & 0o777), Modified: time.Unix(0, is.modified), Inode: is.inode, Writer: f.writers[is.inode].Writer,
	}
	if is.born != 0 {
		file.Born = time.Unix(0, is.born)
	}
	return file
}

// segment says whether the name is one that this package gives to a live file.
func segment(name archive.Name) bool {
	return name.Format == archive.Plain && name.Part == 0 && name.Kind == archive.Ours
}

// openFit opens a file of the folder that is fit to be rotated.
func (f *Folder) openFit(base string, flags int) (*os.File, facts, error) {
	file, is, err := f.openRegular(base, flags)
	if err != nil {
		return nil, facts{}, err
	}
	if why := is.unfit(); why != "" {
		file.Close()
		return nil, facts{}, fmt.Errorf("%s: %s", base, why)
	}
	return file, is, nil
}

// openRegular opens a file of the folder that is one, whatever its other names.
func (f *Folder) openRegular(base string, flags int) (*os.File, facts, error) {
	file, err := f.sys.open(f.dir, base, flags)
	if errors.Is(err, unix.ELOOP) {
		return nil, facts{}, fmt.Errorf("%s: it is a symbolic link, and those are not followed", base)
	}
	if err != nil {
		return nil, facts{}, fmt.Errorf("opening %s: %w", base, err)
	}
	is, err := look(file, "")
	if err == nil && is.mode&unix.S_IFMT != unix.S_IFREG {
		err = fmt.Errorf("%s: %s", base, is.unfit())
	}
	if err != nil {
		file.Close()
		return nil, facts{}, err
	}
	return file, is, nil
}

package rsync

import (
	"cmp"
	"slices"
	"sort"
	"strings"

	"golang.org/x/sys/unix"
)

const (
	// mostFiles limits how many files one transfer may have: more than any
	// file system of a deployment holds, at about 1 GiB of memory.
	mostFiles = 8_000_000
	// mostNames limits the names and links of a transfer, in bytes.
	mostNames = 1 << 30
)

// entry is one file of a transfer.
type entry struct {
	name string // from the top of the transfer
	from string // the directory that is the top; only the sender knows
	link string // where a link points to
	sum  string // its checksum, with option --checksum

	size         int64
	modified     int64 // seconds
	nanoseconds  int32
	mode         uint32 // with the type, as Linux has them
	uid, gid     uint32
	major, minor uint32 // of a device
	order        int32  // as it was sent; its index is its place when sorted

	// group is the order of the first name of the same file, -1 for a file
	// with one name.
	group int32

	top       bool // given by the user
	content   bool // a directory whose content is transferred
	implied   bool // a directory on the way to what is transferred
	skipGroup bool // no group of ours
	absent    bool // the same name came again, or nothing is left in it
	skipped   bool // a directory that could not be made, or will not be
	created   bool // made by this transfer
	sent      bool // contents were transferred once
}

func (e *entry) kind() uint32        { return e.mode & unix.S_IFMT }
func (e *entry) directory() bool     { return e.kind() == unix.S_IFDIR }
func (e *entry) regular() bool       { return e.kind() == unix.S_IFREG }
func (e *entry) isLink() bool        { return e.kind() == unix.S_IFLNK }
func (e *entry) isDevice() bool      { return isDevice(e.mode) }
func (e *entry) isSpecial() bool     { return isSpecial(e.mode) }
func (e *entry) permissions() uint32 { return e.mode & permissionBits }

const permissionBits = 0o7777

func isDevice(mode uint32) bool {
	kind := mode & unix.S_IFMT
	return kind == unix.S_IFCHR || kind == unix.S_IFBLK
}

func isSpecial(mode uint32) bool {
	kind := mode & unix.S_IFMT
	return kind == unix.S_IFIFO || kind == unix.S_IFSOCK
}

// directoryOf is the directory a name is in.
func directoryOf(name string) string {
	if i := strings.LastIndexByte(name, '/'); i > 0 {
		return name[:i]
	}
	return "."
}

// compareNames is the order both sides sort by: in each directory what is not
// one comes first, and "." before everything. Directories compare as if a
// slash ended them, so that each is followed by what is in it.
func compareNames(a string, aDirectory bool, b string, bDirectory bool) int {
	aTop, bTop := aDirectory && a == ".", bDirectory && b == "."
	if aTop || bTop {
		switch {
		case aTop && bTop:
			return 0
		case aTop:
			return -1
		}
		return 1
	}
	i := 0
	for i < len(a) && i < len(b) && a[i] == b[i] {
		i++
	}
	start := strings.LastIndexByte(a[:i], '/') + 1
	aDeep := aDirectory || strings.IndexByte(a[start:], '/') >= 0
	bDeep := bDirectory || strings.IndexByte(b[start:], '/') >= 0
	if aDeep != bDeep {
		if aDeep {
			return 1
		}
		return -1
	}
	at := func(s string) int {
		switch {
		case i < len(s):
			return int(s[i])
		case aDeep:
			return '/'
		}
		return -1
	}
	if difference := at(a) - at(b); difference != 0 {
		return difference
	}
	return cmp.Compare(len(a), len(b))
}

// list is the files of a transfer, in order: a file's index is its place.
type list []*entry

// sort puts the files in order; of several with one name the first one sent
// stays first.
func (l list) sort() {
	slices.SortFunc(l, func(a, b *entry) int {
		if order := compareNames(a.name, a.directory(), b.name, b.directory()); order != 0 {
			return order
		}
		return cmp.Compare(a.order, b.order)
	})
}

// find is the first file of a name; nil when there is none of this type,
// directory or not.
func (l list) find(name string, directory bool) *entry {
	i := sort.Search(len(l), func(i int) bool {
		return compareNames(l[i].name, l[i].directory(), name, directory) >= 0
	})
	for ; i < len(l) && l[i].name == name && l[i].directory() == directory; i++ {
		if !l[i].absent {
			return l[i]
		}
	}
	return nil
}

// has says whether anything of this name is part of the transfer.
func (l list) has(name string) bool {
	return l.find(name, false) != nil || l.find(name, true) != nil
}

// dropRepeated leaves one file of each name: a directory rather than anything
// else, and the first one sent.
func (l list) dropRepeated() {
	var last *entry
	for _, e := range l {
		if last != nil && last.name == e.name && last.directory() == e.directory() {
			e.absent = true
			last.top = last.top || e.top
			last.content = last.content || e.content
			last.implied = last.implied && e.implied
			continue
		}
		last = e
		if e.directory() {
			if other := l.find(e.name, false); other != nil {
				other.absent = true
			}
		}
	}
}

// dropEmpty leaves out directories that nothing but directories would be in;
// those that keep says stay, and so does what they are in.
func (l list) dropEmpty(keep func(name string) bool) {
	needed := map[string]bool{".": true}
	for _, e := range l {
		if e.absent || e.directory() && (e.name == "." || !keep(e.name)) {
			continue
		}
		name := e.name
		if !e.directory() {
			name = directoryOf(name)
		}
		for ; !needed[name]; name = directoryOf(name) {
			needed[name] = true
		}
	}
	for _, e := range l {
		if e.directory() && !needed[e.name] {
			e.absent = true
		}
	}
}

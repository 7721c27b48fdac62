package rsync

import (
	"path"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/inmanta/inmanta-docker/sidecar/rsync/wire"
)

// listReceiver reads the files of a transfer, and refuses what no honest
// sender lists.
type listReceiver struct {
	*session
	files  list
	before previous
	names  int64 // bytes
	groups map[inode]int32

	// below is the top directory that protocol 29's next directories are in;
	// inside says that there is one.
	below  string
	inside bool

	failure error // of reading the current file
}

// receiveList reads all files of a transfer: in the order both sides know them
// by, and in the order of their names, which is another one where whole paths
// came with their first slash.
func (s *session) receiveList() (files, byName list, err error) {
	l := &listReceiver{session: s, groups: map[inode]int32{}}
	for {
		flags, trouble, err := l.flags()
		if err != nil {
			return nil, nil, err
		}
		if flags == 0 {
			l.meet(trouble)
			break
		}
		e := l.entry(flags)
		if l.failure != nil {
			return nil, nil, l.failure
		}
		if err := l.accept(e); err != nil {
			return nil, nil, err
		}
	}
	if err := l.receiveOwners(); err != nil {
		return nil, nil, err
	}
	if s.protocol < 30 {
		trouble, err := s.in.Int()
		if err != nil {
			return nil, nil, err
		}
		l.meet(trouble)
	}
	l.files.sort()
	byName = l.files
	if s.relative {
		for _, e := range l.files {
			if e.name = strings.TrimPrefix(e.name, "/"); e.name == "" {
				e.name = "."
			}
		}
		byName = slices.Clone(l.files)
		byName.sort()
	}
	byName.dropRepeated()
	return l.files, byName, nil
}

// meet notes trouble that the sender had.
func (l *listReceiver) meet(trouble int32) {
	if !l.ignoreErrors {
		l.found.Or(trouble & troubleKnown)
	}
}

// flags reads what begins a file; 0 ends the list, with the sender's trouble.
func (l *listReceiver) flags() (flags int, trouble int32, err error) {
	if l.varintFlags {
		number, err := l.in.Varint()
		if err == nil && number == 0 {
			trouble, err = l.in.Varint()
		}
		return int(number), trouble, err
	}
	first, err := l.in.Byte()
	if err != nil || first&fileMoreFlags == 0 {
		return int(first), 0, err
	}
	second, err := l.in.Byte()
	flags = int(first) | int(second)<<8
	if err == nil && flags == fileMoreFlags|fileListEndTrouble && l.safeList {
		trouble, err = l.in.Varint()
		flags = 0
	}
	return flags, trouble, err
}

// Small readers for the current file: after the first failure they read
// nothing any more.

func take[T any](l *listReceiver, read func() (T, error)) T {
	var value T
	if l.failure == nil {
		value, l.failure = read()
	}
	return value
}

func (l *listReceiver) text(length int) string {
	return take(l, func() (string, error) { return l.in.Text(length, wire.MaxPath) })
}

func (l *listReceiver) long(least int) int64 {
	return take(l, func() (int64, error) { return l.in.Varlong(least) })
}

func (l *listReceiver) refuse(format string, values ...any) {
	if l.failure == nil {
		l.failure = wire.Broken(format, values...)
	}
}

// entry reads one file.
func (l *listReceiver) entry(flags int) *entry {
	in, before := l.in, &l.before
	e := &entry{order: int32(len(l.files)), group: -1}
	same := 0
	if flags&fileSameStart != 0 {
		same = int(take(l, in.Byte))
	}
	length := 0
	if flags&fileLongName != 0 {
		length = int(take(l, in.Number))
	} else {
		length = int(take(l, in.Byte))
	}
	if same > len(before.name) || same+length > wire.MaxPath {
		l.refuse("a file's name is too long, or continues one that was shorter")
		return e
	}
	e.name = before.name[:same] + l.text(length)
	before.name = e.name

	if l.protocol >= 30 && flags&fileLinked != 0 {
		if flags&fileLinkedFirst != 0 {
			e.group = e.order
		} else if done := l.sameAsFirst(e); done {
			return e
		}
	}
	e.size = take(l, in.Size)
	switch {
	case flags&fileSameTime != 0:
	case l.protocol >= 30:
		before.modified = l.long(4)
	default:
		before.modified = int64(uint32(take(l, in.Int)))
	}
	e.modified = before.modified
	if flags&fileNanoseconds != 0 {
		e.nanoseconds = take(l, in.Varint)
		if e.nanoseconds < 0 || e.nanoseconds >= int32(time.Second) {
			l.refuse("a time has %d nanoseconds", e.nanoseconds)
		}
	}
	if flags&fileSameMode == 0 {
		before.mode = uint32(take(l, in.Int))
	}
	e.mode = before.mode
	if l.owner && flags&fileSameUser == 0 {
		before.uid = uint32(take(l, in.Number))
	}
	if l.group && flags&fileSameGroup == 0 {
		before.gid = uint32(take(l, in.Number))
	}
	e.uid, e.gid = before.uid, before.gid
	l.numbers(e, flags)
	if l.links && e.isLink() {
		e.link = l.text(int(take(l, in.Number)))
	}
	if l.protocol < 30 && l.hardLinks && flags&fileLinked != 0 {
		l.oldGroup(e, flags)
	}
	if l.checksum && e.regular() {
		sum := make([]byte, l.fileSum.Size())
		take(l, func() (int, error) { return 0, in.Full(sum) })
		e.sum = string(sum)
	}
	l.directoryFlags(e, flags)
	return e
}

// sameAsFirst completes another name of a file that was listed, and says
// whether it did.
func (l *listReceiver) sameAsFirst(e *entry) bool {
	e.group = take(l, l.in.Varint)
	if e.group < 0 || int(e.group) >= len(l.files) {
		l.refuse("a file is another name of one that is not listed")
		return true
	}
	name, order, group := e.name, e.order, e.group
	*e = *l.files[e.group]
	e.name, e.order, e.group = name, order, group
	l.before.mode, l.before.modified, l.before.uid, l.before.gid = e.mode, e.modified, e.uid, e.gid
	if e.isDevice() && l.devices {
		l.before.major = e.major
	}
	return true
}

// numbers reads the numbers of a device.
func (l *listReceiver) numbers(e *entry, flags int) {
	if !l.hasNumbers(e) {
		return
	}
	if flags&fileSameMajor == 0 {
		l.before.major = uint32(take(l, l.in.Number))
	}
	e.major = l.before.major
	switch {
	case l.protocol >= 30:
		e.minor = uint32(take(l, l.in.Varint))
	case flags&fileMinorByte != 0:
		e.minor = uint32(take(l, l.in.Byte))
	default:
		e.minor = uint32(take(l, l.in.Int))
	}
	e.size = 0
}

// oldGroup finds out, as protocol 29 has it, whether a file has names that
// were listed before.
func (l *listReceiver) oldGroup(e *entry, flags int) {
	if flags&fileSameDevice == 0 {
		l.before.device = take(l, l.in.Long)
	}
	lies := inode{uint64(l.before.device), uint64(take(l, l.in.Long))}
	first, known := l.groups[lies]
	if !known {
		first = e.order
		l.groups[lies] = first
	}
	e.group = first
}

// directoryFlags says what is transferred of a directory.
func (l *listReceiver) directoryFlags(e *entry, flags int) {
	if !e.directory() {
		return
	}
	if l.protocol >= 30 {
		e.content = flags&fileNoContent == 0
		e.top = e.content && flags&fileTop != 0
		e.implied = !e.content && flags&fileTop != 0
		return
	}
	// Protocol 29 only marks where content begins.
	switch {
	case flags&fileTop != 0:
		l.inside = l.recursive
		l.below = strings.TrimSuffix(strings.TrimSuffix(e.name, "."), "/")
		e.top, e.content = true, true
	case l.inside && (!l.relative || l.below == "" || strings.HasPrefix(e.name, l.below+"/")):
		e.content = true
	default:
		l.inside = false
	}
}

// accept checks a file and takes it into the list.
func (l *listReceiver) accept(e *entry) error {
	if len(l.files) >= mostFiles {
		return fatal(exitUnsupported, "the list has more than %d files", mostFiles)
	}
	if l.names += int64(len(e.name) + len(e.link)); l.names > mostNames {
		return fatal(exitUnsupported, "the names in the list have more than %d bytes", mostNames)
	}
	switch e.kind() {
	case unix.S_IFREG, unix.S_IFDIR, unix.S_IFLNK, unix.S_IFCHR, unix.S_IFBLK, unix.S_IFIFO, unix.S_IFSOCK:
	default:
		return wire.Broken("%q is of no kind of file, its mode is %#o", e.name, e.mode)
	}
	if e.size < 0 {
		return wire.Broken("%q has a negative size", e.name)
	}
	clean, ok := l.cleanName(e.name)
	if !ok {
		return fatal(exitUnsupported, "the sender lists %q: that leads out of the destination", e.name)
	}
	if (clean == "." || clean == "/") && !e.directory() {
		return wire.Broken("the top of the transfer is not a directory")
	}
	if e.isLink() && strings.IndexByte(e.link, 0) >= 0 {
		return wire.Broken("%q is a link to a name with a NUL", e.name)
	}
	e.name = clean
	if l.stats.size += e.size; e.directory() {
		l.stats.size -= e.size
	}
	l.files = append(l.files, e)
	return nil
}

// cleanName is a name without needless slashes and dots, and whether it stays
// below the top of the transfer. Whole paths keep their first slash, by which
// they are sorted.
func (l *listReceiver) cleanName(name string) (string, bool) {
	if strings.HasPrefix(name, "/") && !l.relative || strings.IndexByte(name, 0) >= 0 || name == "" {
		return "", false
	}
	for element := range strings.SplitSeq(name, "/") {
		if element == ".." {
			return "", false
		}
	}
	return path.Clean(name), true
}

// receiveOwners reads what users and groups are called over there, and makes
// them ours.
func (l *listReceiver) receiveOwners() error {
	o := &owners{
		privileged: l.privileged, numeric: l.numericIDs,
		userHere: map[uint32]uint32{}, groupHere: map[uint32]int64{},
	}
	var err error
	if l.owner && !l.numericIDs {
		if o.users, err = receiveNames(l.in, l.rootNames); err != nil {
			return err
		}
	}
	if l.group && !l.numericIDs {
		if o.groups, err = receiveNames(l.in, l.rootNames); err != nil {
			return err
		}
	}
	for _, e := range l.files {
		o.apply(e, l.owner, l.group)
	}
	return nil
}

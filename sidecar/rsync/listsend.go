package rsync

import (
	"time"

	"golang.org/x/sys/unix"

	"github.com/inmanta/inmanta-docker/sidecar/rsync/wire"
)

// inode is where a file with several names lies.
type inode struct{ device, number uint64 }

// listSender sends the files of a transfer as they are found.
type listSender struct {
	*session
	files   list
	before  previous
	first   map[inode]int32 // the order of the first name of each file
	users   *nameTable
	groups  *nameTable
	failure error // of sending; it stays
}

func newListSender(s *session) *listSender {
	return &listSender{session: s, first: map[inode]int32{}, users: userNames(), groups: groupNames()}
}

// add sends one file. where it lies is only looked at for one with several
// names.
func (l *listSender) add(e *entry, lies inode, names uint64) {
	e.order = int32(len(l.files))
	e.group = -1
	if l.hardLinks && names > 1 && !e.directory() {
		first, known := l.first[lies]
		if !known {
			first = e.order
			l.first[lies] = first
		}
		e.group = first
	}
	l.files = append(l.files, e)
	if e.regular() || e.isLink() {
		l.stats.size += e.size
	}
	if l.failure == nil {
		l.failure = l.send(e, lies)
	}
}

// flagsOf says what is the same as of the file before.
func (l *listSender) flagsOf(e *entry, same int) int {
	flags := 0
	if e.directory() {
		switch {
		case l.protocol < 30 || e.content:
			flags = choice(e.top, fileTop)
		case e.implied:
			flags = fileTop | fileNoContent
		default:
			flags = fileNoContent
		}
	}
	flags |= choice(e.mode == l.before.mode, fileSameMode)
	flags |= choice(!l.owner || e.uid == l.before.uid && l.before.name != "", fileSameUser)
	flags |= choice(!l.group || e.gid == l.before.gid && l.before.name != "", fileSameGroup)
	flags |= choice(e.modified == l.before.modified, fileSameTime)
	flags |= choice(e.nanoseconds != 0 && l.protocol >= 31, fileNanoseconds)
	flags |= choice(same > 0, fileSameStart)
	flags |= choice(len(e.name)-same > 255, fileLongName)
	if l.hasNumbers(e) {
		if e.isSpecial() {
			flags |= fileSameMajor
		} else {
			flags |= choice(e.major == l.before.major, fileSameMajor)
		}
		flags |= choice(l.protocol < 30 && e.minor <= 0xff, fileMinorByte)
	}
	if e.group >= 0 {
		flags |= fileLinked
		flags |= choice(l.protocol >= 30 && e.group == e.order, fileLinkedFirst)
	}
	return flags
}

func choice(yes bool, flag int) int {
	if yes {
		return flag
	}
	return 0
}

// hasNumbers says whether a device's numbers are told of a file; before
// protocol 31 pipes and sockets had some too.
func (s *session) hasNumbers(e *entry) bool {
	return s.devices && e.isDevice() || s.specials && e.isSpecial() && s.protocol < 31
}

func (l *listSender) send(e *entry, lies inode) error {
	out, before := l.out, &l.before
	same := 0
	for same < min(len(e.name), len(before.name), 255) && e.name[same] == before.name[same] {
		same++
	}
	flags := l.flagsOf(e, same)
	device := int64(lies.device)
	if e.group >= 0 && l.protocol < 30 {
		flags |= choice(device == before.device, fileSameDevice)
		before.device = device
	}
	if err := l.sendFlags(e, flags); err != nil {
		return err
	}
	if same > 0 {
		_ = out.Byte(byte(same))
	}
	if rest := e.name[same:]; len(rest) > 255 {
		_ = out.Number(int32(len(rest)))
		_ = out.Text(rest)
	} else {
		_ = out.Byte(byte(len(rest)))
		_ = out.Text(rest)
	}
	before.name = e.name
	before.mode, before.modified = e.mode, e.modified
	if flags&fileLinked != 0 && flags&fileLinkedFirst == 0 && l.protocol >= 30 {
		// The rest is as of the first name.
		before.uid, before.gid = e.uid, e.gid
		if l.hasNumbers(e) && e.isDevice() {
			before.major = e.major
		}
		return out.Varint(e.group)
	}
	_ = out.Size(e.size)
	if flags&fileSameTime == 0 {
		if l.protocol >= 30 {
			_ = out.Varlong(e.modified, 4)
		} else {
			_ = out.Int(int32(e.modified))
		}
	}
	if flags&fileNanoseconds != 0 {
		_ = out.Varint(e.nanoseconds)
	}
	if flags&fileSameMode == 0 {
		_ = out.Int(int32(e.mode))
	}
	if flags&fileSameUser == 0 {
		_ = out.Number(int32(e.uid))
		before.uid = e.uid
		l.users.use(e.uid)
	}
	if flags&fileSameGroup == 0 {
		_ = out.Number(int32(e.gid))
		before.gid = e.gid
		l.groups.use(e.gid)
	}
	if l.hasNumbers(e) {
		if flags&fileSameMajor == 0 {
			_ = out.Number(int32(e.major))
			before.major = e.major
		}
		switch {
		case l.protocol >= 30:
			_ = out.Varint(int32(e.minor))
		case flags&fileMinorByte != 0:
			_ = out.Byte(byte(e.minor))
		default:
			_ = out.Int(int32(e.minor))
		}
	}
	if l.links && e.isLink() {
		_ = out.Number(int32(len(e.link)))
		_ = out.Text(e.link)
	}
	if e.group >= 0 && l.protocol < 30 {
		if flags&fileSameDevice == 0 {
			_ = out.Long(device + 1)
		}
		_ = out.Long(int64(lies.number))
	}
	_, err := out.Write([]byte(e.sum))
	return err
}

// sendFlags sees to it that what begins a file is not what ends a list.
func (l *listSender) sendFlags(e *entry, flags int) error {
	if l.varintFlags {
		if flags == 0 {
			flags = fileMoreFlags
		}
		return l.out.Varint(int32(flags))
	}
	if flags == 0 && !e.directory() {
		flags = fileTop // means nothing but for directories
	}
	if flags&^0xff != 0 || flags == 0 {
		return l.out.Short(uint16(flags | fileMoreFlags))
	}
	return l.out.Byte(byte(flags))
}

// end ends the list, and puts it in order.
func (l *listSender) end(found time.Duration) (list, error) {
	began := time.Now()
	if l.failure != nil {
		return nil, l.failure
	}
	trouble := l.found.Load()
	if l.ignoreErrors {
		trouble = 0
	}
	switch {
	case l.varintFlags:
		_ = l.out.Varint(0)
		_ = l.out.Varint(trouble)
	case trouble != 0 && l.safeList:
		_ = l.out.Short(fileMoreFlags | fileListEndTrouble)
		_ = l.out.Varint(trouble)
	default:
		_ = l.out.Byte(0)
	}
	if !l.numericIDs {
		if l.owner {
			_ = l.users.send(l.out, l.rootNames)
		}
		if l.group {
			_ = l.groups.send(l.out, l.rootNames)
		}
	}
	if l.protocol < 30 {
		_ = l.out.Int(trouble)
	} else if !l.safeList && trouble != 0 {
		l.out.MessageInt(wire.IOError, trouble)
	}
	l.files.sort()
	l.stats.listBuild = max(found.Milliseconds(), 1)
	l.stats.listTransfer = time.Since(began).Milliseconds()
	// Whether anything was sent is known at the next write.
	_, err := l.out.Write(nil)
	return l.files, err
}

// fromStat is a file as the kernel describes it.
func fromStat(name string, stat *unix.Stat_t) *entry {
	e := &entry{
		name: name, mode: stat.Mode, uid: stat.Uid, gid: stat.Gid,
		size: stat.Size, modified: stat.Mtim.Sec, nanoseconds: int32(stat.Mtim.Nsec),
	}
	if e.isDevice() {
		e.major, e.minor = unix.Major(stat.Rdev), unix.Minor(stat.Rdev)
	}
	if e.isDevice() || e.isSpecial() {
		e.size = 0
	}
	return e
}

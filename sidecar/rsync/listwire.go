package rsync

// Flags that begin each file of a list: what is the same as of the file before
// is left out, what is not always there is announced.
const (
	fileTop            = 1 << 0
	fileSameMode       = 1 << 1
	fileMoreFlags      = 1 << 2 // a second byte of flags follows
	fileSameUser       = 1 << 3
	fileSameGroup      = 1 << 4
	fileSameStart      = 1 << 5 // of its name
	fileLongName       = 1 << 6
	fileSameTime       = 1 << 7
	fileSameMajor      = 1 << 8  // devices
	fileNoContent      = 1 << 8  // directories, from protocol 30 on
	fileLinked         = 1 << 9  // has several names
	fileSameDevice     = 1 << 10 // protocol 29: where it lies is as before
	fileUserName       = 1 << 10 // from protocol 30 on
	fileMinorByte      = 1 << 11 // protocol 29: of a device
	fileGroupName      = 1 << 11 // from protocol 30 on
	fileLinkedFirst    = 1 << 12 // and this is the first of them
	fileListEndTrouble = 1 << 12 // with fileMoreFlags alone: the list ends, with trouble
	fileNanoseconds    = 1 << 13
)

// previous is what a file of a list is told relative to.
type previous struct {
	name     string
	mode     uint32
	modified int64
	uid, gid uint32
	major    uint32
	device   int64 // that the file lies on
}

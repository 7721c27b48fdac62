package sftp

import (
	"errors"

	"golang.org/x/sys/unix"
)

// Codes of a status, section 7 of the draft.
const (
	statusOK               = 0
	statusEOF              = 1
	statusNoSuchFile       = 2
	statusPermissionDenied = 3
	statusFailure          = 4
	statusBadMessage       = 5
	statusUnsupported      = 8
)

// failure is a request that was not done, as the client is told.
type failure struct {
	code    uint32
	message string
}

func (f *failure) Error() string { return f.message }

var (
	errEOF           = &failure{statusEOF, "End of file"}
	errUnsupported   = &failure{statusUnsupported, "the server does not know this request"}
	errNoHandle      = &failure{statusFailure, "no such open file or directory"}
	errHandleGone    = &failure{statusNoSuchFile, errNoHandle.message}
	errNoUser        = &failure{statusFailure, "no such user"}
	errNoHome        = &failure{statusNoSuchFile, errNoUser.message}
	errTooMany       = &failure{statusFailure, "too many open files and directories in this session: close some first"}
	errFIFO          = &failure{statusFailure, "a FIFO: only its own readers and writers can use it"}
	errTooLong       = &failure{statusFailure, "the answer would not fit into one packet: ask for less at a time"}
	errLinkSize      = &failure{statusBadMessage, "a symbolic link's size cannot be set"}
	errSameFile      = &failure{statusFailure, "a file cannot be copied onto itself"}
	errEndless       = &failure{statusFailure, "only a regular file has an end to copy up to"}
	errListOfNumbers = &failure{statusBadMessage, "a list of ids whose length is no multiple of 4"}
)

// status is the code and the message that stand for err. Which code an error
// of the kernel has is what OpenSSH's server chose, for clients branch on it;
// the message is for people, and says more.
func status(err error) (uint32, string) {
	var known *failure
	if errors.As(err, &known) {
		return known.code, known.message
	}
	var number unix.Errno
	if !errors.As(err, &number) {
		return statusFailure, err.Error()
	}
	switch number {
	case unix.ENOENT, unix.ENOTDIR, unix.EBADF, unix.ELOOP:
		return statusNoSuchFile, number.Error()
	case unix.EPERM, unix.EACCES, unix.EFAULT:
		return statusPermissionDenied, number.Error()
	case unix.ENAMETOOLONG, unix.EINVAL:
		return statusBadMessage, number.Error()
	case unix.ENOSYS:
		return statusUnsupported, number.Error()
	}
	return statusFailure, number.Error()
}

package sftp

import (
	"strconv"
	"time"
	"unicode/utf8"

	"golang.org/x/sys/unix"
)

// appendListing appends a line as `ls -l` writes it, in the columns of
// OpenSSH's server: its client shows the line as it is, others take it apart.
func appendListing(line []byte, name string, st *unix.Stat_t, user, group string, now time.Time) []byte {
	line = appendMode(line, st.Mode)
	line = append(line, "  "...)
	line = appendRight(line, 3, uint64(st.Nlink))
	line = append(line, ' ')
	line = appendLeft(line, 8, user)
	line = append(line, ' ')
	line = appendLeft(line, 8, group)
	line = append(line, ' ')
	line = appendRight(line, 8, uint64(st.Size))
	line = append(line, ' ')
	// Half a year from now the year says more than the hour.
	modified := time.Unix(int64(st.Mtim.Sec), 0)
	layout := "Jan _2 15:04"
	if age := now.Unix() - int64(st.Mtim.Sec); age < 0 || age >= 365*24*60*60/2 {
		layout = "Jan _2  2006"
	}
	line = modified.AppendFormat(line, layout)
	line = append(line, ' ')
	return append(line, name...)
}

// appendMode appends kind and permissions, as in "drwxr-xr-x".
func appendMode(line []byte, mode uint32) []byte {
	line = append(line, letterOf(mode))
	for _, who := range []struct {
		shift   uint32
		special uint32 // the bit that changes the letter of the right to execute
		letter  byte
	}{{6, unix.S_ISUID, 's'}, {3, unix.S_ISGID, 's'}, {0, unix.S_ISVTX, 't'}} {
		rights := mode >> who.shift
		execute := byte('-')
		switch {
		case mode&who.special != 0 && rights&1 != 0:
			execute = who.letter
		case mode&who.special != 0:
			execute = who.letter - 'a' + 'A'
		case rights&1 != 0:
			execute = 'x'
		}
		line = append(line, letterIf('r', rights&4 != 0), letterIf('w', rights&2 != 0), execute)
	}
	return line
}

// letterOf is the letter of what a file is.
func letterOf(mode uint32) byte {
	switch mode & unix.S_IFMT {
	case unix.S_IFREG:
		return '-'
	case unix.S_IFDIR:
		return 'd'
	case unix.S_IFLNK:
		return 'l'
	case unix.S_IFIFO:
		return 'p'
	case unix.S_IFSOCK:
		return 's'
	case unix.S_IFCHR:
		return 'c'
	case unix.S_IFBLK:
		return 'b'
	}
	return '?'
}

func letterIf(letter byte, is bool) byte {
	if is {
		return letter
	}
	return '-'
}

func appendRight(line []byte, width int, number uint64) []byte {
	var digits [20]byte
	text := strconv.AppendUint(digits[:0], number, 10)
	for i := len(text); i < width; i++ {
		line = append(line, ' ')
	}
	return append(line, text...)
}

func appendLeft(line []byte, width int, text string) []byte {
	line = append(line, text...)
	for i := utf8.RuneCountInString(text); i < width; i++ {
		line = append(line, ' ')
	}
	return line
}

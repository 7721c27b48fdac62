package scp

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// record is one line of the protocol that begins a file or a folder.
type record struct {
	folder bool
	mode   uint32
	size   int64
	name   string
}

// parseRecord reads what follows C or D: four octal digits, a size in bytes,
// and a name, which ends with the line.
func parseRecord(folder bool, line string) (record, error) {
	r := record{folder: folder}
	digits, rest, ok := strings.Cut(line, " ")
	if !ok || len(digits) != 4 {
		return r, fmt.Errorf("bad mode in %q", line)
	}
	mode, err := strconv.ParseUint(digits, 8, 12)
	if err != nil {
		return r, fmt.Errorf("bad mode in %q", line)
	}
	r.mode = uint32(mode)
	size, name, ok := strings.Cut(rest, " ")
	if !ok || size == "" || size[0] < '0' || size[0] > '9' {
		return r, fmt.Errorf("bad size in %q", line)
	}
	if r.size, err = strconv.ParseInt(size, 10, 64); err != nil {
		return r, fmt.Errorf("bad size in %q", line)
	}
	r.name = name
	return r, checkName(name)
}

// checkName says what is wrong with the name of a file that a client sends: it
// has to be one in the folder where it belongs, and one that can be shown.
func checkName(name string) error {
	switch {
	case name == "", name == ".", name == "..", strings.Contains(name, "/"), len(name) > 255:
		return fmt.Errorf("unexpected filename %q", name)
	}
	for i, r := range name {
		if r == utf8.RuneError {
			if _, width := utf8.DecodeRuneInString(name[i:]); width == 1 {
				continue // a byte of some other encoding
			}
		}
		if unicode.IsControl(r) {
			return fmt.Errorf("unexpected filename %q", name)
		}
	}
	return nil
}

// parseTimes reads what follows T: seconds and microseconds of the last change,
// and of the last reading.
func parseTimes(line string) (*times, error) {
	fields := strings.Split(line, " ")
	if len(fields) != 4 {
		return nil, fmt.Errorf("bad times in %q", line)
	}
	var n [4]int64
	for i, field := range fields {
		var err error
		if n[i], err = strconv.ParseInt(field, 10, 64); err != nil || n[i] < 0 || n[i] > latest {
			return nil, fmt.Errorf("bad times in %q", line)
		}
	}
	if n[1] > 999_999 || n[3] > 999_999 {
		return nil, errors.New("bad microseconds in times")
	}
	return &times{modified: time.Unix(n[0], n[1]*1000), accessed: time.Unix(n[2], n[3]*1000)}, nil
}

// latest is the last second that every file system knows, in the year 2446.
const latest = 15_032_385_535

package proof

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"path/filepath"
	"slices"
	"strconv"
	"testing"
)

// A sum is what became of the lines of one log, or of several.
type sum struct {
	lines                          int // whole ones, each counted once
	lost, doubled, torn, displaced int
	zeros                          int // bytes that nobody wrote, in archives
	failed                         int // segments of which the rotation says that it failed
	examples                       []string
}

func (s sum) perfect() bool { return s.lost+s.doubled+s.torn+s.displaced+s.zeros+s.failed == 0 }

func (s sum) String() string {
	text := fmt.Sprintf("%d lines: %d lost, %d doubled, %d torn, %d out of order", s.lines, s.lost, s.doubled, s.torn, s.displaced)
	if s.zeros > 0 {
		text += fmt.Sprintf(", and %d zero bytes between them", s.zeros)
	}
	if s.failed > 0 {
		text += fmt.Sprintf(", and %d that could not be rotated", s.failed)
	}
	for _, example := range s.examples {
		text += "\n\t" + example
	}
	return text
}

func (s *sum) say(format string, arguments ...any) {
	if len(s.examples) < 12 {
		s.examples = append(s.examples, fmt.Sprintf(format, arguments...))
	}
}

// wrong says what is not as it should be, or nothing.
func (s sum) wrong() string {
	if s.perfect() {
		return ""
	}
	return s.String()
}

// fail takes down what a process that rotates says to have failed.
func (s *sum) fail(said answer) {
	for _, one := range said.failures() {
		s.failed++
		s.say("%+v", one)
	}
}

func (s *sum) add(other sum) {
	s.lines += other.lines
	s.lost += other.lost
	s.doubled += other.doubled
	s.torn += other.torn
	s.displaced += other.displaced
	s.zeros += other.zeros
	s.failed += other.failed
	for _, example := range other.examples {
		s.say("%s", example)
	}
}

// seen is what was found of one writer.
type seen struct {
	numbers []bool // by number; none is 0
	last    uint64
}

// count reads a log's pieces, the oldest first, and finds what is missing of the
// lines that writers know to be written: by a writer's name, the number of its
// last one.
func count(folder, name string, acknowledged map[string]uint64) (sum, error) {
	all, err := pieces(folder, name)
	if err != nil {
		return sum{}, err
	}
	var total sum
	writers := map[string]*seen{}
	var readers []io.Reader
	for _, one := range all {
		reader, err := one.open()
		if err != nil {
			return sum{}, err
		}
		defer reader.Close()
		readers = append(readers, &named{reader, filepath.Base(one.path), &total})
	}
	lines := bufio.NewReaderSize(io.MultiReader(readers...), 1<<20)
	var long []byte
	for {
		line, err := lines.ReadSlice('\n')
		if errors.Is(err, bufio.ErrBufferFull) {
			long = append(long, line...)
			continue
		}
		if err != nil && !errors.Is(err, io.EOF) {
			return sum{}, err
		}
		if long != nil {
			line = append(long, line...)
			long = nil
		}
		if len(line) > 0 {
			total.take(line, writers)
		}
		if err != nil {
			break
		}
	}
	total.missing(acknowledged, writers)
	return total, nil
}

// missing adds what is lost.
func (s *sum) missing(acknowledged map[string]uint64, writers map[string]*seen) {
	for _, writer := range slices.Sorted(maps.Keys(acknowledged)) {
		found := writers[writer]
		if found == nil {
			found = &seen{}
		}
		missing := 0
		for number := uint64(1); number <= acknowledged[writer]; number++ {
			if number >= uint64(len(found.numbers)) || !found.numbers[number] {
				missing++
				if missing == 1 {
					s.say("the first line of %s that is lost is %d of %d", writer, number, acknowledged[writer])
				}
			}
		}
		s.lost += missing
	}
}

// named tells of an archive that its tool refuses.
type named struct {
	io.Reader
	name string
	to   *sum
}

func (n *named) Read(to []byte) (int, error) {
	read, err := n.Reader.Read(to)
	if err != nil && !errors.Is(err, io.EOF) {
		n.to.torn++
		n.to.say("%s: %v", n.name, err)
		err = io.EOF // what follows is still looked at
	}
	return read, err
}

// take judges one line.
func (s *sum) take(line []byte, writers map[string]*seen) {
	between := bytes.TrimLeft(line, "\x00")
	if s.zeros == 0 && len(between) < len(line) {
		s.say("zero bytes before %.40q", between)
	}
	s.zeros += len(line) - len(between)
	line = between
	writer, number, whole := parse(line)
	if !whole {
		s.torn++
		s.say("torn: %.80q … (%d bytes)", line, len(line))
		return
	}
	of := writers[writer]
	if of == nil {
		of = &seen{}
		writers[writer] = of
	}
	if number >= uint64(len(of.numbers)) {
		of.numbers = append(of.numbers, make([]bool, int(number)+1-len(of.numbers))...)
	}
	if of.numbers[number] {
		s.doubled++
		s.say("doubled: %d of %s, after %d", number, writer, of.last)
		return
	}
	of.numbers[number] = true
	s.lines++
	if number < of.last {
		s.displaced++
		s.say("out of order: %d of %s, after %d", number, writer, of.last)
	}
	of.last = number
}

// parse takes a line apart, and says whether all of it is there, once.
func parse(line []byte) (writer string, number uint64, whole bool) {
	fields := bytes.SplitN(line, []byte(" "), 4)
	if len(fields) != 4 || len(fields[1]) < 9 {
		return "", 0, false
	}
	number, err := strconv.ParseUint(string(fields[1]), 10, 32)
	if err != nil || number == 0 {
		return "", 0, false
	}
	length, err := strconv.Atoi(string(fields[2]))
	if err != nil || length != len(line) {
		return "", 0, false
	}
	letters, ended := bytes.CutSuffix(fields[3], []byte("\n"))
	letter := []byte{'a' + byte(number%26)}
	if !ended || len(bytes.Trim(letters, string(letter))) != 0 {
		return "", 0, false
	}
	return string(fields[0]), number, true
}

// counted is count where nothing keeps it from counting.
func counted(t *testing.T, folder, name string, acknowledged map[string]uint64) sum {
	t.Helper()
	var found sum
	var err error
	eventually(t, func() error {
		// What is set aside becomes an archive of another name whenever it can: one that
		// is listed and is not there any more is looked for again.
		if found, err = count(folder, name, acknowledged); errors.Is(err, fs.ErrNotExist) {
			return err
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// want counts a log, and fails the test unless all of it is there once.
func want(t *testing.T, folder, name string, acknowledged map[string]uint64) sum {
	t.Helper()
	found := counted(t, folder, name, acknowledged)
	if !found.perfect() {
		t.Errorf("%s: %v", name, found)
	}
	return found
}

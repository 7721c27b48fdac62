// Package scp is the far half of scp's old protocol, which `scp -O` and older
// clients speak: they run `scp -t TARGET` here to send files, and
// `scp -f SOURCE…` to fetch them. Newer ones use sftp.
//
// The protocol has no specification; this is what OpenSSH's scp.c does on its
// far side. What a client sends cannot name a file outside of the target it
// asked its shell for, and one file's trouble is told and the rest goes on.
package scp

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"
	"unicode"

	"github.com/inmanta/inmanta-docker/sidecar/filelog"
)

// Main is the whole program: args are the command line without the program's
// name, and told hears of each file, if it is not nil. Its result is the exit
// code: 0, or 1 where anything went wrong.
func Main(args []string, stdin io.Reader, stdout, stderr io.Writer, told func(filelog.Event)) int {
	o, err := parse(args)
	if err != nil {
		fmt.Fprintln(stderr, "scp:", err)
		return 1
	}
	if told == nil {
		told = func(filelog.Event) {}
	}
	p := &peer{in: bufio.NewReaderSize(stdin, bufferSize), out: stdout, log: stderr, told: told, options: o}
	if o.sink {
		err = p.receive(o.paths[0])
	} else {
		err = p.sendAll(o.paths)
	}
	// A client that is gone needs no explanation.
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		fmt.Fprintln(stderr, "scp:", err)
	}
	if err != nil || p.failures > 0 {
		return 1
	}
	return 0
}

// bufferSize is how much of a file is in memory at a time, in bytes.
const bufferSize = 128 << 10

// longestLine bounds one line of the protocol, in bytes: a path and what is
// before it.
const longestLine = 8 << 10

// options are the far side's, as the client's scp gives them.
type options struct {
	sink      bool // -t rather than -f
	recursive bool // -r
	preserve  bool // -p: times and modes
	directory bool // -d: the target has to be one
	paths     []string
}

func parse(args []string) (options, error) {
	var o options
	source := false
	for len(args) > 0 && len(args[0]) > 1 && args[0][0] == '-' {
		arg := args[0]
		args = args[1:]
		if arg == "--" {
			break
		}
		for _, flag := range arg[1:] {
			switch flag {
			case 't':
				o.sink = true
			case 'f':
				source = true
			case 'r':
				o.recursive = true
			case 'p':
				o.preserve = true
			case 'd':
				o.directory = true
			case 'v', 'q':
				// How much the near side says.
			default:
				return o, fmt.Errorf("-%c is no option of scp's far side", flag)
			}
		}
	}
	o.paths = args
	switch {
	case o.sink == source:
		return o, errors.New("this is only scp's far side: a client runs it with -t or -f")
	case len(args) == 0, o.sink && len(args) > 1:
		return o, errors.New("-t takes one target, and -f at least one source")
	}
	return o, nil
}

// peer is the client at the other end.
type peer struct {
	options
	in       *bufio.Reader
	out, log io.Writer
	told     func(filelog.Event)
	failures int
}

// errRefused says that the client did not take one thing; the rest may go on.
var errRefused = errors.New("refused by the client")

// fail tells the client of one file's trouble. The message is one line.
func (p *peer) fail(what string, err error) error {
	p.failures++
	var inner *os.PathError
	if errors.As(err, &inner) {
		err = inner.Err
	}
	text := fmt.Sprintf("scp: %s: %v", what, err)
	_, werr := io.WriteString(p.out, "\x01"+strings.Map(oneLine, text)+"\n")
	return werr
}

func oneLine(r rune) rune {
	if unicode.IsControl(r) {
		return '?'
	}
	return r
}

func (p *peer) acknowledge() error {
	_, err := p.out.Write([]byte{0})
	return err
}

// awaitAnswer reads what the client makes of what it was sent: nothing, errRefused, or
// an error that ends it all.
func (p *peer) awaitAnswer() error {
	code, err := p.in.ReadByte()
	if err != nil {
		return err
	}
	switch code {
	case 0:
		return nil
	case 1, 2:
		line, err := p.line()
		if err != nil {
			return err
		}
		p.failures++
		if code == 2 {
			return fmt.Errorf("the client gave up: %s", strings.Map(oneLine, line))
		}
		return errRefused
	}
	return fmt.Errorf("the client answered %q, which is no answer", code)
}

// line reads to the end of a line.
func (p *peer) line() (string, error) {
	var line []byte
	for {
		b, err := p.in.ReadByte()
		if err != nil {
			return "", err
		}
		if b == '\n' {
			return string(line), nil
		}
		if line = append(line, b); len(line) > longestLine {
			return "", fmt.Errorf("the client sent a line of more than %d bytes", longestLine)
		}
	}
}

// times are when a file was changed and read, as a T record has them.
type times struct{ modified, accessed time.Time }

func (t *times) apply(path string) error {
	if t == nil {
		return nil
	}
	return os.Chtimes(path, t.accessed, t.modified)
}

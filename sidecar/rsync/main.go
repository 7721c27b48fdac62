// Package rsync is the server's half of rsync, for clients that copy to and
// from a machine that has none: a client starts "rsync --server …" there and
// speaks its protocol on standard input and output (rsync 2.6.4 and later,
// protocols 29 to 31). Within that machine it also copies one directory into
// another.
//
// Whatever a client asks for that is not done here is refused before anything
// is touched. What a sender lists never leads out of the destination, and a
// file is in its place completely or not at all.
package rsync

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/inmanta/inmanta-docker/sidecar/filelog"
	"github.com/inmanta/inmanta-docker/sidecar/rsync/filter"
	"github.com/inmanta/inmanta-docker/sidecar/rsync/wire"
)

// farewell is how long a client has to hear why everything ended.
const farewell = 10 * time.Second

// longestRule is the longest filter rule a client may send, in bytes: a path
// and what is before it, as in rsync.
const longestRule = wire.MaxPath + 1024

// Main is the whole program: args are the command line without the program's
// name, told hears of each file that goes to a client or comes from it, if it is
// not nil, and the result is its exit code, one of rsync's. It is to be the last
// thing a process does, as a client that is gone can leave goroutines behind.
func Main(args []string, stdin io.Reader, stdout, stderr io.Writer, told func(filelog.Event)) int {
	if len(args) == 1 && args[0] == "--version" {
		fmt.Fprintf(stdout, "rsync  version of inmanta-sidecar  protocol version %d\n", newestProtocol)
		return exitOK
	}
	o := newOptions()
	o.server = len(args) > 0 && args[0] == "--server"
	if err := o.readCommand(args, stdin); err != nil {
		return refuse(stderr, err)
	}
	// A client that is gone must not end the process before it has tidied up.
	signal.Ignore(syscall.SIGPIPE)
	if !o.server {
		return copyHere(o, stdout, stderr)
	}
	s := newSession(o, stdin, stdout)
	if told != nil {
		s.did = told
	}
	return serve(s, stderr)
}

// refuse says why nothing was done.
func refuse(stderr io.Writer, err error) int {
	fmt.Fprintf(stderr, "rsync: %s\n", err)
	if ends := (exit{}); errors.As(err, &ends) {
		return ends.code
	}
	return exitStream
}

// readCommand reads the command line, the rest of which may come on stdin.
func (o *options) readCommand(args []string, stdin io.Reader) error {
	if o.server {
		args = args[1:]
		if len(args) > 0 && args[0] == "--sender" {
			o.sender = true
			args = args[1:]
		}
	}
	if err := o.parse(args); err != nil {
		return err
	}
	if o.secluded && o.server {
		rest, err := readSecluded(stdin)
		if err != nil {
			return err
		}
		if err := o.parse(rest); err != nil {
			return err
		}
		if o.sender {
			o.paths = expand(o.paths)
		}
	}
	if o.recursive || o.filesFrom != "" {
		o.directories = true
	}
	if err := o.check(); err != nil {
		return err
	}
	if o.server {
		if len(o.paths) == 0 || o.paths[0] != "." {
			return fatal(exitSyntax, "this is the server of a transfer: the client puts \".\" before the paths")
		}
		o.paths = o.paths[1:]
		if !o.sender && len(o.paths) > 1 {
			return fatal(exitSyntax, "there are %d destinations, one is possible", len(o.paths))
		}
	}
	return nil
}

// newSeed is a seed for this transfer's checksums; 0 would be none.
func newSeed() int32 {
	var b [4]byte
	_, _ = rand.Read(b[:])
	return int32(binary.LittleEndian.Uint32(b[:]) | 1)
}

// serve runs a transfer until it is over, the client is gone, or somebody
// tells it to stop.
func serve(s *session, stderr io.Writer) int {
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGHUP, syscall.SIGINT, syscall.SIGTERM)
	done := make(chan error, 1)
	go func() { done <- s.run() }()
	var watch <-chan time.Time
	if s.timeout > 0 {
		ticker := time.NewTicker(min(time.Second, time.Duration(s.timeout)*time.Second/2))
		defer ticker.Stop()
		watch = ticker.C
	}
	for {
		select {
		case err := <-done:
			return s.finish(err, stderr)
		case <-stop:
			s.stopping.Store(true)
			s.unfinished.stop(s.partial)
			return exitSignal
		case now := <-watch:
			if s.silent(now) {
				return s.finish(fatal(exitTimeout, "nothing came or went for %d seconds", s.timeout), stderr)
			}
		}
	}
}

// silent says whether the other side is silent for too long; half of that time
// it lets it know that we are still here.
func (s *session) silent(now time.Time) bool {
	limit := time.Duration(s.timeout) * time.Second
	if (s.sender || s.listed.Load()) && now.Sub(s.out.LastWrote()) >= limit/2 {
		s.out.Message(wire.Data, nil)
	}
	return now.Sub(s.in.LastHeard()) >= limit && now.Sub(s.out.LastWrote()) >= limit
}

// run is one transfer, as the server's half.
func (s *session) run() error {
	if err := s.greet(); err != nil {
		return err
	}
	rules := s.newRules()
	if s.sender || s.pruneEmpty || s.delete != never {
		if err := s.readRules(rules); err != nil {
			return err
		}
	}
	if s.cvs && s.sender {
		for _, rule := range []string{":C", "-C"} {
			if err := rules.Add(rule); err != nil {
				return err
			}
		}
	}
	if s.sender {
		return s.runSender(rules)
	}
	given := "."
	if len(s.paths) > 0 {
		given = s.paths[0]
	}
	if s.filesFrom != "" {
		if err := s.forwardNames(); err != nil {
			return err
		}
	}
	return s.receiveAll(given, rules)
}

func (s *session) newRules() *filter.Rules {
	rules := &filter.Rules{DeleteExcluded: s.deleteExcluded, Read: readRuleFile}
	if !s.sender {
		rules.Side = filter.Receiving
	}
	return rules
}

// readRuleFile reads a file of filter rules, if it is one: a pipe of that name
// in the destination must not stop the transfer.
func readRuleFile(name string) ([]byte, error) {
	file, err := openRegular(name, true)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	return io.ReadAll(io.LimitReader(file, filter.LongestFile+1))
}

// readRules reads the client's filter rules.
func (s *session) readRules(rules *filter.Rules) error {
	for {
		length, err := s.in.Int()
		if err != nil || length == 0 {
			return err
		}
		text, err := s.in.Text(int(length), longestRule)
		if err != nil {
			return err
		}
		if err := rules.Add(text); err != nil {
			return fatal(exitSyntax, "%s", err)
		}
	}
}

// runSender sends what the client asked for.
func (s *session) runSender(rules *filter.Rules) error {
	paths := s.paths
	if s.filesFrom != "" {
		var err error
		if paths, err = s.listedNames(); err != nil {
			return err
		}
	} else if len(paths) == 0 {
		paths = []string{"."}
	}
	files, err := s.scan(paths, rules)
	if err != nil {
		return err
	}
	if len(files) == 0 {
		return nil
	}
	s.files = files
	if err := s.send(files); err != nil {
		return err
	}
	return s.finishSending()
}

// finish tells the client how it went and waits until it knows.
func (s *session) finish(err error, stderr io.Writer) int {
	s.unfinished.stop(s.partial)
	code := s.code()
	if err != nil {
		s.stopping.Store(true)
		code = s.explain(err, stderr)
	}
	known := make(chan bool, 1)
	go func() {
		written := s.out.Close() == nil
		if err != nil && written && s.protocol >= 31 {
			// The client still sends; it must not be hung up on before it has
			// read why.
			if s.reading != nil {
				<-s.reading
			}
			s.in.Discard()
		}
		known <- written
	}()
	select {
	case written := <-known:
		if !written && code == exitOK {
			code = exitStream
		}
	case <-time.After(farewell):
		if code == exitOK {
			code = exitStream
		}
	}
	return code
}

// explain tells why a transfer failed: the client, if it listens, else
// whoever reads our messages.
func (s *session) explain(err error, stderr io.Writer) int {
	ends := exit{exitStream, err.Error()}
	if broken := (wire.ProtocolError{}); errors.As(err, &broken) {
		ends = exit{exitProtocol, "the client talks nonsense: " + broken.Error()}
	}
	_ = errors.As(err, &ends)
	if errors.Is(err, io.ErrUnexpectedEOF) {
		ends.text = "the client is gone"
	}
	if s.protocol == 0 || ends.code == exitStream {
		fmt.Fprintf(stderr, "rsync: [%s] %s\n", s.role, ends.text)
		return ends.code
	}
	s.say(wire.Error, "rsync: [%s] %s", s.role, ends.text)
	if s.protocol >= 31 {
		s.out.MessageInt(wire.ErrorExit, int32(ends.code))
	}
	return ends.code
}

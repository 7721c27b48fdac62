package rsync

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"sync"
	"syscall"
	"unicode"

	"github.com/inmanta/inmanta-docker/sidecar/rsync/delta"
	"github.com/inmanta/inmanta-docker/sidecar/rsync/filter"
	"github.com/inmanta/inmanta-docker/sidecar/rsync/wire"
)

// copyHere copies from one place of this machine to another: both halves of a
// transfer in one process, with pipes between them.
func copyHere(o *options, stdout, stderr io.Writer) int {
	if err := o.checkLocal(); err != nil {
		return refuse(stderr, err)
	}
	if o.wholeFile < 0 {
		o.wholeFile = 1
	}
	if o.delete == whenever {
		o.delete = during
	}
	sources, given := o.paths[:len(o.paths)-1], o.paths[len(o.paths)-1]
	screen := &screen{stdout: stdout, stderr: stderr, names: o.names > 0}
	toReceiver, fromSender := io.Pipe()
	toSender, fromReceiver := io.Pipe()
	sendOptions := *o
	sendOptions.sender = true
	sending := newHalf(&sendOptions, toSender, fromSender, screen)
	receiving := newHalf(o, toReceiver, fromReceiver, screen)
	sending.onItem = screen.item
	receiving.strong.Seed = sending.strong.Seed
	sendRules, err := sending.givenRules()
	if err != nil {
		return refuse(stderr, err)
	}
	receiveRules, err := receiving.givenRules()
	if err != nil {
		return refuse(stderr, err)
	}

	results := make(chan error, 2)
	go func() {
		err := sending.sendHere(sources, sendRules)
		_ = fromSender.CloseWithError(errors.Join(sending.out.Close(), err))
		results <- err
	}()
	go func() {
		err := receiving.receiveAll(given, receiveRules)
		_ = fromReceiver.CloseWithError(errors.Join(receiving.out.Close(), err))
		results <- err
	}()
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGHUP, syscall.SIGINT, syscall.SIGTERM)
	code := exitOK
	for range 2 {
		select {
		case <-stop:
			receiving.unfinished.stop(o.partial)
			return exitSignal
		case err := <-results:
			if err == nil {
				continue
			}
			receiving.unfinished.stop(o.partial)
			fmt.Fprintf(stderr, "rsync: %s\n", err)
			ends := exit{code: exitStream}
			_ = errors.As(err, &ends)
			return ends.code
		}
	}
	return max(code, sending.code(), receiving.code())
}

// checkLocal refuses what cannot be copied from one place here to another.
func (o *options) checkLocal() error {
	if len(o.paths) < 2 {
		return fatal(exitSyntax, "a copy on this machine takes a source and a destination")
	}
	for _, given := range o.paths {
		host, _, found := strings.Cut(given, ":")
		if found && !strings.Contains(host, "/") {
			return fatal(exitUnsupported, "%q is on another machine: %s", given, notFromHere)
		}
	}
	if o.filesFrom != "" {
		return fatal(exitUnsupported, "option --files-from cannot be used here for a copy on this machine")
	}
	if o.statistics {
		return fatal(exitUnsupported, "option --stats cannot be used here: %s", notShown)
	}
	o.compress = false
	return nil
}

// newHalf is one half, which knows what the other one can do.
func newHalf(o *options, in io.Reader, out io.Writer, screen *screen) *session {
	s := newSession(o, in, out)
	s.protocol, s.in.Protocol, s.out.Protocol = newestProtocol, newestProtocol, newestProtocol
	s.safeList, s.varintFlags, s.rootNames = true, true, true
	s.strong = delta.Strong{Kind: delta.XXH64, Seed: newSeed(), SeedFirst: true}
	if s.transferSum != "" {
		s.strong.Kind = s.transferSum
	}
	if s.fileSum == "" {
		s.fileSum = s.strong.Kind
	}
	s.compression = delta.None
	s.in.Frame()
	s.out.Frame()
	s.in.OnMessage = func(tag wire.Tag, payload []byte) error {
		if tag != wire.Success && tag != wire.NoSend && tag != wire.IOError {
			screen.message(tag, payload)
			return nil
		}
		return s.heard(tag, payload)
	}
	return s
}

// givenRules are the rules of the command line.
func (s *session) givenRules() (*filter.Rules, error) {
	rules := s.newRules()
	given := s.options.rules
	if s.cvs {
		given = append(given[:len(given):len(given)], ":C", "-C")
	}
	for _, rule := range given {
		if err := rules.Add(rule); err != nil {
			return nil, fatal(exitSyntax, "%s", err)
		}
	}
	return rules, nil
}

// sendHere is the sender's half.
func (s *session) sendHere(paths []string, rules *filter.Rules) error {
	files, err := s.scan(paths, rules)
	if err != nil {
		return err
	}
	s.files = files
	if err := s.send(files); err != nil {
		return err
	}
	return s.sayGoodbye()
}

// screen is where a person reads how a copy goes. Both halves write to it.
type screen struct {
	mu     sync.Mutex
	stdout io.Writer
	stderr io.Writer
	names  bool
}

// shown is a name for a person to read, as rsync writes it: what is not
// printable as "\#" and three octal digits.
func shown(name string) string {
	if !strings.ContainsFunc(name, unicode.IsControl) {
		return name
	}
	var b strings.Builder
	for i := range len(name) {
		if c := name[i]; c < ' ' || c == 0x7f {
			fmt.Fprintf(&b, "\\#%03o", c)
		} else {
			b.WriteByte(c)
		}
	}
	return b.String()
}

// message shows what one half tells the other.
func (s *screen) message(tag wire.Tag, payload []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch tag {
	case wire.Info:
		_, _ = s.stdout.Write(payload)
	case wire.Error, wire.ErrorXfer, wire.Warning:
		_, _ = s.stderr.Write(payload)
	case wire.Deleted:
		if s.names {
			name, directory := strings.CutSuffix(string(payload), "\x00")
			fmt.Fprintf(s.stdout, "deleting %s%s\n", shown(name), choose(directory, "/", ""))
		}
	}
}

// item shows the name of what is changed, with option --verbose; that only
// its attributes are is told of directories alone.
func (s *screen) item(e *entry, r request) {
	changed := r.flags&itemTransfer != 0 || r.other != ""
	if r.flags&^itemIrrelevant != 0 && (r.flags&itemLocal != 0 || e.directory()) {
		changed = true
	}
	if !s.names || !changed {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	name := shown(e.name)
	switch {
	case e.directory():
		name += "/"
	case e.isLink():
		name += " -> " + shown(e.link)
	case r.other != "":
		name += " => " + shown(r.other)
	}
	fmt.Fprintln(s.stdout, name)
}

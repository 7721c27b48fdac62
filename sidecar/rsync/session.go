package rsync

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync/atomic"
	"syscall"

	"github.com/inmanta/inmanta-docker/sidecar/filelog"
	"github.com/inmanta/inmanta-docker/sidecar/rsync/delta"
	"github.com/inmanta/inmanta-docker/sidecar/rsync/wire"
)

const (
	// newestProtocol is rsync 3.1's; what came later changed no byte.
	newestProtocol = 31
	// oldestProtocol is rsync 2.6.4's (2005), which macOS's rsync speaks.
	// Before that there were no filter rules to speak of.
	oldestProtocol = 29
)

// What both sides of protocol 30 and later agree on beside the version.
const (
	agreeLinkTimes = 1 << 1 // the receiver can set the times of links
	agreeSafeList  = 1 << 3 // errors can be told at the end of a list
	agreeNoOptim   = 1 << 4 // about extended attributes
	agreeSeedFirst = 1 << 5 // see delta.Strong
	agreeVarint    = 1 << 7 // flags of files in the short form; names of algorithms
	agreeRootNames = 1 << 8 // users and groups 0 have names too
)

// session is one transfer, from one side.
type session struct {
	*options
	role     string // for messages: sender or receiver
	protocol int
	in       *wire.Reader
	out      *wire.Encoder

	safeList    bool
	varintFlags bool
	rootNames   bool
	strong      delta.Strong
	compression delta.Compression

	privileged bool // may give files away
	// onItem, when there is one, is told of each file that is sent or changed.
	onItem func(*entry, request)
	// did is told of each file that was sent, received or deleted.
	did func(filelog.Event)
	// events are for the generator, which asks for files, from who gets them.
	events events
	files  list

	// found are the kinds of trouble so far, as bits; told says that the other
	// side was told of a file that could not be transferred.
	found    atomic.Int32
	told     atomic.Bool
	stopping atomic.Bool
	// listed says that the list has been received: before that rsync 3.0 does
	// not expect to hear anything.
	listed atomic.Bool

	// reading is closed when the goroutine that receives files is done.
	reading chan struct{}

	unfinished unfinished
	stats      stats
}

// Kinds of trouble, as they are told the other side.
const (
	troubleGeneral  = 1 << 0 // something could not be read
	troubleVanished = 1 << 1 // something went away
	troubleDeletes  = 1 << 2 // --max-delete was reached
	troubleKnown    = troubleGeneral | troubleVanished | troubleDeletes
)

// stats are what the client shows with --stats.
type stats struct {
	size          int64 // of all files, bytes
	listBuild     int64 // milliseconds
	listTransfer  int64 // milliseconds
	deletedFiles  int32
	deletedDirs   int32
	deletedLinks  int32
	deletedDevice int32
	deletedOther  int32
}

func newSession(o *options, stdin io.Reader, stdout io.Writer) *session {
	s := &session{
		options: o, role: "receiver",
		in: wire.NewReader(stdin), out: wire.NewEncoder(wire.NewWriter(stdout, o.bytesPerSecond)),
		privileged: os.Geteuid() == 0,
		did:        func(filelog.Event) {},
	}
	if o.sender {
		s.role = "sender"
	}
	s.in.BeforeWait = s.out.Flush
	s.in.OnMessage = s.heard
	return s
}

// greet agrees with the client on how to speak.
func (s *session) greet() error {
	if err := s.out.Int(newestProtocol); err != nil {
		return err
	}
	theirs, err := s.in.Int()
	if err != nil {
		return err
	}
	switch {
	case theirs < 20 || theirs > 255:
		return fatal(exitProtocol, "what came is not rsync's protocol: does something in the shell's start-up files print or read?")
	case theirs < oldestProtocol:
		return fatal(exitProtocol, "the client speaks protocol %d, this server %d to %d: use rsync 2.6.4 or later, without a lower --protocol", theirs, oldestProtocol, newestProtocol)
	}
	s.protocol = min(int(theirs), newestProtocol)
	s.in.Protocol, s.out.Protocol = s.protocol, s.protocol
	s.strong = delta.Strong{Kind: delta.MD4}
	if s.protocol >= 30 {
		s.strong.Kind = delta.MD5
		if err := s.agree(); err != nil {
			return err
		}
	} else if s.appending == 1 {
		s.appending = 2
	}
	if err := s.choose(); err != nil {
		return err
	}
	s.strong.Seed = s.seed
	if s.strong.Seed == 0 {
		s.strong.Seed = newSeed()
	}
	if s.delete == whenever {
		s.delete = during
		if s.protocol < 30 {
			s.delete = before
		}
	}
	if err := s.out.Int(s.strong.Seed); err != nil {
		return err
	}
	s.out.Frame()
	if s.protocol >= 30 {
		s.in.Frame()
	}
	return nil
}

// agree tells what is done besides the version, as far as the client can.
func (s *session) agree() error {
	can := func(letter string) bool { return strings.Contains(s.client, letter) }
	s.safeList = can("f") || s.protocol >= 31
	s.strong.SeedFirst, s.varintFlags, s.rootNames = can("C"), can("v"), can("u")
	agreed := int32(agreeLinkTimes)
	for letter, bit := range map[string]int32{
		"f": agreeSafeList, "x": agreeNoOptim, "C": agreeSeedFirst, "v": agreeVarint, "u": agreeRootNames,
	} {
		if can(letter) {
			agreed |= bit
		}
	}
	return s.out.Varint(agreed)
}

// choose agrees on a checksum and a compression: by name where the client
// negotiates (what it names first that we know too), else the protocol's.
func (s *session) choose() error {
	negotiated := s.varintFlags
	askSum := negotiated && s.transferSum == ""
	askPacking := negotiated && s.compress && s.packing == ""
	sums := []string{string(delta.XXH64), string(delta.MD5)}
	packings := []string{string(delta.ZlibX), string(delta.Zlib), string(delta.None)}
	if askSum {
		if err := s.out.String(strings.Join(sums, " ")); err != nil {
			return err
		}
	}
	if askPacking {
		if err := s.out.String(strings.Join(packings, " ")); err != nil {
			return err
		}
	}
	if askSum {
		name, err := s.common("checksum", sums)
		if err != nil {
			return err
		}
		s.strong.Kind = delta.Kind(name)
	} else if s.transferSum != "" {
		s.strong.Kind = s.transferSum
	}
	if s.fileSum == "" {
		s.fileSum = s.strong.Kind
	}
	s.compression = delta.None
	switch {
	case askPacking:
		name, err := s.common("compression", packings)
		if err != nil {
			return err
		}
		s.compression = delta.Compression(name)
	case s.packing != "":
		s.compression = s.packing
	case s.compress:
		s.compression = delta.Zlib
	}
	return nil
}

// common is the first of the client's names that is one of ours.
func (s *session) common(what string, ours []string) (string, error) {
	theirs, err := s.in.String(256)
	if err != nil {
		return "", err
	}
	for name := range strings.FieldsSeq(theirs) {
		for _, one := range ours {
			if strings.EqualFold(name, one) {
				return one, nil
			}
		}
	}
	return "", fatal(exitUnsupported, "the client knows no %s that is known here: it has %q, here are %q", what, theirs, strings.Join(ours, " "))
}

// heard is told of the client's messages.
func (s *session) heard(tag wire.Tag, payload []byte) error {
	number := int32(0)
	if len(payload) == 4 {
		number = int32(payload[0]) | int32(payload[1])<<8 | int32(payload[2])<<16 | int32(payload[3])<<24
	}
	switch tag {
	case wire.IOError:
		s.found.Or(number & troubleKnown)
	case wire.ErrorExit:
		return fatal(exitPartial, "the client gave up")
	case wire.Success, wire.NoSend:
		return s.settled(tag, number)
	case wire.Info, wire.Error, wire.ErrorXfer, wire.Warning, wire.NoOp, wire.Deleted:
		// The client shows its own messages itself.
	default:
		return wire.Broken("a message of unknown kind %d came", tag)
	}
	return nil
}

// settled is told that a file arrived, or will not come.
func (s *session) settled(tag wire.Tag, index int32) error {
	switch {
	case index < 0 || int(index) >= len(s.files):
		return wire.Broken("file %d of %d was meant", index, len(s.files))
	case !s.sender:
		if tag == wire.NoSend {
			s.events.add(event{kind: eventMissing, index: index})
		}
	case tag == wire.Success && s.removeSource && !s.dryRun:
		s.arrived(s.files[index])
	}
	return nil
}

// complain tells the user of a file that could not be transferred.
func (s *session) complain(what, path string, err error) {
	s.told.Store(true)
	s.say(wire.ErrorXfer, "rsync: [%s] %s %s failed: %s", s.role, what, quoted(path), reason(err))
}

// quoted is a name in a message. The client shows what is not printable in its
// own way.
func quoted(name string) string { return `"` + name + `"` }

// say tells the user something.
func (s *session) say(tag wire.Tag, format string, values ...any) {
	s.out.Message(tag, fmt.Appendf(nil, format+"\n", values...))
}

// reason is an error as rsync shows it, with the kernel's number.
func reason(err error) string {
	if number := syscall.Errno(0); errors.As(err, &number) {
		return fmt.Sprintf("%s (%d)", sentence(number.Error()), int(number))
	}
	return err.Error()
}

// sentence begins with a capital letter, as the C library's texts do.
func sentence(text string) string {
	if text == "" {
		return text
	}
	return strings.ToUpper(text[:1]) + text[1:]
}

// code is what to exit with after everything else went well.
func (s *session) code() int {
	found := s.found.Load()
	switch {
	case s.told.Load() || found&troubleGeneral != 0:
		return exitPartial
	case found&troubleVanished != 0:
		return exitVanished
	case found&troubleDeletes != 0:
		return exitDeleteLimit
	}
	return exitOK
}

package archive

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"time"
)

// Lock is held while the files of a log are listed and opened, and while a part
// of one is read from which the daemon takes what it has archived. The daemon
// holds the same lock alone as long as anything is both in an archive and in
// its source.
type Lock interface {
	Lock() error
	Unlock() error
}

// Options are what a Stream may be told.
type Options struct {
	// Lock is nil where nobody rotates.
	Lock Lock
	// Gaps are parts of an open, uncompressed file to leave out beside its holes.
	// It is called with the lock. Nil is none.
	Gaps func(*os.File) ([]Range, error)
	// Since leaves out what is older. Zero leaves out nothing.
	Since time.Time
	// Zone is where timestamps in the log that do not say theirs are from; nil is UTC.
	Zone *time.Location
	// Report is called with each Unreadable and Gone, where the bytes that are
	// missing would have come. Nil drops them.
	Report func(error)
}

// Stream is all that is there of a log, oldest first, as its writer wrote it,
// whatever the daemon does with the files meanwhile: no byte twice, and none left
// out but those that are reported. It ends at the present end of the live file.
//
// Lines that a writer with an old descriptor still adds to a segment after the
// stream has gone on to the next file are not in it.
type Stream struct {
	folder  *os.File
	log     string
	options Options

	listed  listing
	foreign []*source // not read yet; open, since logrotate renames them
	place   place
	source  *source // nil between two
	filter  *filter

	out        []byte // to be delivered; in buffer, or the filter's
	buffer     []byte
	moves      int // without anything read in between
	incomplete int
	reports    []error
	err        error
}

// chunk is how much is read at once, in bytes, and so how long the lock is held.
const chunk = 128 << 10

// mostMoves is how often a file may be moved before anything is read of it: more
// is none of the daemon's doing.
const mostMoves = 1000

// Open begins a stream of a log of the folder. It is fs.ErrNotExist where there
// is no file of that log. The folder stays the caller's.
func Open(folder *os.File, log string, options Options) (*Stream, error) {
	if err := CheckLog(log); err != nil {
		return nil, err
	}
	if options.Lock == nil {
		options.Lock = alone{}
	}
	if options.Report == nil {
		options.Report = func(error) {}
	}
	s := &Stream{folder: folder, log: log, options: options, buffer: make([]byte, chunk)}
	if !options.Since.IsZero() {
		s.filter = newFilter(options.Since, options.Zone)
	}
	if err := s.locked(s.begin); err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

// alone is the lock of a folder that nobody rotates.
type alone struct{}

func (alone) Lock() error   { return nil }
func (alone) Unlock() error { return nil }

// begin lists the files and opens those of others.
func (s *Stream) begin() (err error) {
	if s.listed, err = list(s.folder, s.log); err != nil {
		return err
	}
	if len(s.listed.items) == 0 {
		return fmt.Errorf("%s: %w", s.log, fs.ErrNotExist)
	}
	for _, i := range s.listed.items {
		if !i.foreign() {
			break
		}
		from, err := s.open(i)
		if err != nil {
			s.unreadable(i, 0, err)
		} else if s.old(from) {
			from.close()
		} else {
			s.foreign = append(s.foreign, from)
		}
	}
	s.listed.dropForeign()
	return nil
}

// Close ends the stream.
func (s *Stream) Close() error {
	for _, from := range append(s.foreign, s.source) {
		if from != nil {
			from.close()
		}
	}
	s.foreign, s.source = nil, nil
	return nil
}

// Read implements io.Reader. A stream of which something could not be read ends
// with an *Incomplete instead of io.EOF.
func (s *Stream) Read(p []byte) (int, error) {
	for len(s.out) == 0 {
		s.tell()
		if s.err != nil {
			return 0, s.err
		}
		if s.err = s.step(); errors.Is(s.err, io.EOF) {
			s.end()
		}
	}
	n := copy(p, s.out)
	s.out = s.out[n:]
	return n, nil
}

func (s *Stream) end() {
	s.err = io.EOF
	if s.incomplete > 0 {
		s.err = &Incomplete{s.log, s.incomplete}
	}
	if s.filter != nil {
		s.out = s.filter.end()
	}
}

// tell reports what is missing: once what came before it has been delivered, and
// without the lock, since whoever is told may take as long as he likes.
func (s *Stream) tell() {
	for _, err := range s.reports {
		s.options.Report(err)
	}
	s.reports = nil
}

// step reads a chunk, or goes on to the next file. It is io.EOF at the end.
func (s *Stream) step() error {
	if s.source == nil && len(s.foreign) > 0 {
		s.source, s.foreign = s.foreign[0], s.foreign[1:]
	}
	if s.source == nil {
		if err := s.locked(s.next); err != nil || s.source == nil {
			return err
		}
	}
	var n int
	var err error
	if s.source.fixed() {
		n, err = s.source.read(s.buffer)
	} else {
		err = s.locked(func() error {
			var moved error
			n, moved = s.readMoving()
			return moved
		})
	}
	s.deliver(s.buffer[:n])
	return s.after(err)
}

// deliver hands on what was read, but for what has been handed on already.
func (s *Stream) deliver(read []byte) {
	if len(read) > 0 {
		s.moves = 0
	}
	out, err := s.place.take(read)
	switch {
	case errors.Is(err, errLost):
		s.lost()
	case err != nil:
		s.drop()
	}
	if s.filter != nil {
		out = s.filter.pass(out)
	}
	s.out = out
}

// after goes on from what the reading of a file came to.
func (s *Stream) after(err error) error {
	switch from := s.source; {
	case err == nil || from == nil:
		return nil
	case errors.Is(err, errMoved) && !from.foreign() && s.moves < mostMoves:
		s.moves++
		s.again()
		return nil
	case errors.Is(err, io.EOF) && from.fixed():
		s.leave(from.item)
		return nil
	case errors.Is(err, io.EOF):
		return s.locked(s.goOn)
	default:
		s.unreadable(from.item, from.delivered, err)
		s.place.giveUp()
		s.leave(from.item)
		if from.live {
			return io.EOF
		}
		return nil
	}
}

// next opens the file that follows the last one that was read.
func (s *Stream) next() error {
	if err := s.list(); err != nil {
		return err
	}
	i, is := s.listed.next(s.place.passed())
	if !is {
		if s.place.seeking {
			s.lost()
			return nil
		}
		return io.EOF
	}
	from, err := s.open(i)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		s.listed.settled = false // removed just now
		return nil
	case err != nil:
		s.unreadable(i, 0, err)
		s.place.giveUp()
		s.place.pass(i)
		if i.live {
			return io.EOF
		}
		return nil
	case !s.place.seeking && s.old(from):
		from.close()
		s.place.pass(i)
		return nil
	}
	s.source = from
	return nil
}

// readMoving reads on in a file that the daemon may have moved or taken from.
func (s *Stream) readMoving() (int, error) {
	if err := s.list(); err != nil {
		return 0, err
	}
	i, is := s.listed.next(s.place.passed())
	if !is || i != s.source.item {
		return 0, errMoved
	}
	return s.source.read(s.buffer)
}

// goOn leaves a file at its end, if the stream goes on in another one: as long
// as there is none, the file's writer adds to it.
func (s *Stream) goOn() error {
	from := s.source
	if err := s.list(); err != nil {
		return err
	}
	i, is := s.listed.next(s.place.passed())
	if !is || i != from.item {
		s.again()
		return nil
	}
	if inode(s.folder, i.base()) != from.inode {
		if s.place.seeking {
			s.lost()
			return nil
		}
		// Somebody else moved it away, and it has been read to its end.
		s.place.giveUp()
		s.drop()
		return nil
	}
	if _, is := s.listed.next(i); is {
		// Its writer made the next one, and had done with this one then. It may
		// have done so since the end was seen: what it added comes first.
		n, err := from.read(s.buffer)
		if n > 0 {
			s.deliver(s.buffer[:n])
			return nil
		}
		if !errors.Is(err, io.EOF) {
			return s.after(err)
		}
		s.leave(i)
		return nil
	}
	if s.place.seeking {
		s.lost()
		return nil
	}
	return io.EOF
}

// list looks at the folder again where it may have changed.
func (s *Stream) list() error {
	if s.listed.current(s.folder) {
		return nil
	}
	now, err := list(s.folder, s.log)
	if err != nil {
		return err
	}
	now.dropForeign()
	for _, i := range s.listed.items {
		if i.fixed() && i.after(s.place.passed()) && !now.has(i) {
			s.missing(&Gone{Log: s.log, Base: i.base()})
		}
	}
	if s.unseen(now) {
		s.missing(&Gone{Log: s.log, Perhaps: true})
	}
	s.listed = now
	return nil
}

// unseen tells whether archives may have been made and removed since the last
// look. Those that are removed are the oldest: so not, as long as there is one
// that has been read, or one that was known to follow. In the middle of a file,
// what was delivered of it tells it for certain.
func (s *Stream) unseen(now listing) bool {
	at := s.place.passed()
	if s.place.length > 0 || at == (item{}) || at.foreign() || !s.listed.has(at) {
		return false
	}
	if known, is := s.listed.next(at); is && known.fixed() && now.has(known) {
		return false
	}
	return len(now.items) == 0 || now.items[0].after(at)
}

// missing reports what is not there any more.
func (s *Stream) missing(what *Gone) {
	s.cut()
	s.reports = append(s.reports, what)
}

// again reads what follows the last file that was read whole from its beginning,
// and leaves out what was delivered.
func (s *Stream) again() {
	s.place.seek()
	s.drop()
}

// lost reports that what was delivered is not there any more, and goes on behind
// what is left of it.
func (s *Stream) lost() {
	if s.place.lost() {
		s.missing(&Gone{Log: s.log})
	}
	s.drop()
}

func (s *Stream) leave(i item) {
	s.place.pass(i)
	s.drop()
}

func (s *Stream) drop() {
	if s.source != nil {
		s.source.close()
		s.source = nil
	}
}

func (s *Stream) unreadable(i item, delivered int64, err error) {
	s.incomplete++
	s.cut()
	s.reports = append(s.reports, &Unreadable{i.base(), delivered, err})
}

// cut tells the filter that bytes are missing.
func (s *Stream) cut() {
	if s.filter != nil {
		s.filter.cut()
	}
}

// locked does something while the daemon changes nothing by halves.
func (s *Stream) locked(do func() error) error {
	if err := s.options.Lock.Lock(); err != nil {
		return fmt.Errorf("waiting for the rotation of %s: %w", s.log, err)
	}
	return errors.Join(do(), s.options.Lock.Unlock())
}

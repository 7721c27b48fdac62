package rsync

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"github.com/inmanta/inmanta-docker/sidecar/filelog"
	"github.com/inmanta/inmanta-docker/sidecar/rsync/delta"
	"github.com/inmanta/inmanta-docker/sidecar/rsync/wire"
)

// What a receiver says of a file it asks for, or has dealt with itself.
const (
	itemChanged    = 1 << 1 // with option --checksum
	itemSize       = 1 << 2 // of a file; of a link: its time cannot be set
	itemTime       = 1 << 3
	itemPerms      = 1 << 4
	itemOwner      = 1 << 5
	itemGroup      = 1 << 6
	itemBasis      = 1 << 11 // what its blocks are of follows
	itemOtherName  = 1 << 12 // another name follows
	itemNew        = 1 << 13
	itemLocal      = 1 << 14 // changed without a transfer
	itemTransfer   = 1 << 15 // contents are asked for
	itemIrrelevant = itemBasis | itemOtherName | itemLocal
)

// basisItself says that a file's blocks are of what is in its place.
const basisItself = 0x80

// lastPhase is the one after the second chance that files have which did not
// come out right.
const lastPhase = 2

// request is what a receiver says of one file.
type request struct {
	index int32
	flags uint16
	basis byte
	other string
}

// readRequest reads the next one; one of index [wire.IndexDone] ends a phase.
func (s *session) readRequest(files list) (request, error) {
	for {
		r := request{basis: basisItself}
		var err error
		if r.index, err = s.in.Index(); err != nil || r.index == wire.IndexDone {
			return r, err
		}
		if r.index == wire.IndexDeleteStats && s.sender {
			if err := s.readDeleteStats(); err != nil {
				return r, err
			}
			continue
		}
		if r.flags, err = s.in.Short(); err != nil {
			return r, err
		}
		if s.protocol < 30 && int(r.index) == len(files) && r.flags == itemNew {
			continue // to be heard of
		}
		if r.index < 0 || int(r.index) >= len(files) {
			return r, wire.Broken("file %d of %d was meant", r.index, len(files))
		}
		if r.flags&itemBasis != 0 {
			if r.basis, err = s.in.Byte(); err != nil {
				return r, err
			}
		}
		if r.flags&itemOtherName != 0 {
			r.other, err = s.in.String(wire.MaxPath)
		}
		return r, err
	}
}

// write says it to the other side.
func (r request) write(out *wire.Encoder) error {
	_ = out.Index(r.index)
	err := out.Short(r.flags)
	if r.flags&itemBasis != 0 {
		err = out.Byte(r.basis)
	}
	if r.flags&itemOtherName != 0 {
		err = out.String(r.other)
	}
	return err
}

// readDeleteStats reads how much a receiver deleted. A client is told it: one
// of its two processes knows, the other one shows it.
func (s *session) readDeleteStats() error {
	var numbers [5]int32
	for i := range numbers {
		var err error
		if numbers[i], err = s.in.Varint(); err != nil {
			return err
		}
	}
	if !s.server {
		return nil
	}
	_ = s.out.Index(wire.IndexDeleteStats)
	for _, number := range numbers {
		_ = s.out.Varint(number)
	}
	return nil
}

// send serves a receiver: it sends what is asked for, until that is all.
func (s *session) send(files list) error {
	tokens, err := s.tokens()
	if err != nil {
		return err
	}
	for phase := 0; phase <= lastPhase; {
		r, err := s.readRequest(files)
		switch {
		case err != nil:
			return err
		case r.index == wire.IndexDone:
			if phase++; phase <= lastPhase {
				if err := s.out.Index(wire.IndexDone); err != nil {
					return err
				}
			}
			continue
		case r.flags&itemTransfer == 0:
			if s.onItem != nil {
				s.onItem(files[r.index], r)
			}
			if err := r.write(s.out); err != nil {
				return err
			}
			continue
		case phase == lastPhase:
			return wire.Broken("contents are asked for after the end")
		case !files[r.index].regular():
			return wire.Broken("contents are asked for of %q, which is no regular file", files[r.index].name)
		}
		if s.onItem != nil {
			s.onItem(files[r.index], r)
		}
		if s.dryRun {
			err = r.write(s.out)
		} else {
			err = s.sendFile(files[r.index], r, tokens)
		}
		if err != nil {
			return err
		}
	}
	return s.out.Index(wire.IndexDone)
}

func (s *session) tokens() (delta.Tokens, error) {
	if s.compression == delta.None {
		return delta.NewTokens(s.out), nil
	}
	return delta.NewDeflated(s.out, s.compression, s.compressLevel)
}

// sendFile sends one file to one who has some of its blocks.
func (s *session) sendFile(e *entry, r request, tokens delta.Tokens) (err error) {
	// A file that did not come out right is sent as any other.
	appended := s.appending > 0 && !e.sent
	has := &delta.Signature{}
	if appended {
		has.Shape, err = delta.ReadShape(s.in)
	} else {
		has, err = delta.ReadSignature(s.in)
	}
	if err != nil {
		return err
	}
	full := where(e.from, e.name)
	file, err := openRegular(full, s.copyLinks || s.copyUnsafe || s.copyDirLinks)
	if err != nil {
		s.unsent(r.index, full, err)
		return nil
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		s.unsent(r.index, full, err)
		return nil
	}
	_ = r.write(s.out)
	// rsync before 3.5 sends sixteen bytes for a checksum of eight, and does
	// not take that back.
	told := has.Shape
	told.SumLength = min(told.SumLength, int32(s.strong.Kind.Size()))
	if err := told.Write(s.out); err != nil {
		return err
	}
	e.sent = true
	defer func() {
		s.did(filelog.Event{Operation: filelog.Transfer, Path: full, Read: uint64(info.Size()), Cut: err != nil})
	}()
	var sum []byte
	if appended {
		sum, err = delta.SkipStart(file, info.Size(), has.Size(), s.appending == 2, s.strong, tokens)
	} else {
		inPlace := s.inplace && r.basis == basisItself
		sum, err = delta.Send(file, info.Size(), has, inPlace, s.strong, tokens)
	}
	if sum == nil {
		return err
	}
	if err != nil {
		s.found.Or(troubleGeneral)
		s.complain("read", full, err)
	}
	_, err = s.out.Write(sum)
	return err
}

// unsent tells of a file that cannot be read after all.
func (s *session) unsent(index int32, full string, err error) {
	if errors.Is(err, unix.ENOENT) {
		s.found.Or(troubleVanished)
		s.say(wire.Warning, "file has vanished: %s", quoted(full))
	} else {
		s.found.Or(troubleGeneral)
		s.complain("send_files", full, err)
	}
	if s.protocol >= 30 {
		s.out.MessageInt(wire.NoSend, index)
	}
}

// finishSending tells the client what it shows with --stats, and says goodbye.
func (s *session) finishSending() error {
	st := &s.stats
	for _, number := range []int64{s.in.Total(), s.out.Total(), st.size, st.listBuild, st.listTransfer} {
		_ = s.out.Size(number)
	}
	return s.sayGoodbye()
}

// sayGoodbye hears that the receiver is done; from protocol 31 on it hears
// that we heard, and says so.
func (s *session) sayGoodbye() error {
	if err := s.hearDone(); err != nil || s.protocol < 31 {
		return err
	}
	if err := s.out.Index(wire.IndexDone); err != nil {
		return err
	}
	return s.hearDone()
}

func (s *session) hearDone() error {
	r, err := s.readRequest(nil)
	if err == nil && r.index != wire.IndexDone {
		err = wire.Broken("file %d is meant after the end", r.index)
	}
	return err
}

// arrived removes a file that arrived, with option --remove-source-files, if
// it still is what was sent.
func (s *session) arrived(e *entry) {
	full := where(e.from, e.name)
	var stat unix.Stat_t
	err := unix.Lstat(full, &stat)
	if err == nil && s.copyLinks {
		err = unix.Stat(full, &stat)
	}
	switch {
	case errors.Is(err, unix.ENOENT):
		return
	case err != nil:
	case stat.Size != e.size && e.regular() || stat.Mtim.Sec != e.modified:
		err = fmt.Errorf("it changed while it was sent, and stays")
	default:
		if err = os.Remove(full); err == nil {
			s.did(filelog.Event{Operation: filelog.Remove, Path: full})
		}
	}
	if err != nil {
		s.complain("remove", full, err)
	}
}

package sftp

import (
	"errors"
	"fmt"
)

// handler answers one kind of request. It either begins a packet and leaves it
// filled, or returns nil for a plain success, or an error, for which whatever
// it began is taken back.
type handler func(*session, *fields) error

// requests are the handlers by the kind of packet; extensions have their own table.
var requests = [256]handler{
	kindOpen:     (*session).open,
	kindClose:    (*session).close,
	kindRead:     (*session).read,
	kindWrite:    (*session).write,
	kindLstat:    onName((*session).lstat),
	kindFstat:    onFile((*session).fstat),
	kindSetstat:  (*session).setstat,
	kindFsetstat: (*session).fsetstat,
	kindOpendir:  onName((*session).opendir),
	kindReaddir:  (*session).readdir,
	kindRemove:   onName((*session).remove),
	kindMkdir:    (*session).mkdir,
	kindRmdir:    onName((*session).rmdir),
	kindRealpath: onName((*session).realpath),
	kindStat:     onName((*session).stat),
	kindRename:   onNames((*session).rename),
	kindReadlink: onName((*session).readlink),
	kindSymlink:  onNames((*session).symlink),
	kindExtended: (*session).extended,
}

// onName is the handler of requests that hold one path.
func onName(do func(s *session, path string) error) handler {
	return func(s *session, f *fields) error {
		path := f.name()
		if err := f.err(); err != nil {
			return err
		}
		return do(s, path)
	}
}

// onNames is the handler of requests that hold two paths.
func onNames(do func(s *session, from, to string) error) handler {
	return func(s *session, f *fields) error {
		from, to := f.name(), f.name()
		if err := f.err(); err != nil {
			return err
		}
		return do(s, from, to)
	}
}

// onFile is the handler of requests that hold the handle of an open file.
func onFile(do func(s *session, h *handle) error) handler {
	return func(s *session, f *fields) error {
		key := f.bytes()
		if err := f.err(); err != nil {
			return err
		}
		h, err := s.handles.file(key)
		if err != nil {
			return err
		}
		return do(s, h)
	}
}

// answer puts the answer to one packet into s.out. It fails where no answer
// is possible.
func (s *session) answer(packet []byte) error {
	kind, f := packet[0], fields{rest: packet[1:]}
	if kind == kindInit {
		return s.greet(&f)
	}
	if !s.greeted {
		return fmt.Errorf("the client sent a packet of kind %d before it said which version of SFTP it speaks", kind)
	}
	id := f.uint32()
	if f.fault != "" {
		return fmt.Errorf("the client sent a packet of kind %d without an id", kind)
	}
	do := requests[kind]
	if do == nil {
		do = func(*session, *fields) error { return errUnsupported }
	}
	s.id, s.replied = id, false
	if err := do(s, &f); err != nil {
		if s.replied {
			s.out.takeBack()
		}
		code, message := status(err)
		s.status(code, message)
	} else if !s.replied {
		s.status(statusOK, "Success")
	}
	s.out.end()
	return nil
}

// reply begins the answer to the request at hand.
func (s *session) reply(kind byte) *replies {
	s.out.begin(kind, s.id)
	s.replied = true
	return &s.out
}

func (s *session) status(code uint32, message string) {
	out := s.reply(kindStatus)
	out.uint32(code)
	out.string(message)
	out.string("") // the language of message
}

// replyName answers with one path and nothing about it.
func (s *session) replyName(path string) error {
	out := s.reply(kindName)
	out.uint32(1)
	out.string(path)
	out.string(path)
	out.uint32(0) // no attributes
	return nil
}

// greet answers the first packet. A client may know later versions; none that
// is in use knows only earlier ones.
func (s *session) greet(f *fields) error {
	if f.uint32(); f.fault != "" {
		return errors.New("the client's first packet does not say which version of SFTP it speaks")
	}
	s.greeted = true
	s.out.begin(kindVersion, version)
	for _, e := range extensions {
		s.out.string(e.name)
		s.out.string(e.version)
	}
	s.out.end()
	return nil
}

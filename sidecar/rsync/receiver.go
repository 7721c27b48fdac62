package rsync

import (
	"bytes"
	"errors"
	"os"

	"golang.org/x/sys/unix"

	"github.com/inmanta/inmanta-docker/sidecar/filelog"
	"github.com/inmanta/inmanta-docker/sidecar/rsync/delta"
	"github.com/inmanta/inmanta-docker/sidecar/rsync/tree"
	"github.com/inmanta/inmanta-docker/sidecar/rsync/wire"
)

// receiver writes the files that the generator asked for.
type receiver struct {
	*session
	files   list
	where   destination
	tree    *tree.Tree
	backups *backups
	tokens  delta.Incoming
	output  output
}

// run takes what comes until the sender says goodbye.
func (r *receiver) run() error {
	if r.compression == delta.None {
		r.tokens = delta.NewIncoming(r.in)
	} else {
		r.tokens = delta.NewInflated(r.in, r.compression)
	}
	for phase := 0; phase <= lastPhase; {
		if r.stopping.Load() {
			return errStopped
		}
		item, err := r.readRequest(r.files)
		switch {
		case err != nil:
			return err
		case item.index == wire.IndexDone:
			phase++
			r.events.add(event{kind: eventPhase})
			continue
		case item.flags&itemTransfer == 0 || r.dryRun:
			continue
		case !r.events.wants(item.index):
			return wire.Broken("%q comes, which was not asked for", r.files[item.index].name)
		case item.basis != basisItself:
			return wire.Broken("%q comes as a change to a file that was not offered", r.files[item.index].name)
		}
		if err := r.file(item.index); err != nil {
			return err
		}
	}
	if r.protocol >= 31 {
		if err := r.hearDone(); err != nil {
			return err
		}
		r.events.add(event{kind: eventPhase})
	}
	return nil
}

// file takes one file.
func (r *receiver) file(index int32) error {
	e := r.files[index]
	shape, err := delta.ReadShape(r.in)
	if err != nil {
		return err
	}
	arrived, err := r.write(e, shape)
	r.did(filelog.Event{
		Operation: filelog.Transfer, Path: r.tree.Full(r.where.nameOf(e)), Written: uint64(e.size), Cut: err != nil || arrived != inPlace,
	})
	if err != nil {
		return err
	}
	fate := choose(r.inplace, "retained", "discarded")
	switch {
	case arrived == wrong && !e.sent:
		e.sent = true
		if r.names > 0 || r.itemize > 0 {
			r.say(wire.Warning, "WARNING: %s failed verification -- update %s (will try again).", e.name, fate)
		}
		r.events.add(event{kind: eventAgain, index: index})
	case arrived == wrong:
		r.told.Store(true)
		r.say(wire.ErrorXfer, "ERROR: %s failed verification -- update %s.", e.name, fate)
		r.events.add(event{kind: eventMissing, index: index})
	case arrived == failed:
		r.events.add(event{kind: eventMissing, index: index})
	default:
		if r.removeSource {
			r.out.MessageInt(wire.Success, index)
		}
		r.events.add(event{kind: eventArrived, index: index})
	}
	return nil
}

// outcome is what became of a file that came.
type outcome int

const (
	inPlace outcome = iota
	wrong           // its checksum is not the sender's
	failed          // it could not be written, which the user was told
)

// write writes one file and puts it in its place. An error ends the transfer:
// the rest of the file has not been read then.
func (r *receiver) write(e *entry, shape delta.Shape) (outcome, error) {
	name := r.where.nameOf(e)
	appended := r.appending > 0 && !e.sent
	var basis *os.File
	if shape.Count > 0 {
		var err error
		if basis, _, err = r.tree.Read(name); err != nil {
			return r.discard(shape, "open", name, err)
		}
		defer basis.Close()
	}
	var file *os.File
	var err error
	temporary := ""
	oldSize := int64(0)
	if r.inplace {
		var has unix.Stat_t
		file, has, err = r.tree.Write(name)
		oldSize = has.Size
	} else {
		file, temporary, err = r.tree.Temporary(name)
	}
	if err != nil {
		return r.discard(shape, choose(r.inplace, "open", "mkstemp"), name, err)
	}
	defer file.Close()
	if temporary != "" {
		if err := r.unfinished.start(temporary, name); err != nil {
			_ = r.tree.Unlink(temporary)
			return failed, err
		}
	}
	right, err := r.contents(file, basis, shape, oldSize, appended)
	if err != nil {
		if fault := (writeFault{}); errors.As(err, &fault) {
			err = fatal(exitFile, "writing %q failed: %s", r.tree.Full(name), reason(fault.error))
		}
		return failed, err
	}
	if temporary == "" {
		return r.settleInPlace(e, name, right), nil
	}
	result := wrong
	err = r.unfinished.finish(func() error {
		if result = r.put(e, temporary, name, right); result != inPlace {
			_ = r.tree.Unlink(temporary)
		}
		return nil
	})
	return result, err
}

// settleInPlace finishes a file that was written where it is. A wrong one keeps
// the time of now, so that it is not taken for the right one.
func (r *receiver) settleInPlace(e *entry, name string, right bool) outcome {
	if !right {
		return wrong
	}
	r.setAttributes(r.tree, name, e, nil, true)
	return inPlace
}

// put puts a complete file in its place.
func (r *receiver) put(e *entry, temporary, name string, right bool) outcome {
	if !right {
		return wrong
	}
	r.setAttributes(r.tree, temporary, e, nil, true)
	if r.backup && !r.backups.keep(name) {
		return failed
	}
	if err := r.tree.Rename(temporary, name); err != nil {
		r.complain("rename", r.tree.Full(name), err)
		return failed
	}
	return inPlace
}

// discard reads a file that cannot be written, and tells why.
func (r *receiver) discard(shape delta.Shape, what, name string, err error) (outcome, error) {
	r.complain(what, r.tree.Full(name), err)
	for {
		token, err := r.tokens.Next()
		if err != nil {
			return failed, err
		}
		if token.End {
			return failed, r.in.Full(make([]byte, r.strong.Kind.Size()))
		}
		if token.Literal == nil {
			if err := r.checkBlock(token.Block, shape); err != nil {
				return failed, err
			}
			// Later data may refer back to what nobody knows here.
			if r.compression == delta.Zlib {
				return failed, fatal(exitFile, "%s %q failed: %s", what, r.tree.Full(name), reason(err))
			}
		}
	}
}

func (r *receiver) checkBlock(block int32, shape delta.Shape) error {
	if block < 0 || block >= shape.Count {
		return wire.Broken("block %d of %d was meant", block, shape.Count)
	}
	return nil
}

// contents writes what comes, and says whether it is what the sender has.
func (r *receiver) contents(file, basis *os.File, shape delta.Shape, oldSize int64, appended bool) (bool, error) {
	sum := r.strong.Transferred()
	out := &r.output
	out.reset(file, oldSize, r.sparse)
	if appended {
		known := shape.Size()
		if r.appending == 2 {
			if err := sumStart(sum, basis, known); err != nil {
				return false, err
			}
		}
		out.at = known
	}
	var block []byte
	for begun := false; ; {
		token, err := r.tokens.Next()
		if err != nil {
			return false, err
		}
		if token.End {
			break
		}
		if token.Literal != nil {
			if !begun {
				begun = true
				r.unfinished.arriving()
			}
			_, _ = sum.Write(token.Literal)
			if err := out.write(token.Literal); err != nil {
				return false, err
			}
			continue
		}
		if err := r.checkBlock(token.Block, shape); err != nil {
			return false, err
		}
		offset, length := shape.Block(token.Block)
		if cap(block) < length {
			block = make([]byte, length)
		}
		block = block[:length]
		if r.inplace && offset < out.at {
			// What was there is overwritten already: an honest sender knows.
			if err := out.flush(); err != nil {
				return false, err
			}
		}
		if n, err := basis.ReadAt(block, offset); n < length {
			clear(block[n:]) // became shorter: the checksum will tell
			_ = err
		}
		if err := r.tokens.Seen(block); err != nil {
			return false, err
		}
		_, _ = sum.Write(block)
		if r.inplace && offset == out.at {
			err = out.skip(length)
		} else {
			err = out.write(block)
		}
		if err != nil {
			return false, err
		}
	}
	if err := out.end(r.sync); err != nil {
		return false, err
	}
	theirs := make([]byte, r.strong.Kind.Size())
	if err := r.in.Full(theirs); err != nil {
		return false, err
	}
	return bytes.Equal(sum.Sum(nil), theirs), nil
}

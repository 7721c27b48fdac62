package rsync

import (
	"hash"
	"io"
	"os"
)

const (
	// outputBuffer is how much is written at once, in bytes.
	outputBuffer = 128 << 10
	// hole is the shortest run of zeros that is left out with --sparse, in
	// bytes: a block of the usual file systems.
	hole = 4 << 10
)

// writeFault is an error of writing a file, apart from those of reading what
// goes in.
type writeFault struct{ error }

func (w writeFault) Unwrap() error { return w.error }

func fault(err error) error {
	if err == nil {
		return nil
	}
	return writeFault{err}
}

// output writes one file after the other, from its beginning to its end.
type output struct {
	file    *os.File
	buffer  []byte
	at      int64 // where the next byte goes, the buffer included
	oldSize int64 // of a file written in place: below it nothing is zero by itself
	sparse  bool
	length  int64 // how long the file was made
}

func (o *output) reset(file *os.File, oldSize int64, sparse bool) {
	o.file, o.oldSize, o.sparse, o.at, o.length = file, oldSize, sparse, 0, oldSize
	o.buffer = o.buffer[:0]
}

func (o *output) write(data []byte) error {
	if o.buffer == nil {
		o.buffer = make([]byte, 0, outputBuffer)
	}
	o.at += int64(len(data))
	for len(data) > 0 {
		n := min(len(data), cap(o.buffer)-len(o.buffer))
		o.buffer = append(o.buffer, data[:n]...)
		data = data[n:]
		if len(o.buffer) == cap(o.buffer) {
			if err := o.flushBefore(o.at - int64(len(data))); err != nil {
				return err
			}
		}
	}
	return nil
}

// skip leaves what is in the file as it is.
func (o *output) skip(length int) error {
	err := o.flush()
	o.at += int64(length)
	return err
}

func (o *output) flush() error { return o.flushBefore(o.at) }

// flushBefore writes the buffer, which ends at this place of the file.
func (o *output) flushBefore(end int64) error {
	data := o.buffer
	from := end - int64(len(data))
	o.buffer = o.buffer[:0]
	if !o.sparse {
		return o.put(data, from)
	}
	for len(data) > 0 {
		n := min(len(data), hole-int(from%hole))
		run := n
		if empty := zeros(data[:n]) && from >= o.oldSize; !empty {
			// All up to the next run of zeros at once.
			for run < len(data) && !zeros(data[run:min(run+hole, len(data))]) {
				run = min(run+hole, len(data))
			}
			if err := o.put(data[:run], from); err != nil {
				return err
			}
		}
		from += int64(run)
		data = data[run:]
	}
	return nil
}

func zeros(data []byte) bool {
	for _, b := range data {
		if b != 0 {
			return false
		}
	}
	return true
}

func (o *output) put(data []byte, at int64) error {
	if len(data) == 0 {
		return nil
	}
	n, err := o.file.WriteAt(data, at)
	o.length = max(o.length, at+int64(n))
	return fault(err)
}

// end writes what is left and makes the file exactly as long as was written.
func (o *output) end(sync bool) error {
	if err := o.flush(); err != nil {
		return err
	}
	if o.length != o.at {
		if err := o.file.Truncate(o.at); err != nil {
			return fault(err)
		}
	}
	if sync {
		return fault(o.file.Sync())
	}
	return nil
}

// sumStart takes the beginning of a file into a checksum.
func sumStart(sum hash.Hash, file *os.File, length int64) error {
	if length == 0 || file == nil {
		return nil
	}
	_, err := io.Copy(sum, io.NewSectionReader(file, 0, length))
	return fault(err)
}

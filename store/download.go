package store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/minio/minio-go/v7"

	"github.com/inmanta/inmanta-docker/problem"
)

// download reads an object. A connection that breaks is made again, where it was,
// as long as there is patience.
type download struct {
	bucket    *bucket
	ctx       context.Context
	name, key string
	body      io.ReadCloser
	etag      string
	size      int64
	read      int64
	// stuck is since when nothing has come.
	stuck time.Time
	err   error
}

// errChanged is an object that is another one than when reading began.
var errChanged = errors.New("another file has its name now")

// open asks for what has not been read yet.
func (d *download) open() error {
	var options minio.GetObjectOptions
	if d.read > 0 {
		if err := errors.Join(options.SetRange(d.read, 0), options.SetMatchETag(d.etag)); err != nil {
			return err
		}
	}
	body, info, _, err := d.bucket.core.GetObject(d.ctx, d.bucket.name, d.key, options)
	if err != nil {
		return err
	}
	switch {
	case d.etag == "":
		d.etag, d.size = info.ETag, info.Size
	case info.ETag != d.etag || info.Size != d.size-d.read:
		_ = body.Close()
		return errChanged
	}
	d.body = body
	return nil
}

// Read implements io.Reader.
func (d *download) Read(into []byte) (int, error) {
	for {
		if d.err != nil {
			return 0, d.err
		}
		n, err := 0, error(nil)
		if d.body != nil {
			n, err = d.body.Read(into)
		}
		d.read += int64(n)
		if n > 0 {
			d.stuck = time.Time{}
		}
		switch {
		case d.read > d.size:
			d.err = sizeDiffers(d.bucket.String()+d.name, d.read, d.size)
			return 0, d.err
		case d.read == d.size:
			d.err = io.EOF // what comes after it is not asked for
			return n, nil
		case n > 0 || err == nil && d.body != nil:
			return n, nil // an error comes again
		}
		d.err = d.resume(err)
	}
}

// resume makes the connection again after cause.
func (d *download) resume(cause error) error {
	if d.body != nil {
		_ = d.body.Close()
		d.body = nil
	}
	if d.stuck.IsZero() {
		d.stuck = time.Now()
	}
	if d.ctx.Err() == nil && time.Since(d.stuck) > d.bucket.pace.patience {
		if errors.Is(cause, io.EOF) || errors.Is(cause, io.ErrUnexpectedEOF) {
			return sizeDiffers(d.bucket.String()+d.name, d.read, d.size)
		}
		return d.bucket.refusal(d.ctx, d.name, cause)
	}
	select {
	case <-d.ctx.Done():
		return d.ctx.Err()
	case <-time.After(d.bucket.pace.pause):
	}
	err := d.bucket.ask(d.ctx, d.open)
	if answer, _ := errors.AsType[minio.ErrorResponse](err); errors.Is(err, errChanged) || answer.Code == minio.PreconditionFailed {
		return problem.Problem{
			ID: Broken, Where: d.bucket.String() + d.name, Err: err,
			What: fmt.Sprintf("the connection broke after %d bytes, and what the storage has under this name now is something else", d.read),
			Fix:  "see whether something writes to it, and try again",
		}
	}
	if err != nil {
		return d.bucket.refusal(d.ctx, d.name, err)
	}
	return nil
}

// Close implements io.Closer.
func (d *download) Close() error {
	if d.err == nil {
		d.err = errors.New("reading what is closed")
	}
	if d.body == nil {
		return nil
	}
	err := d.body.Close()
	d.body = nil
	return err
}

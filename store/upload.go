package store

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/minio/minio-go/v7"

	"github.com/inmanta/inmanta-docker/problem"
)

// upload is an object on its way: one part is sent while the next is filled.
type upload struct {
	bucket *bucket
	ctx    context.Context
	// sending outlives ctx for a moment: see Abort.
	sending   context.Context
	cancel    context.CancelFunc
	name, key string
	// id is the upload's as the bucket knows it, mark its own in the object.
	id, mark string
	size     int64
	filling  []byte
	parts    []minio.CompletePart
	// under is the part that is under way; nil where there is none.
	under chan sent
	err   error
	done  bool
}

// sent is what became of a part, and the buffer that it was in.
type sent struct {
	buffer []byte
	part   minio.CompletePart
	err    error
}

// markName is the metadata by which an object is known to be that of an upload.
const markName = "Inmanta-Upload"

// begin begins an upload.
func (b *bucket) begin(ctx context.Context, name, key string) (*upload, error) {
	u := &upload{bucket: b, ctx: ctx, name: name, key: key, mark: rand.Text()}
	err := b.ask(ctx, func() (err error) {
		u.id, err = b.core.NewMultipartUpload(ctx, b.name, key, minio.PutObjectOptions{UserMetadata: map[string]string{markName: u.mark}})
		return err
	})
	if err != nil {
		return nil, b.refusal(ctx, name, err)
	}
	u.sending, u.cancel = context.WithCancel(context.WithoutCancel(ctx))
	u.filling = make([]byte, 0, b.pace.part)
	return u, nil
}

// Write implements io.Writer.
func (u *upload) Write(p []byte) (int, error) {
	if err := errors.Join(u.err, u.ctx.Err()); err != nil {
		return 0, err
	}
	written := 0
	for written < len(p) {
		if len(u.filling) == cap(u.filling) {
			if err := u.send(); err != nil {
				return written, err
			}
		}
		n := min(cap(u.filling)-len(u.filling), len(p)-written)
		u.filling = append(u.filling, p[written:written+n]...)
		written += n
	}
	u.size += int64(written)
	return written, nil
}

// send sends what is filled, when the part before it is there.
func (u *upload) send() error {
	free, err := u.await()
	if err != nil {
		return err
	}
	number := len(u.parts) + 1
	if number > u.bucket.pace.parts {
		return u.fail(problem.Problem{
			ID: Full, Where: u.bucket.String() + u.name, What: fmt.Sprintf("it would have more than %d bytes, the most that can be uploaded", int64(u.bucket.pace.parts)*int64(u.bucket.pace.part)),
			Fix: "keep it in a folder",
		})
	}
	full, under := u.filling, make(chan sent, 1)
	u.under = under
	go func() {
		part, err := u.put(number, full)
		under <- sent{full, part, err}
	}()
	if free == nil {
		free = make([]byte, 0, cap(full))
	}
	u.filling = free[:0]
	return nil
}

// await waits for the part that is under way, and gives the buffer it was in; nil
// where there is none.
func (u *upload) await() ([]byte, error) {
	if u.under == nil {
		return nil, nil
	}
	select {
	case s := <-u.under:
		u.under = nil
		if s.err != nil {
			return nil, u.fail(u.bucket.refusal(u.ctx, u.name, s.err))
		}
		u.parts = append(u.parts, s.part)
		return s.buffer, nil
	case <-u.ctx.Done():
		return nil, u.ctx.Err()
	}
}

// put sends one part, with its checksum in what is signed: one that is changed on
// the way is refused by the other side.
func (u *upload) put(number int, content []byte) (part minio.CompletePart, err error) {
	sum := sha256.Sum256(content)
	b := u.bucket
	err = b.ask(u.sending, func() error {
		is, err := b.core.PutObjectPart(u.sending, b.name, u.key, u.id, number, bytes.NewReader(content), int64(len(content)),
			minio.PutObjectPartOptions{Sha256Hex: hex.EncodeToString(sum[:]), DisableContentSha256: true})
		part = minio.CompletePart{PartNumber: number, ETag: is.ETag}
		return err
	})
	return part, err
}

func (u *upload) fail(err error) error {
	u.err = err
	return err
}

// Commit implements Upload.
func (u *upload) Commit() error {
	if err := errors.Join(u.err, u.ctx.Err()); err != nil {
		return err
	}
	if len(u.filling) > 0 || len(u.parts) == 0 {
		if err := u.send(); err != nil {
			return err
		}
	}
	if _, err := u.await(); err != nil {
		return err
	}
	if err := u.complete(); err != nil {
		return u.fail(u.bucket.refusal(u.ctx, u.name, err))
	}
	if err := u.verify(); err != nil {
		return u.fail(err)
	}
	u.done = true
	u.cancel()
	return nil
}

// complete makes the parts an object, if the name is free.
func (u *upload) complete() error {
	b := u.bucket
	var options minio.PutObjectOptions
	options.SetMatchETagExcept("*")
	doubtful := false
	return b.ask(u.ctx, func() error {
		_, err := b.core.CompleteMultipartUpload(u.ctx, b.name, u.key, u.id, u.parts, options)
		answer, answered := errors.AsType[minio.ErrorResponse](err)
		switch {
		case err == nil:
			return nil
		case answer.Code == minio.NotImplemented:
			// It cannot say whether the name is free; Create has asked, and verify asks.
			options = minio.PutObjectOptions{}
			_, err = b.core.CompleteMultipartUpload(u.ctx, b.name, u.key, u.id, u.parts, options)
			return err
		case doubtful && (answer.Code == minio.NoSuchUpload || answer.Code == minio.PreconditionFailed):
			return nil // it had worked, and the answer was lost: verify knows
		}
		doubtful = doubtful || !answered || answer.StatusCode >= 500
		return err
	})
}

// verify asks for what is under the name now: storage may say yes and keep less.
func (u *upload) verify() error {
	b := u.bucket
	info, err := b.stat(u.ctx, u.key)
	if err != nil {
		return b.refusal(u.ctx, u.name, err)
	}
	if mark := info.UserMetadata[markName]; mark != "" && mark != u.mark {
		return exists(b.String() + u.name)
	}
	if info.Size == u.size {
		return nil
	}
	// What is there now is ours, and no backup.
	what := fmt.Sprintf("the storage says that it has %d bytes, of %d that were sent; it was removed again", info.Size, u.size)
	if err := b.ask(u.ctx, func() error { return b.core.RemoveObject(u.ctx, b.name, u.key, minio.RemoveObjectOptions{}) }); err != nil {
		what = fmt.Sprintf("the storage says that it has %d bytes, of %d that were sent, and it could not be removed: %v", info.Size, u.size, err)
	}
	return problem.Problem{ID: Broken, Where: b.String() + u.name, What: what, Fix: "try again; if that does not help, keep backups elsewhere"}
}

// Abort implements Upload.
func (u *upload) Abort() error {
	if u.done {
		return nil
	}
	u.done = true
	u.err = errors.New("the upload was given up")
	defer u.cancel()
	if u.under != nil {
		// A part that the storage finishes after the upload has ended may stay. It has
		// a moment, and one that is far from its end is broken off.
		select {
		case <-u.under:
		case <-time.After(u.bucket.pace.grace):
			u.cancel()
			<-u.under
		}
	}
	// Whatever ended the context: what was sent must not stay.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(u.ctx), u.bucket.pace.patience)
	defer cancel()
	err := u.bucket.ask(ctx, func() error {
		return u.bucket.core.AbortMultipartUpload(ctx, u.bucket.name, u.key, u.id)
	})
	if answer, _ := errors.AsType[minio.ErrorResponse](err); err == nil || answer.Code == minio.NoSuchUpload {
		return nil
	}
	return u.bucket.refusal(ctx, u.name, err)
}

// abortAbandoned ends the uploads that a process began which was killed: their
// parts take room, and money, and no list shows them. Where it may not, whoever
// runs the storage has a rule for that.
func (b *bucket) abortAbandoned(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, b.pace.patience)
	defer cancel()
	for one := range b.core.Client.ListIncompleteUploads(ctx, b.name, b.prefix, false) {
		name := strings.TrimPrefix(one.Key, b.prefix)
		if one.Err != nil || time.Since(one.Initiated) < b.pace.abandoned || !strings.HasSuffix(name, Extension) || strings.Contains(name, "/") {
			continue
		}
		_ = b.core.AbortMultipartUpload(ctx, b.name, one.Key, one.UploadID)
	}
}

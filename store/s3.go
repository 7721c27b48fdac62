package store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
	"github.com/minio/minio-go/v7/pkg/s3utils"

	"github.com/inmanta/inmanta-docker/problem"
)

// amazon is where S3 is that nobody says the place of.
const amazon = "https://s3.amazonaws.com"

// pace is how a bucket is asked.
type pace struct {
	// patience is how long nothing may happen before the other side counts as gone.
	patience time.Duration
	// pause is waited before something is tried again; it doubles each time, up
	// to a tenth of patience.
	pause time.Duration
	// grace is how long an upload that is given up waits for the part under way.
	grace time.Duration
	// part is how many bytes are uploaded at once, and parts how often.
	part, parts int
	// abandoned is how old an upload is, of a name of ours, whose end nobody
	// waits for any more.
	abandoned time.Duration
}

// usual is the pace of a deployment. S3 takes no more parts, so that the largest
// backup has 320 GB; an upload takes two parts of memory, 64 MiB.
var usual = pace{patience: 2 * time.Minute, pause: 200 * time.Millisecond, grace: 3 * time.Second, part: 32 << 20, parts: 10_000, abandoned: 7 * 24 * time.Hour}

// bucket is a prefix of a bucket as a store.
type bucket struct {
	core         *minio.Core
	host         string
	name, prefix string
	pace         pace
	// met is set when the other side has answered anything at all.
	met atomic.Bool
}

// atS3 is At for S3-compatible storage. The variables have the names that all tools
// give them: AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, which must be there;
// AWS_SESSION_TOKEN; AWS_REGION, or AWS_DEFAULT_REGION; and AWS_ENDPOINT_URL_S3, or
// AWS_ENDPOINT_URL, for storage that is not Amazon's: http://HOST:PORT, or https://.
func atS3(where, rest string, env func(string) string) (Store, string, error) {
	name, key, _ := strings.Cut(rest, "/")
	if s3utils.CheckValidBucketName(name) != nil {
		return nil, "", problem.Problem{ID: Malformed, Where: where, What: "there can be no bucket of this name", Fix: "give s3://BUCKET/PREFIX/, or s3://BUCKET/PREFIX/FILE"}
	}
	at := strings.LastIndexByte(key, '/') + 1
	prefix, file := key[:at], key[at:]
	for segment := range strings.SplitSeq(strings.TrimSuffix(prefix, "/"), "/") {
		if prefix != "" && (segment == "" || segment == "." || segment == "..") || !utf8.ValidString(key) || strings.ContainsAny(key, "\x00\\") {
			return nil, "", problem.Problem{ID: Malformed, Where: where, What: "this prefix would be understood in different ways by different storages", Fix: "give one without empty parts, `.`, `..` and backslashes"}
		}
	}
	b, err := newBucket(name, prefix, env, usual)
	return b, file, err
}

func newBucket(name, prefix string, env func(string) string, p pace) (*bucket, error) {
	first := func(names ...string) string {
		for _, name := range names {
			if value := env(name); value != "" {
				return value
			}
		}
		return ""
	}
	b := &bucket{name: name, prefix: prefix, pace: p}
	endpoint := first("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL")
	if endpoint == "" {
		endpoint = amazon
	}
	u, err := url.Parse(endpoint)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.User != nil {
		// Not what was written: a password may be part of it.
		return nil, problem.Problem{ID: Malformed, Where: "AWS_ENDPOINT_URL", What: "this is no address of S3-compatible storage", Fix: "give http://HOST:PORT, or https://HOST:PORT"}
	}
	b.host = u.Host
	id, secret := env("AWS_ACCESS_KEY_ID"), env("AWS_SECRET_ACCESS_KEY")
	if id == "" || secret == "" {
		return nil, problem.Problem{ID: Refused, Where: b.String(), What: "no credentials are given for it", Fix: "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY in the environment"}
	}
	b.core, err = minio.NewCore(u.Host, &minio.Options{
		Creds:      credentials.NewStaticV4(id, secret, env("AWS_SESSION_TOKEN")),
		Secure:     u.Scheme == "https",
		Region:     first("AWS_REGION", "AWS_DEFAULT_REGION"),
		Transport:  transport(p.patience),
		MaxRetries: 1, // tried again is here, as long as there is patience
	})
	if err != nil {
		return nil, problem.Problem{ID: Malformed, Where: b.String(), Err: err, What: fmt.Sprintf("it cannot be asked: %v", err), Fix: "see AWS_ENDPOINT_URL"}
	}
	return b, nil
}

// String implements Store.
func (b *bucket) String() string { return "s3://" + b.name + "/" + b.prefix }

// key is the key of a file.
func (b *bucket) key(name string) (string, error) {
	if name == "" || name == "." || name == ".." || strings.ContainsAny(name, "/\\\x00") || !utf8.ValidString(name) || len(b.prefix)+len(name) > 1024 {
		return "", malformed(b.String()+name, "this is no name of a file")
	}
	return b.prefix + name, nil
}

// Create implements Store. Storage that knows no conditional writes keeps what is
// finished last, should two take one name in the same moment.
func (b *bucket) Create(ctx context.Context, name string) (Upload, error) {
	key, err := b.key(name)
	if err != nil {
		return nil, err
	}
	if err := creatable(b.String()+name, name); err != nil {
		return nil, err
	}
	if _, err := b.stat(ctx, key); err == nil {
		return nil, exists(b.String() + name)
	} else if !missing(err) {
		return nil, b.refusal(ctx, name, err)
	}
	b.abortAbandoned(ctx)
	return b.begin(ctx, name, key)
}

func (b *bucket) stat(ctx context.Context, key string) (info minio.ObjectInfo, err error) {
	err = b.ask(ctx, func() error {
		info, err = b.core.StatObject(ctx, b.name, key, minio.StatObjectOptions{})
		answer, answered := errors.AsType[minio.ErrorResponse](err)
		if !answered || answer.StatusCode != http.StatusBadRequest && answer.StatusCode != http.StatusForbidden {
			return err
		}
		// An answer to HEAD cannot say why. One to GET can.
		body, _, _, why := b.core.GetObject(ctx, b.name, key, minio.GetObjectOptions{})
		if why != nil {
			return why
		}
		return errors.Join(err, body.Close())
	})
	return info, err
}

// Open implements Store.
func (b *bucket) Open(ctx context.Context, name string) (io.ReadCloser, int64, error) {
	key, err := b.key(name)
	if err != nil {
		return nil, 0, err
	}
	d := &download{bucket: b, ctx: ctx, name: name, key: key}
	if err := b.ask(ctx, d.open); err != nil {
		return nil, 0, b.refusal(ctx, name, err)
	}
	return d, d.size, nil
}

// List implements Store.
func (b *bucket) List(ctx context.Context) ([]Entry, error) {
	var entries []Entry
	err := b.ask(ctx, func() error {
		entries = nil
		// Ends the listing when it is given up on the way.
		listing, cancel := context.WithCancel(ctx)
		defer cancel()
		for object := range b.core.Client.ListObjects(listing, b.name, minio.ListObjectsOptions{Prefix: b.prefix}) {
			if object.Err != nil {
				return object.Err
			}
			name := strings.TrimPrefix(object.Key, b.prefix)
			if strings.HasSuffix(name, Extension) && !strings.ContainsAny(name, "/\\") {
				entries = append(entries, Entry{name, object.Size, object.LastModified})
			}
		}
		return ctx.Err()
	})
	if err != nil {
		return nil, b.refusal(ctx, "", err)
	}
	newestFirst(entries)
	return entries, nil
}

// Remove implements Store.
func (b *bucket) Remove(ctx context.Context, name string) error {
	key, err := b.key(name)
	if err != nil {
		return err
	}
	// Removing what is not there is no error for S3.
	if _, err := b.stat(ctx, key); err != nil {
		return b.refusal(ctx, name, err)
	}
	err = b.ask(ctx, func() error { return b.core.RemoveObject(ctx, b.name, key, minio.RemoveObjectOptions{}) })
	if err != nil {
		return b.refusal(ctx, name, err)
	}
	return nil
}

// ask does something until it works, or there is no hope, or patience has run out.
func (b *bucket) ask(ctx context.Context, do func() error) error {
	began, pause := time.Now(), b.pace.pause
	for tries := 1; ; tries++ {
		err := do()
		answer, answered := errors.AsType[minio.ErrorResponse](err)
		if err == nil || answered {
			b.met.Store(true)
		}
		if err == nil || ctx.Err() != nil || !again(answer, answered, err) {
			return err
		}
		// Where nothing has ever answered there is probably nothing.
		if time.Since(began)+pause > b.pace.patience || !b.met.Load() && tries == 3 {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(pause):
		}
		pause = min(2*pause, b.pace.patience/10)
	}
}

package codeserver

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/inmanta/inmanta-docker/problem"
	"github.com/inmanta/inmanta-docker/progress"
)

// The limits of a download.
const (
	// answerPatience is how long a server may take to answer, and stallPatience
	// how long it may say nothing once it has.
	answerPatience = 30 * time.Second
	stallPatience  = time.Minute
	// largestTarball is far more than any release, in bytes.
	largestTarball = 2 << 30
)

// cacheFolder keeps what was downloaded, for this user's next deployment.
func cacheFolder() (string, error) {
	folder, err := os.UserCacheDir()
	if err != nil { // somebody without a home
		folder = os.TempDir()
	}
	folder = filepath.Join(folder, "inmanta-docker", "code-server")
	return folder, os.MkdirAll(folder, 0o700)
}

// fetch downloads the tarball to a folder, unless it is there, and returns where it is.
func fetch(ctx context.Context, folder string, from origin, report progress.Report) (path string, err error) {
	path = filepath.Join(folder, from.checksum+".tar.gz")
	if sum, err := sumOf(ctx, path); err == nil && sum == from.checksum {
		return path, nil
	}
	file, err := os.CreateTemp(folder, ".partial-*")
	if err != nil {
		return "", fmt.Errorf("making a file for the download: %w", err)
	}
	defer os.Remove(file.Name()) // it is gone if it was moved
	defer file.Close()
	sum, err := download(ctx, from, file, report)
	if ctx.Err() != nil {
		return "", ctx.Err()
	}
	if err != nil {
		return "", unreachable(from, err)
	}
	if sum != from.checksum {
		return "", damaged(from.place, from.told, sum, from.checksum)
	}
	if err := errors.Join(file.Close(), os.Rename(file.Name(), path)); err != nil {
		return "", fmt.Errorf("keeping the download: %w", err)
	}
	return path, nil
}

// download writes what the server sends, and returns its SHA-256.
func download(ctx context.Context, from origin, to io.Writer, report progress.Report) (sum string, err error) {
	listening, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	silence := time.AfterFunc(answerPatience, func() { stop(fmt.Errorf("no answer within %s", answerPatience)) })
	defer silence.Stop()
	report(progress.Event{ID: progressID, Text: "Downloading", Detail: from.told, Status: progress.Working})
	request, err := http.NewRequestWithContext(listening, http.MethodGet, from.url.String(), nil)
	if err != nil {
		return "", err
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return "", told(listening, err)
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return "", fmt.Errorf("it answers %s", answer.Status)
	}
	digest := sha256.New()
	body := &sized{Reader: io.LimitReader(answer.Body, largestTarball), total: max(answer.ContentLength, 0), tell: func(done, total int64) {
		silence.Reset(stallPatience)
		report(progress.Event{ID: progressID, Text: "Downloading", Status: progress.Working, Current: done, Total: total})
	}}
	if _, err := io.Copy(io.MultiWriter(to, digest), body); err != nil {
		return "", told(listening, err)
	}
	return hex.EncodeToString(digest.Sum(nil)), nil
}

// told is why something ended: what stopped it, where something of ours did.
func told(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); cause != nil && !errors.Is(cause, context.Canceled) {
		return cause
	}
	return err
}

func unreachable(from origin, err error) problem.Problem {
	if errors.Is(err, syscall.ENOSPC) {
		return problem.Problem{
			ID: "disk-space", Where: "the folder for downloads", What: "the disk is full, so code-server was not downloaded",
			Fix: "make room there, or set XDG_CACHE_HOME to a folder on another disk", Err: err,
		}
	}
	return problem.Problem{
		ID: "code-server-unreachable", Where: from.place,
		What: fmt.Sprintf("code-server is not in its volume, and cannot be fetched from %s: %v", from.told, withoutURL(err)),
		Fix:  "reach it again (HTTPS_PROXY is used where set); or download it on a machine that does, copy it here and set INMANTA_CODE_SERVER_TARBALL to it",
		Err:  err,
	}
}

// withoutURL is an error without the URL, which stands beside it and may hold a password.
func withoutURL(err error) error {
	var about *url.Error
	if errors.As(err, &about) {
		return about.Err
	}
	return err
}

// sumOf is the SHA-256 of a file.
func sumOf(ctx context.Context, path string) (string, error) {
	file, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer file.Close()
	digest := sha256.New()
	if _, err := io.Copy(digest, untilDone{ctx, file}); err != nil {
		return "", err
	}
	return hex.EncodeToString(digest.Sum(nil)), nil
}

// untilDone reads until a context is done.
type untilDone struct {
	ctx context.Context
	io.Reader
}

func (u untilDone) Read(into []byte) (int, error) {
	if u.ctx.Err() != nil {
		return 0, u.ctx.Err()
	}
	return u.Reader.Read(into)
}

// openWhole opens a tarball after it has been read once, and was what it should be.
func openWhole(ctx context.Context, path string, from origin, report progress.Report) (*os.File, int64, error) {
	report(progress.Event{ID: progressID, Text: "Checking", Detail: filepath.Base(path), Status: progress.Working})
	sum, err := sumOf(ctx, path)
	if ctx.Err() != nil {
		return nil, 0, ctx.Err()
	}
	if err != nil {
		return nil, 0, unreadable(from.place, path, err)
	}
	if sum != from.checksum {
		return nil, 0, damaged(from.place, path, sum, from.checksum)
	}
	file, err := os.Open(path)
	if err != nil {
		return nil, 0, unreadable(from.place, path, err)
	}
	info, err := file.Stat()
	if err != nil {
		return nil, 0, errors.Join(unreadable(from.place, path, err), file.Close())
	}
	return file, info.Size(), nil
}

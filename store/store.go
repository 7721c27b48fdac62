// Package store is where backups are kept: a folder, or a bucket of S3-compatible
// storage. It knows names, sizes and times, and nothing of what is inside.
package store

import (
	"context"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// Extension is how the names end of what List lists.
const Extension = ".inmanta-backup"

// Store is one place for backups. Its methods may be called at once. Where they
// fail the error is a problem.Problem, or that of the context.
type Store interface {
	// Create begins a file. The context is that of all of its upload. There is
	// a problem with the ID Exists if the name is taken already, and one with the
	// ID Malformed if it does not end in Extension.
	Create(ctx context.Context, name string) (Upload, error)
	// Open reads a file and gives its size in bytes. Reading fails when there
	// turn out to be fewer, or more. No such file is a problem with the ID Missing.
	Open(ctx context.Context, name string) (io.ReadCloser, int64, error)
	// List is what is there, newest first: only names that end in Extension.
	List(ctx context.Context) ([]Entry, error)
	// Remove removes one file. No such file is a problem with the ID Missing.
	Remove(ctx context.Context, name string) error
	// String is the place as a person writes it.
	String() string
}

// Upload is a file that is being written. Nothing is seen under its name before
// Commit has said that all of it is kept, and nothing is left of it after Abort,
// which does nothing after Commit: it can be deferred.
type Upload interface {
	io.Writer
	Commit() error
	Abort() error
}

// Entry is one file that is kept.
type Entry struct {
	// Name is below the store.
	Name string `json:"name"`
	// Size is in bytes.
	Size int64 `json:"size"`
	// Modified is when it was finished.
	Modified time.Time `json:"modified"`
}

// At is the store that a person names, and the name of a file in it: "" where
// they name no file, so that there is one to be chosen. In words of the command
// line: "FOLDER/", "FILE", "s3://BUCKET/PREFIX/" or "s3://BUCKET/PREFIX/FILE"; "" is
// the current directory. A folder that is there needs no slash at its end.
//
// env looks up variables of the environment; S3 needs some. Nothing is asked yet
// whether the place is there, or lets us in.
func At(where string, env func(string) string) (Store, string, error) {
	if bucket, is := strings.CutPrefix(where, "s3://"); is {
		return atS3(where, bucket, env)
	}
	if where == "" {
		where = "."
	}
	if info, err := os.Stat(where); strings.HasSuffix(where, "/") || err == nil && info.IsDir() {
		return Folder(filepath.Clean(where)), "", nil
	}
	return Folder(filepath.Dir(where)), filepath.Base(where), nil
}

package backup

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/inmanta/inmanta-docker/problem"
)

// Made is a backup that was made of this deployment, or verified here.
type Made struct {
	// ID is the backup's own, among those of its Project.
	ID      string `json:"id"`
	Project string `json:"project"`
	// Where is its file, or its place in a store.
	Where   string    `json:"where"`
	Created time.Time `json:"created"`
	// Size is in bytes.
	Size int64 `json:"size"`
	// Consistent says that database and state are of one moment.
	Consistent bool `json:"consistent"`
	Encrypted  bool `json:"encrypted"`
	// Seconds is how long it took, and HaltedSeconds how long environments were
	// halted for it.
	Seconds       float64 `json:"seconds"`
	HaltedSeconds float64 `json:"halted_seconds"`
	// Verified is the last time that it was restored to see whether it can be; nil
	// if it never was.
	Verified *Verified `json:"verified,omitempty"`
}

// Verified is what came of restoring a backup into a stack of its own.
type Verified struct {
	At time.Time `json:"at"`
	// Problem is why it did not do; empty when it did.
	Problem string `json:"problem,omitempty"`
	// Seconds is how long it took.
	Seconds float64 `json:"seconds"`
}

// Record is what is remembered of a deployment's backups.
type Record struct {
	// Backups are the last ones, newest first.
	Backups []Made `json:"backups"`
	// Halted are the environments that a backup has halted and that nobody has
	// resumed yet, by ID. It is written before they are halted.
	Halted []string `json:"halted,omitempty"`
}

// remembered is how many backups are remembered at most.
const remembered = 200

const recordFile = "backups.json"

// Note adds a backup, or replaces what is noted of it.
func (r *Record) Note(m Made) {
	r.Backups = slices.DeleteFunc(r.Backups, func(b Made) bool { return b.ID == m.ID && b.Project == m.Project })
	r.Backups = append(r.Backups, m)
	slices.SortStableFunc(r.Backups, func(a, b Made) int { return b.Created.Compare(a.Created) })
	r.Backups = r.Backups[:min(len(r.Backups), remembered)]
}

// Find is the backup of a project with that ID: two that were begun in one second have
// the same.
func (r Record) Find(project, id string) (Made, bool) {
	at := slices.IndexFunc(r.Backups, func(b Made) bool { return b.ID == id && b.Project == project })
	if at < 0 {
		return Made{}, false
	}
	return r.Backups[at], true
}

// LastVerified is the newest backup that was seen to be restored well.
func (r Record) LastVerified() (Made, bool) {
	for _, b := range r.Backups {
		if b.Verified != nil && b.Verified.Problem == "" {
			return b, true
		}
	}
	return Made{}, false
}

// Remembered is the record of the deployment in dir.
func Remembered(dir string) (Record, error) {
	var r Record
	_, err := read(dir, recordFile, &r)
	return r, err
}

// Change changes what is remembered by now, which others may have changed since it
// was read: a backup and a verification may both be at work. The record is that then.
func (r *Record) Change(dir string, change func(*Record)) error {
	now, err := Remembered(dir)
	if err != nil {
		return err
	}
	change(&now)
	if err := write(dir, recordFile, now); err != nil {
		return err
	}
	*r = now
	return nil
}

// read reads one of the files in the folder; there need not be one.
func read(dir, name string, into any) (there bool, err error) {
	path := filepath.Join(dir, Folder, name)
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err == nil {
		decoder := json.NewDecoder(bytes.NewReader(text))
		decoder.DisallowUnknownFields()
		if err = decoder.Decode(into); err == nil {
			if _, trailing := decoder.Token(); !errors.Is(trailing, io.EOF) {
				err = errors.New("something follows the object")
			}
		}
	}
	if err != nil {
		return false, problem.Problem{
			ID: "backup-notes", Where: path, What: fmt.Sprintf("what is remembered of backups cannot be read: %v", err),
			Fix: "look at it, and move it away if it is damaged", Err: err,
		}
	}
	return true, nil
}

// write replaces one of the files in the folder, which is on the disk when it
// returns.
func write(dir, name string, value any) error {
	folder := filepath.Join(dir, Folder)
	fail := func(err error) error {
		return problem.Problem{
			ID: "backup-notes", Where: folder, What: fmt.Sprintf("what has to be remembered of backups cannot be written: %v", err),
			Fix: "make room, or the directory writable, and try again", Err: err,
		}
	}
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return fail(err)
	}
	text, err := json.MarshalIndent(value, "", " ")
	if err != nil {
		return fail(err)
	}
	file, err := os.CreateTemp(folder, "."+name+"-*")
	if err != nil {
		return fail(err)
	}
	defer os.Remove(file.Name()) // gone already, if all went well
	_, err = file.Write(append(text, '\n'))
	err = errors.Join(err, file.Sync(), file.Close())
	if err == nil {
		err = os.Rename(file.Name(), filepath.Join(folder, name))
	}
	if err == nil {
		err = flush(folder)
	}
	if err != nil {
		return fail(err)
	}
	return nil
}

// flush makes what was done to the names in a folder last.
func flush(folder string) error {
	opened, err := os.Open(folder)
	if err != nil {
		return err
	}
	return errors.Join(opened.Sync(), opened.Close())
}

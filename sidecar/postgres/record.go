package postgres

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// Role is what a node of the pair is.
type Role string

// The roles.
const (
	Primary Role = "primary"
	Standby Role = "standby"
)

// Record is what a node knows of itself for good: it is in the volume, beside
// the cluster, and synced before anything relies on it.
type Record struct {
	// Node is whose volume this is: "db" or "db-replica".
	Node string `json:"node"`
	Role Role   `json:"role"`
	// System is the cluster's system identifier.
	System string `json:"system"`
	// Strict is a primary's: it waits for its standby with every commit, from
	// its start on. It is set once the standby was in step for the first time.
	Strict bool `json:"strict"`
	// PeerInStep is a primary's: the standby may hold the note below, and has to
	// give it back before this primary goes on without it.
	PeerInStep bool `json:"peer_in_step"`
	// InStep is a standby's: all that its primary has acknowledged is here, for
	// as long as this stands.
	InStep bool `json:"in_step"`
	// Since is when the last of these changed.
	Since time.Time `json:"since"`
	// Phase is what was going on with the cluster's files; see volume.go.
	Phase phase `json:"phase,omitempty"`
	// Handover is a primary's: it has stopped for its peer to take over, and does
	// not know yet whether that one did.
	Handover bool `json:"handover,omitempty"`
	// Fenced is why this primary must not start any more; empty if it may.
	Fenced string `json:"fenced,omitempty"`
	// Reinit asks for a new copy at the next start.
	Reinit bool `json:"reinit,omitempty"`
}

const recordFile = "node.json"

// readRecord reads the record of a volume; found is false where there is none.
func readRecord(folder string) (r Record, found bool, err error) {
	text, err := os.ReadFile(filepath.Join(folder, recordFile))
	if errors.Is(err, os.ErrNotExist) {
		return Record{}, false, nil
	}
	if err != nil {
		return Record{}, false, err
	}
	if err := json.Unmarshal(text, &r); err != nil {
		return Record{}, false, fmt.Errorf("%s is damaged: %w", filepath.Join(folder, recordFile), err)
	}
	if err := r.check(); err != nil {
		return Record{}, false, fmt.Errorf("%s is damaged: %w", filepath.Join(folder, recordFile), err)
	}
	return r, true, nil
}

// check says what about a record cannot be.
func (r Record) check() error {
	switch {
	case r.Node == "":
		return errors.New("it names no node")
	case r.Role != Primary && r.Role != Standby && r.Role != "":
		return fmt.Errorf("%q is no role", r.Role)
	case r.Role == Primary && r.InStep:
		return errors.New("a primary is not in step with itself")
	case r.Role != Primary && (r.Strict || r.PeerInStep):
		return errors.New("only a primary waits for somebody")
	}
	return nil
}

// writeRecord replaces the record; when it returns, the new one is on the disk.
func writeRecord(folder string, r Record) error {
	text, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	return writeDurably(filepath.Join(folder, recordFile), append(text, '\n'), 0o600)
}

// writeDurably replaces a file: there is the old one or the new one at any time.
func writeDurably(path string, content []byte, mode os.FileMode) error {
	temporary := path + ".new"
	file, err := os.OpenFile(temporary, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, mode)
	if err != nil {
		return err
	}
	_, err = file.Write(content)
	if err := errors.Join(err, file.Sync(), file.Close()); err != nil {
		return err
	}
	if err := os.Rename(temporary, path); err != nil {
		return err
	}
	return syncFolder(filepath.Dir(path))
}

func syncFolder(path string) error {
	folder, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(folder.Sync(), folder.Close())
}

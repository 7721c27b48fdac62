package dbdump

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/inmanta/inmanta-docker/sidecar/dumps"
)

// Attempt is one attempt at a dump.
type Attempt struct {
	Begun time.Time `json:"begun"`
	Ended time.Time `json:"ended"`
	// Dump is what came of it; else Error is why nothing did.
	Dump  string `json:"dump,omitempty"`
	Error string `json:"error,omitempty"`
	// Early is that it ended before anything was begun: no server answered, or
	// there was nothing to dump.
	Early bool `json:"early,omitempty"`
}

// Made is what is known of how a dump was made.
type Made struct {
	SizeBytes int64 `json:"size_bytes"`
	// Entries is how many its table of contents has.
	Entries int `json:"entries"`
	// Host is the server that was dumped, Role what that was: "standby" or
	// "primary". Server is its version.
	Host   string `json:"host"`
	Role   string `json:"role"`
	Server string `json:"server"`
	// Seconds is how long it took.
	Seconds float64 `json:"seconds"`
}

// memory is what is remembered from one start to the next.
type memory struct {
	// Last is the last attempt that ended.
	Last *Attempt `json:"last,omitempty"`
	// Failures counts those that failed in a row once they had begun.
	Failures int             `json:"failures"`
	Made     map[string]Made `json:"made"`
}

// memoryFile is where it is in the state folder, with at most so many bytes.
const (
	memoryFile    = "dumps.json"
	largestMemory = 64 << 20
)

// parseMemory reads what was remembered; whatever it is, what it gives can be used.
func parseMemory(deployment string, text []byte) (memory, error) {
	var m memory
	err := json.Unmarshal(text, &m)
	if err != nil {
		m = memory{}
	}
	m.Failures = max(0, m.Failures)
	if m.Made == nil {
		m.Made = map[string]Made{}
	}
	for name := range m.Made {
		if kind, _, _ := dumps.Parse(deployment, name); kind != dumps.Complete {
			delete(m.Made, name)
		}
	}
	return m, err
}

// remember reads what was remembered. What cannot be read is begun anew from what
// is in the folder.
func (c Config) remember() (memory, error) {
	path := filepath.Join(c.State, memoryFile)
	empty := memory{Made: map[string]Made{}}
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return empty, nil
	}
	if err == nil && info.Size() > largestMemory {
		err = fmt.Errorf("it has %d bytes", info.Size())
	}
	var text []byte
	if err == nil {
		text, err = os.ReadFile(path)
	}
	if err == nil {
		empty, err = parseMemory(c.Deployment, text)
	}
	if err != nil {
		return empty, fmt.Errorf("reading what is remembered of the dumps: %w", err)
	}
	return empty, nil
}

// memorise replaces what is remembered. It is not worth to wait for the disk: what
// the dumps are, they say themselves.
func (c Config) memorise(m memory) error {
	text, err := json.Marshal(m)
	if err != nil {
		return err
	}
	temporary := filepath.Join(c.State, memoryFile+".tmp")
	if err := os.WriteFile(temporary, text, 0o600); err != nil {
		return fmt.Errorf("noting what is known of the dumps: %w", err)
	}
	if err := os.Rename(temporary, filepath.Join(c.State, memoryFile)); err != nil {
		return fmt.Errorf("noting what is known of the dumps: %w", err)
	}
	return nil
}

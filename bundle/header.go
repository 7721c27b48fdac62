package bundle

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"
)

// Format is the format that this version writes, and the newest that it reads.
const Format = 1

// The parts that a backup may have.
const (
	// State is a tar of the orchestrator's state volume, compressed with zstd.
	State = "state.tar.zst"
	// Database is what pg_dump writes in its custom format.
	Database = "database.dump"
)

// mostJSON is how long a header and a manifest may be, in bytes.
const mostJSON = 16 << 20

// Header is what is known before a backup is made, and said before anything of it.
type Header struct {
	// Format is the format of the file; NewWriter sets it.
	Format int `json:"format"`
	// ID names this backup and no other.
	ID string `json:"id"`
	// Created is when it was begun. It is written in whole seconds, in UTC.
	Created time.Time `json:"created"`
	// Project is the compose project that it is of.
	Project string `json:"project"`
	// Tool is the version of inmanta-docker that made it.
	Tool string `json:"tool"`
	// Consistent says that database and state were taken while nothing could
	// change either.
	Consistent bool `json:"consistent"`
	// Topology are the names of the compose files, in their order.
	Topology []string `json:"topology"`
	// Settings are the deployment's settings that differ from their defaults,
	// without those that are secret.
	Settings map[string]string `json:"settings"`
	// Images are what the services ran.
	Images map[string]Image `json:"images"`
	// Orchestrator is which one it is.
	Orchestrator Orchestrator `json:"orchestrator"`
	// Database is what PostgreSQL it is.
	Database Server `json:"database"`
}

// Image is what one service ran.
type Image struct {
	// Reference is the name it was asked for by.
	Reference string `json:"reference"`
	// ID is what the engine knows it by: "sha256:…".
	ID string `json:"id"`
}

// Orchestrator says which orchestrator wrote the database and the state.
type Orchestrator struct {
	// Product is what it calls itself: "Inmanta Service Orchestrator".
	Product string `json:"product"`
	// Edition is what its API says: "Open Source Edition". Empty, as Product and
	// Version are, where it was down.
	Edition string `json:"edition"`
	// Version is what its API says.
	Version string `json:"version"`
	// Schema is the newest version of each of its database schemas, by its name
	// ("core", "lsm").
	Schema map[string]int64 `json:"schema"`
}

// Server says which PostgreSQL the database was in.
type Server struct {
	// Version is what it says: "16.4".
	Version string `json:"version"`
	// Major is the number that has to be the same for a state of its own
	// files, and not higher than that of whoever reads a dump.
	Major int `json:"major"`
	// Name is the database's.
	Name string `json:"name"`
	// Bytes is how much it took there, indexes included.
	Bytes int64 `json:"bytes"`
	// Encoding and Collation are the database's: "UTF8", "en_US.utf8".
	Encoding  string `json:"encoding"`
	Collation string `json:"collation"`
}

// The names of entries that are no segments.
const (
	headerName   = "inmanta-backup.json"
	manifestName = "manifest.json"
	sumName      = "manifest.json.sha256"
)

// encode is a header or a manifest as it is written.
func encode(value any) ([]byte, error) {
	var text bytes.Buffer
	encoder := json.NewEncoder(&text)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", " ")
	if err := encoder.Encode(value); err != nil {
		return nil, err
	}
	if text.Len() > mostJSON {
		return nil, fmt.Errorf("it has %d bytes, and %d is the most", text.Len(), mostJSON)
	}
	return text.Bytes(), nil
}

// decode reads one JSON object that has the fields of value and no others.
func decode(text []byte, value any) error {
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(value); err != nil {
		return err
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return errors.New("something follows the object")
	}
	return nil
}

// errNewer is what parseHeader says of a header that a later version wrote.
var errNewer = errors.New("a newer format")

// parseHeader reads a Header, or says why it is none that this version can use.
func parseHeader(text []byte) (Header, error) {
	var only struct {
		Format int `json:"format"`
	}
	if err := json.Unmarshal(text, &only); err != nil {
		return Header{}, err
	}
	if only.Format > Format {
		return Header{}, errNewer
	}
	var h Header
	if err := decode(text, &h); err != nil {
		return Header{}, err
	}
	return h, h.valid()
}

// valid says what is wrong with a header, if anything is.
func (h Header) valid() error {
	switch {
	case h.Format != Format:
		return fmt.Errorf("its format is %d", h.Format)
	case h.ID == "":
		return errors.New("it has no id")
	case h.Created.Unix() <= 0 || h.Created.Unix() > latest || h.Created.Nanosecond() != 0:
		return errors.New("it says no time at which it can have been made")
	}
	return nil
}

// latest is the last second that a tar header of this kind can give.
const latest = 1<<33 - 1

package bundle

import (
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
)

// Manifest is what a backup was found to consist of when all of it was written.
type Manifest struct {
	// Header is the SHA-256 of the header's entry, in hexadecimal.
	Header string `json:"header_sha256"`
	// Parts are the parts, in the order in which they are in the file.
	Parts []Part `json:"parts"`
	// Content is what is in them.
	Content Content `json:"content"`
}

// Part is one part of a backup.
type Part struct {
	// Name is State or Database.
	Name string `json:"name"`
	// Size is in bytes, all segments together.
	Size int64 `json:"size"`
	// SHA256 is the checksum of all segments together, in hexadecimal.
	SHA256 string `json:"sha256"`
	// Segments is how many there are.
	Segments int `json:"segments"`
}

// Content is what a restored backup can be compared with.
type Content struct {
	// Halted are the IDs of the environments that ran before the backup and that
	// it halted: the database has them as halted, and a restore resumes them.
	Halted []string `json:"halted"`
	// Environments are all there were.
	Environments []Environment `json:"environments"`
	// Tables are the tables of the database.
	Tables []Table `json:"tables"`
	// State is what the state volume had.
	State Volume `json:"state"`
}

// Environment is one environment of the orchestrator.
type Environment struct {
	ID   string `json:"id"`
	Name string `json:"name"`
	// Halted says that it was halted before the backup was begun.
	Halted bool `json:"halted"`
	// Resources is how many resources its deployed version has; -1 where that is
	// not known.
	Resources int `json:"resources"`
}

// Table is one table of the database at the moment of the backup.
type Table struct {
	// Schema is the PostgreSQL schema it is in: "public".
	Schema string `json:"schema"`
	// Name is the table's.
	Name string `json:"name"`
	// Rows is how many it had.
	Rows int64 `json:"rows"`
	// Hash is of what is in the rows, whatever their order; how it is made is
	// known to whoever made the backup. May be empty.
	Hash string `json:"hash"`
}

// Volume is what was in the state volume.
type Volume struct {
	// Files is how many entries there are below its root, folders and links included.
	Files int64 `json:"files"`
	// Bytes is the size of its regular files.
	Bytes int64 `json:"bytes"`
	// UID and GID are whose it is.
	UID int `json:"uid"`
	GID int `json:"gid"`
}

// Part is the part of that name, if there is one.
func (m Manifest) Part(name string) (Part, bool) {
	at := slices.IndexFunc(m.Parts, func(p Part) bool { return p.Name == name })
	if at < 0 {
		return Part{}, false
	}
	return m.Parts[at], true
}

// parseManifest reads a Manifest. Whether it is that of the parts that were read
// is for matches to say.
func parseManifest(text []byte) (Manifest, error) {
	var m Manifest
	if err := decode(text, &m); err != nil {
		return Manifest{}, err
	}
	for _, t := range m.Content.Tables {
		if t.Rows < 0 || t.Name == "" || t.Schema == "" {
			return Manifest{}, fmt.Errorf("there can be no table %q.%q of %d rows", t.Schema, t.Name, t.Rows)
		}
	}
	if s := m.Content.State; s.Files < 0 || s.Bytes < 0 || s.UID < 0 || s.GID < 0 {
		return Manifest{}, errors.New("what it says of the state cannot be")
	}
	return m, nil
}

// matches says how what was read differs from what the manifest lists.
func (m Manifest) matches(header string, parts []Part) error {
	if m.Header != header {
		return errors.New("its header is not the one that was written")
	}
	for i, read := range parts {
		if i == len(m.Parts) || m.Parts[i].Name != read.Name {
			return fmt.Errorf("its manifest does not list %s there", read.Name)
		}
		if m.Parts[i] != read {
			return fmt.Errorf("its %s is not what was written: it has %d bytes with the SHA-256 %.8s…, and the manifest says %d and %.8s…",
				read.Name, read.Size, read.SHA256, m.Parts[i].Size, m.Parts[i].SHA256)
		}
	}
	if len(m.Parts) != len(parts) {
		return fmt.Errorf("its %s is missing", m.Parts[len(parts)].Name)
	}
	return nil
}

// sumText is the text of the entry with the manifest's checksum.
func sumText(sum []byte) string { return hex.EncodeToString(sum) + "  " + manifestName + "\n" }

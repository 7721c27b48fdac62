package archive

import "strings"

// Format is how an archive is compressed.
type Format uint8

// The formats. We write and read the first three. The others are known so that
// archives that logrotate made with them are listed and removed when their time
// has come; nothing here can read them.
const (
	Plain Format = iota
	Gzip
	Zstd
	XZ
	Bzip2
)

var formats = [...]struct{ name, suffix string }{
	Plain: {"not compressed", ""},
	Gzip:  {"gzip", ".gz"},
	Zstd:  {"zstd", ".zst"},
	XZ:    {"xz", ".xz"},
	Bzip2: {"bzip2", ".bz2"},
}

// String is the name of the format, for a person.
func (f Format) String() string { return formats[f].name }

// Suffix is what the names of files in this format end with; empty for Plain.
func (f Format) Suffix() string { return formats[f].suffix }

// Writable tells whether NewWriter and NewReader know the format.
func (f Format) Writable() bool { return f <= Zstd }

func cutFormat(base string) (string, Format) {
	for f := Gzip; int(f) < len(formats); f++ {
		if rest, is := strings.CutSuffix(base, formats[f].suffix); is {
			return rest, f
		}
	}
	return base, Plain
}

// Package printed keeps as much of what a program prints as anybody wants to read,
// however much that is.
package printed

import "strings"

// Head keeps the beginning of what is written to it.
type Head struct {
	// Most is how much is kept, in bytes.
	Most int
	kept []byte
}

// Write implements io.Writer; it never fails.
func (h *Head) Write(p []byte) (int, error) {
	h.kept = append(h.kept, p[:min(len(p), h.Most-len(h.kept))]...)
	return len(p), nil
}

// String is what was kept.
func (h *Head) String() string { return string(h.kept) }

// Tail keeps the end of what is written to it.
type Tail struct {
	// Most is how much is kept, in bytes.
	Most int
	kept []byte
}

// Write implements io.Writer; it never fails.
func (t *Tail) Write(p []byte) (int, error) {
	t.kept = append(t.kept, p[max(0, len(p)-t.Most):]...)
	// Not at each write: what stays has to be moved.
	if len(t.kept) > 2*t.Most {
		t.kept = append(t.kept[:0], t.kept[len(t.kept)-t.Most:]...)
	}
	return len(p), nil
}

// String is what was kept.
func (t *Tail) String() string { return string(t.kept[max(0, len(t.kept)-t.Most):]) }

// LastLine is the last line of a text, which is where programs say why they end.
func LastLine(text string) string {
	text = strings.TrimSpace(text)
	return strings.TrimSpace(text[strings.LastIndexByte(text, '\n')+1:])
}

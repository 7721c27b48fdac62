package ui

import (
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
	"time"

	"github.com/inmanta/inmanta-docker/progress"
)

// step and note are the lines of the JSON stream on standard error.
type step struct {
	Time time.Time `json:"time"`
	Type string    `json:"type"` // "progress"
	progress.Event
}

type note struct {
	Time   time.Time       `json:"time"`
	Type   string          `json:"type"` // "note"
	Status progress.Status `json:"status,omitempty"`
	Text   string          `json:"text"`
}

// rawControls are those encoding/json leaves as they are. They can only stand
// within strings, and are escaped like the others, so that JSON cannot act on a
// terminal either.
var rawControls = regexp.MustCompile(`[\x7f-\x{9f}]`)

// encode is v as JSON, with a line end.
func encode(v any, indent string) (string, error) {
	var b strings.Builder
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", indent)
	err := e.Encode(v)
	return rawControls.ReplaceAllStringFunc(b.String(), func(s string) string {
		return fmt.Sprintf(`\u%04x`, []rune(s)[0])
	}), err
}

// object is a line of the JSON stream: text and numbers, which always encode.
func object(v any) string {
	text, _ := encode(v, "")
	return text
}

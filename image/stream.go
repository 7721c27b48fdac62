package image

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"
)

// message is one line of what the engine says while it builds, imports or
// pulls: the fields of its JSON stream that are of use here.
type message struct {
	Stream   string `json:"stream"`
	Status   string `json:"status"`
	ID       string `json:"id"`
	Progress struct {
		Current int64 `json:"current"`
		Total   int64 `json:"total"`
	} `json:"progressDetail"`
	Error       string `json:"error"`
	ErrorDetail struct {
		Message string `json:"message"`
	} `json:"errorDetail"`
	Aux struct {
		ID string `json:"ID"`
	} `json:"aux"`
}

// errCut says that the engine stopped talking in the middle.
var errCut = errors.New("the connection to the engine was cut")

// eachMessage hands every message of a stream to take, until the stream ends,
// or one of them is an error, which is returned.
func eachMessage(stream io.Reader, take func(message)) error {
	decoder := json.NewDecoder(stream)
	for {
		var m message
		err := decoder.Decode(&m)
		var wrongType *json.UnmarshalTypeError
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case errors.Is(err, io.ErrUnexpectedEOF):
			return errCut
		case errors.As(err, &wrongType):
			// Of a kind not known here, such as another aux: the rest of it holds.
		case err != nil:
			return fmt.Errorf("reading what the engine says: %w", err)
		}
		if m.ErrorDetail.Message != "" {
			return errors.New(m.ErrorDetail.Message)
		}
		if m.Error != "" {
			return errors.New(m.Error)
		}
		take(m)
	}
}

// keptLines is how much of a build's output a failure shows.
const keptLines = 12

// longestLine is in letters: pip lists every release there is in one.
const longestLine = 200

// transcript is what has been understood of a build so far.
type transcript struct {
	// Step of Steps is at work, by this Instruction of the Dockerfile.
	Step, Steps int
	Instruction string
	// Lines are the last ones of the step's output, keptLines at most.
	Lines []string
	// ID of the last image that came out; the whole one's, at the end.
	ID string

	rest string // a line whose end has not come yet
}

// stepLine is how the builder announces a step: "Step 3/12 : RUN apt-get update".
var stepLine = regexp.MustCompile(`^Step ([0-9]{1,6})/([0-9]{1,6}) : (.*)$`)

// noise are the builder's own remarks between steps.
var noise = regexp.MustCompile(`^ ?---> |^Removing intermediate container |^Successfully (built|tagged) |^\[Warning\] One or more build-args`)

// take reads one message, and says whether there is a new line to show.
func (t *transcript) take(m message) (news bool) {
	if m.Aux.ID != "" {
		t.ID = m.Aux.ID
	}
	text := t.rest + m.Stream
	for {
		end := strings.IndexByte(text, '\n')
		if end < 0 {
			break
		}
		news = t.line(printable(text[:end])) || news
		text = text[end+1:]
	}
	// A line without an end is a progress bar of some program.
	if len(text) > 4096 {
		text = ""
	}
	t.rest = text
	return news
}

func (t *transcript) line(line string) (news bool) {
	if found := stepLine.FindStringSubmatch(line); found != nil {
		t.Step, _ = strconv.Atoi(found[1])
		t.Steps, _ = strconv.Atoi(found[2])
		t.Instruction = strings.Join(strings.Fields(found[3]), " ")
		t.Lines = nil
		return true
	}
	if line == "" || noise.MatchString(line) {
		return false
	}
	if letters := []rune(line); len(letters) > longestLine {
		line = string(letters[:longestLine]) + "…"
	}
	t.Lines = append(t.Lines, line)
	if len(t.Lines) > keptLines {
		t.Lines = t.Lines[1:]
	}
	return true
}

// escape is a terminal's control sequence.
var escape = regexp.MustCompile(`\x1b\[[0-9;?]*[A-Za-z]`)

// printable is a line as it looks once a terminal has shown it: what a carriage
// return overwrote is gone, colours and control characters too.
func printable(line string) string {
	line = strings.TrimRight(escape.ReplaceAllString(line, ""), "\r ")
	if start := strings.LastIndexByte(line, '\r'); start >= 0 {
		line = line[start+1:]
	}
	return strings.Map(func(r rune) rune {
		if r < ' ' && r != '\t' || r == 0x7f {
			return -1
		}
		return r
	}, strings.ToValidUTF8(line, "?"))
}

// importedID is the ID of the image an import made, out of the stream of it.
func importedID(stream io.Reader) (string, error) {
	var id string
	err := eachMessage(stream, func(m message) {
		if strings.HasPrefix(m.Status, "sha256:") {
			id = m.Status
		}
	})
	if err == nil && id == "" {
		err = errors.New("the engine did not name the image it imported")
	}
	return id, err
}

// lineWriter calls take with every whole line written to it.
type lineWriter struct {
	take func(string)
	rest []byte
}

func (w *lineWriter) Write(p []byte) (int, error) {
	w.rest = append(w.rest, p...)
	for {
		end := bytes.IndexByte(w.rest, '\n')
		if end < 0 {
			return len(p), nil
		}
		w.take(printable(string(w.rest[:end])))
		w.rest = w.rest[end+1:]
	}
}

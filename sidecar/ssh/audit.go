package ssh

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"sync"
	"time"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"
)

// Event is one line of the audit log. Fields that do not apply are left out.
// Texts that a client chose are cut at longestText and escaped as JSON escapes:
// none of them can begin a line of its own.
type Event struct {
	Time time.Time `json:"time"`
	// Event is what happened: see the constants.
	Event string `json:"event"`
	// Connection tells connections apart, counting from 1 at each start.
	Connection uint64 `json:"connection,omitempty"`
	// Session tells the sessions of a connection apart.
	Session uint64 `json:"session,omitempty"`
	Remote  string `json:"remote,omitempty"`
	User    string `json:"user,omitempty"`
	// Client is the version that the client says it is.
	Client string `json:"client,omitempty"`
	// Key is the fingerprint of the key, as ssh-keygen -l prints it.
	Key string `json:"key,omitempty"`
	// KeyComment and KeySource are of the line that authorizes the key.
	KeyComment string `json:"key_comment,omitempty"`
	KeySource  string `json:"key_source,omitempty"`
	// Certificate is the key id that the authority gave a certificate.
	Certificate string `json:"certificate,omitempty"`
	// Method is how somebody tried to log in.
	Method string `json:"method,omitempty"`
	// Kind is of a session: shell, exec or subsystem; or of a forward.
	Kind string `json:"kind,omitempty"`
	// Command is what was asked for; Forced is what ran instead.
	Command string `json:"command,omitempty"`
	Forced  string `json:"forced,omitempty"`
	PTY     bool   `json:"pty,omitempty"`
	// To is where a forward leads; Listen is where it listens.
	To     string `json:"to,omitempty"`
	Listen string `json:"listen,omitempty"`
	// Action and Path are of a file: read, write, remove, rename and so on.
	Action string `json:"action,omitempty"`
	Path   string `json:"path,omitempty"`
	Target string `json:"target,omitempty"`
	// BytesIn came from the client, BytesOut went to it.
	BytesIn  int64 `json:"bytes_in,omitempty"`
	BytesOut int64 `json:"bytes_out,omitempty"`
	// ExitCode and Signal are how a session's process ended.
	ExitCode *int   `json:"exit_code,omitempty"`
	Signal   string `json:"signal,omitempty"`
	// Seconds is how long it lasted.
	Seconds float64 `json:"seconds,omitempty"`
	// Reason is why something was refused or ended.
	Reason string `json:"reason,omitempty"`
	// Problem and Fix are about the configuration, for people.
	Problem string `json:"problem,omitempty"`
	Fix     string `json:"fix,omitempty"`
}

// What an Event can be.
const (
	EventListening     = "listening"
	EventProblem       = "problem"
	EventConnected     = "connected"
	EventRefused       = "refused"
	EventAuthenticated = "authenticated"
	EventSessionStart  = "session_start"
	EventSessionEnd    = "session_end"
	EventForward       = "forward"
	EventFile          = "file"
	EventDisconnected  = "disconnected"
	EventStopping      = "stopping"
	EventStopped       = "stopped"
)

// longestText is how much of a client's text a line of the log holds, in bytes.
const longestText = 1024

// Audit writes events, one a line. It is safe for use by many at once.
type Audit struct {
	mu  sync.Mutex
	out io.Writer
}

// NewAudit writes to out.
func NewAudit(out io.Writer) *Audit {
	return &Audit{out: out}
}

// write writes the events, at once, with the time it is now. That they cannot be
// written is no reason to end what is going on: the engine reads what is written
// here.
func (a *Audit) write(events ...Event) {
	var lines []byte
	for _, e := range events {
		lines = append(lines, e.line()...)
	}
	if len(lines) == 0 {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	_, _ = a.out.Write(lines)
}

// line is the event as it is written.
func (e Event) line() []byte {
	e.Time = time.Now().UTC()
	for _, text := range []*string{
		&e.User, &e.Client, &e.KeyComment, &e.Certificate, &e.Method, &e.Kind, &e.Command, &e.Forced,
		&e.To, &e.Listen, &e.Action, &e.Path, &e.Target, &e.Reason,
	} {
		*text = cut(*text)
	}
	var written bytes.Buffer
	encoder := json.NewEncoder(&written)
	// That escaping is for HTML pages; log lines are read by people too.
	encoder.SetEscapeHTML(false)
	if encoder.Encode(e) != nil {
		return nil // an Event holds nothing that JSON cannot
	}
	return printable(written.Bytes())
}

// cut is the beginning of a long text, up to a whole character.
func cut(text string) string {
	if len(text) <= longestText {
		return text
	}
	end := longestText
	for end > longestText-utf8.UTFMax && !utf8.RuneStart(text[end]) {
		end--
	}
	return text[:end] + "…"
}

// printable escapes what JSON leaves as it is and a terminal may not show, but
// obey: control characters beyond ASCII, and those that turn text around.
// Outside of its texts JSON has none of them, so every escape is within one.
func printable(line []byte) []byte {
	var safe []byte
	for _, r := range string(bytes.TrimSuffix(line, []byte("\n"))) {
		switch {
		case r == 0x7f || r > 0x7f && r <= 0xffff && !unicode.IsPrint(r):
			safe = fmt.Appendf(safe, `\u%04x`, r)
		case r > 0xffff && !unicode.IsPrint(r):
			high, low := utf16.EncodeRune(r)
			safe = fmt.Appendf(safe, `\u%04x\u%04x`, high, low)
		default:
			safe = utf8.AppendRune(safe, r)
		}
	}
	return append(safe, '\n')
}

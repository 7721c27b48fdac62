package modelinit

import (
	"encoding/json"
	"io"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/inmanta/inmanta-docker/sidecar/initrecord"
)

// longestDetail is what one line of the log holds of what a program said, in bytes.
const longestDetail = 8 << 10

// hidden stands where a secret was.
const hidden = "********"

// narrator writes the log: one JSON object a line, without secrets.
type narrator struct {
	mu   sync.Mutex
	to   io.Writer
	hide *strings.Replacer
	// phase is what is being done, since when.
	phase initrecord.Phase
	since time.Time
}

// newNarrator hides the secrets, and each line of those that have several.
func newNarrator(to io.Writer, secrets ...string) *narrator {
	var pairs []string
	for _, secret := range secrets {
		for line := range strings.Lines(secret) {
			// Less than that would tear up words that are none.
			if line = strings.TrimSpace(line); len(line) >= 6 {
				pairs = append(pairs, line, hidden)
			}
		}
	}
	return &narrator{to: to, hide: strings.NewReplacer(pairs...)}
}

// clean is a text of somebody else's, fit for the log.
func (n *narrator) clean(text string) string {
	text = n.hide.Replace(strings.ToValidUTF8(text, "\uFFFD"))
	if len(text) <= longestDetail {
		return text
	}
	cut := longestDetail
	for !utf8.RuneStart(text[cut]) {
		cut--
	}
	return text[:cut] + "…"
}

func (n *narrator) say(e initrecord.Event) {
	e.Time = time.Now().UTC()
	e.Detail, e.Problem, e.Test = n.clean(e.Detail), n.clean(e.Problem), n.clean(e.Test)
	n.mu.Lock()
	defer n.mu.Unlock()
	lines := json.NewEncoder(n.to)
	lines.SetEscapeHTML(false) // people read it
	_ = lines.Encode(e)        // nobody is left to tell
}

// begin starts a phase.
func (n *narrator) begin(p initrecord.Phase, detail string) {
	n.phase, n.since = p, time.Now()
	n.say(initrecord.Event{Event: initrecord.EventPhase, Phase: p, State: initrecord.StateStarted, Detail: detail})
}

// on says what is being done in the phase.
func (n *narrator) on(detail string) {
	n.say(initrecord.Event{Event: initrecord.EventPhase, Phase: n.phase, State: initrecord.StateWorking, Detail: detail})
}

// done ends the phase.
func (n *narrator) done(detail string) { n.end(initrecord.StateDone, detail) }

func (n *narrator) end(state initrecord.State, detail string) {
	if n.phase == "" {
		return
	}
	n.say(initrecord.Event{
		Event: initrecord.EventPhase, Phase: n.phase, State: state, Detail: detail, Seconds: seconds(time.Since(n.since)),
	})
}

// output is a line that a program printed.
func (n *narrator) output(line string) {
	if strings.TrimSpace(line) == "" {
		return
	}
	n.say(initrecord.Event{Event: initrecord.EventOutput, Phase: n.phase, Detail: line})
}

// seconds is a duration as the log has it, to the millisecond.
func seconds(d time.Duration) float64 { return float64(d.Milliseconds()) / 1000 }

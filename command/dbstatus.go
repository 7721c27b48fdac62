package command

import (
	"fmt"
	"strings"
	"time"

	"github.com/docker/go-units"

	"github.com/inmanta/inmanta-docker/pair"
	"github.com/inmanta/inmanta-docker/progress"
	"github.com/inmanta/inmanta-docker/ui"
)

// showPair is the pair for people.
func showPair(u *ui.UI, s pair.Status, now time.Time) {
	var rows []ui.Row
	for _, n := range s.Nodes {
		rows = append(rows, pairRow(s, n))
	}
	u.Table([]string{"NODE", "ROLE", "STATE", "TIMELINE", "POSITION", "LAG", "STORED BY BOTH"}, rows)
	u.Line(pairSentence(s))
	for _, note := range pairNotes(s, now) {
		u.Line(note)
	}
}

// pairRow is a node's row.
func pairRow(s pair.Status, n pair.Node) ui.Row {
	mark := progress.Done
	switch {
	case !n.Answers || n.State == pair.Refusing:
		mark = progress.Failed
	case !s.Durable:
		mark = progress.Warning
	}
	role, timeline, position, lag, both := "-", "-", "-", "-", "-"
	if n.Role != "" {
		role = n.Role
	}
	if n.Timeline > 0 {
		timeline, position = fmt.Sprint(n.Timeline), n.Position
	}
	_, other := s.Node(n.Name)
	switch {
	case n.Leads():
		both = yesNo(s.Durable, "durable", "NOT durable")
	case n.Role == pair.Standby:
		both = yesNo(n.InStep, "in step", "NOT in step")
		if r := other.Replication; other.Leads() && r != nil {
			lag = units.BytesSize(float64(r.LagBytes))
			if r.LagSeconds >= 0.1 {
				lag += fmt.Sprintf(", %.1fs", r.LagSeconds)
			}
		}
	}
	return ui.Row{Status: mark, Cells: []string{n.Name, role, n.Doing(), timeline, position, lag, both}}
}

func yesNo(is bool, yes, no string) string {
	if is {
		return yes
	}
	return no
}

// pairSentence is the verdict and what to do.
func pairSentence(s pair.Status) string {
	if s.Fix == "" {
		return s.Verdict
	}
	return s.Verdict + "\n→ " + s.Fix
}

// muchKept is when what a primary keeps for its standby is worth a word, in bytes.
const muchKept = 256 << 20

// pairNotes are what else there is to say of the two.
func pairNotes(s pair.Status, now time.Time) []string {
	var notes []string
	for _, n := range s.Nodes {
		if !n.Answers {
			continue
		}
		if n.Waiting > 0 && !s.Durable {
			notes = append(notes, fmt.Sprintf("%s: %d commits wait", n.Name, n.Waiting))
		}
		if slot := n.Slot; slot != nil && (slot.KeptBytes > muchKept || slot.State != "reserved") {
			_, other := s.Node(n.Name)
			notes = append(notes, fmt.Sprintf("%s keeps %s of its log for %s (%s)", n.Name, units.BytesSize(float64(slot.KeptBytes)), other.Name, slot.State))
		}
		if n.Timeline > 0 && !n.Checksums {
			notes = append(notes, n.Name+" has no data checksums: it was made without, so damaged pages are not found out")
		}
		if len(n.Collations) > 0 {
			notes = append(notes, fmt.Sprintf("%s sorts otherwise than its indexes were made with: REINDEX them (%s)", n.Name, strings.Join(n.Collations, ", ")))
		}
		if f := n.LastFailure; !f.At.IsZero() {
			notes = append(notes, fmt.Sprintf("%s, %s ago: %s", n.Name, units.HumanDuration(now.Sub(f.At)), f.What))
		}
	}
	return notes
}

// pairLine is the pair for status: which is which, and the verdict.
func pairLine(s pair.Status) string {
	if !s.Durable {
		return pairSentence(s)
	}
	_, standby := s.Node(s.Primary)
	return fmt.Sprintf("%s is the primary, %s stands by; %s", s.Primary, standby.Name, s.Verdict)
}

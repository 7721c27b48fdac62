package postgres

import (
	"fmt"
	"strconv"
	"strings"
)

// Position is a place in the write-ahead log: a byte's number.
type Position uint64

// String is PostgreSQL's way to write a position: two hexadecimal halves.
func (p Position) String() string { return fmt.Sprintf("%X/%X", uint64(p)>>32, uint64(p)&0xffffffff) }

// MarshalText writes a position as PostgreSQL does.
func (p Position) MarshalText() ([]byte, error) { return []byte(p.String()), nil }

// UnmarshalText reads what MarshalText writes.
func (p *Position) UnmarshalText(text []byte) (err error) {
	*p, err = parsePosition(string(text))
	return err
}

func parsePosition(text string) (Position, error) {
	high, low, ok := strings.Cut(text, "/")
	h, err1 := strconv.ParseUint(high, 16, 32)
	l, err2 := strconv.ParseUint(low, 16, 32)
	if !ok || err1 != nil || err2 != nil {
		return 0, fmt.Errorf("%q is no position in the write-ahead log", text)
	}
	return Position(h<<32 | l), nil
}

// controlData is what the cluster's control file says of it.
type controlData struct {
	System string
	// State is in pg_controldata's words: "in production", "shut down", …
	State      string
	Timeline   uint32
	Checkpoint Position
	// RecoveryEnd is how far a standby has to replay at the least; 0/0 for others.
	RecoveryEnd Position
	Checksums   bool
}

// end is the least that the cluster holds: its last checkpoint's record begins
// at Checkpoint, so something is behind that, too.
func (c controlData) end() Position { return max(c.Checkpoint+1, c.RecoveryEnd) }

// clean says that the server was stopped in its own time.
func (c controlData) clean() bool { return strings.HasPrefix(c.State, "shut down") }

// parseControlData reads what pg_controldata prints in the C locale.
func parseControlData(text string) (controlData, error) {
	fields := map[string]string{}
	for line := range strings.Lines(text) {
		if name, value, ok := strings.Cut(line, ":"); ok {
			fields[name] = strings.TrimSpace(value)
		}
	}
	var c controlData
	var err error
	number := func(name string) uint64 {
		n, e := strconv.ParseUint(fields[name], 10, 32)
		if e != nil && err == nil {
			err = fmt.Errorf("pg_controldata says %q of %q", fields[name], name)
		}
		return n
	}
	at := func(name string) Position {
		p, e := parsePosition(fields[name])
		if e != nil && err == nil {
			err = fmt.Errorf("pg_controldata, %q: %w", name, e)
		}
		return p
	}
	c.System, c.State = fields["Database system identifier"], fields["Database cluster state"]
	if _, e := strconv.ParseUint(c.System, 10, 64); e != nil {
		return controlData{}, fmt.Errorf("pg_controldata says %q of the system identifier", c.System)
	}
	c.Timeline = uint32(max(number("Latest checkpoint's TimeLineID"), recoveryTimeline(fields)))
	c.Checkpoint, c.RecoveryEnd = at("Latest checkpoint location"), at("Minimum recovery ending location")
	c.Checksums = number("Data page checksum version") > 0
	return c, err
}

// recoveryTimeline is the one that a standby has reached, which its last
// checkpoint may not have.
func recoveryTimeline(fields map[string]string) uint64 {
	n, _ := strconv.ParseUint(fields["Min recovery ending loc's timeline"], 10, 32) // 0 for all but standbys
	return n
}

// Branch is where one timeline left another: the end of it in the history of
// those after it.
type Branch struct {
	Timeline uint32   `json:"timeline"`
	End      Position `json:"end"`
}

// parseHistory reads a timeline's history file: a line for each one before it.
func parseHistory(text string) ([]Branch, error) {
	var branches []Branch
	for line := range strings.Lines(text) {
		line, _, _ = strings.Cut(line, "#")
		fields := strings.Fields(line)
		if len(fields) == 0 {
			continue
		}
		if len(fields) < 2 {
			return nil, fmt.Errorf("%q is no line of a timeline's history", strings.TrimSpace(line))
		}
		timeline, err := strconv.ParseUint(fields[0], 10, 32)
		if err != nil {
			return nil, fmt.Errorf("%q is no timeline", fields[0])
		}
		end, err := parsePosition(fields[1])
		if err != nil {
			return nil, err
		}
		branches = append(branches, Branch{uint32(timeline), end})
	}
	return branches, nil
}

// parted says whether a cluster that is at end of a timeline holds something
// that the primary's timeline, with its history, does not.
func parted(timeline uint32, end Position, primary uint32, history []Branch) bool {
	if timeline == primary {
		return false
	}
	for _, b := range history {
		if b.Timeline == timeline {
			return end > b.End
		}
	}
	return true // not in its history at all
}

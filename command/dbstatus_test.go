package command

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/inmanta/inmanta-docker/pair"
	"github.com/inmanta/inmanta-docker/progress"
)

// A row says of a node what an operator decides by.
func TestPairRow(t *testing.T) {
	t.Parallel()
	primary := pair.Node{Name: "db", ContainerState: "running", Answers: true, Said: pair.Said{
		Role: pair.Primary, State: pair.Serving, Running: true, Strict: true, Durable: true, Timeline: 3, Position: "0/5000060",
		Replication: &pair.Replication{LagBytes: 3 << 20, LagSeconds: 1.25},
	}}
	standby := pair.Node{Name: "db-replica", ContainerState: "running", Answers: true, Said: pair.Said{
		Role: pair.Standby, State: pair.Following, Running: true, InStep: true, Timeline: 3, Position: "0/5000060",
	}}
	late := standby
	late.InStep = false
	waits := primary
	waits.Durable = false
	gone := pair.Node{Name: "db-replica", ContainerState: "exited"}
	for name, c := range map[string]struct {
		a, b   pair.Node
		of     string
		status progress.Status
		cells  []string
	}{
		"primary":         {primary, standby, "db", progress.Done, []string{"db", "primary", "serving", "3", "0/5000060", "-", "durable"}},
		"standby":         {primary, standby, "db-replica", progress.Done, []string{"db-replica", "standby", "following", "3", "0/5000060", "3MiB, 1.2s", "in step"}},
		"a late standby":  {waits, late, "db-replica", progress.Warning, []string{"db-replica", "standby", "following", "3", "0/5000060", "3MiB, 1.2s", "NOT in step"}},
		"a primary alone": {primary, gone, "db", progress.Warning, []string{"db", "primary", "serving", "3", "0/5000060", "-", "NOT durable"}},
		"one that is gone": {primary, gone, "db-replica", progress.Failed, []string{
			"db-replica", "-", "down: its container is exited", "-", "-", "-", "-",
		}},
	} {
		t.Run(name, func(t *testing.T) {
			s := pair.Judge([]pair.Node{c.a, c.b})
			n, _ := s.Node(c.of)
			row := pairRow(s, n)
			if row.Status != c.status || !slices.Equal(row.Cells, c.cells) {
				t.Errorf("the row is %s %q\nwant %s %q", row.Status, row.Cells, c.status, c.cells)
			}
		})
	}
}

// What else there is to know is said once it is worth it.
func TestPairNotes(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)
	quiet := pair.Node{Name: "db", ContainerState: "running", Answers: true, Said: pair.Said{
		Role: pair.Primary, State: pair.Serving, Running: true, Durable: true, Timeline: 1, Checksums: true, Slot: &pair.Slot{State: "reserved", KeptBytes: 16 << 20},
	}}
	loud := quiet
	loud.Checksums, loud.Durable, loud.Waiting = false, false, 7
	loud.Slot = &pair.Slot{State: "extended", KeptBytes: 2 << 30}
	loud.Collations = []string{"inmanta: 2.36, now 2.41"}
	loud.LastFailure = pair.Failure{At: now.Add(-time.Minute), What: "no room"}
	other := pair.Node{Name: "db-replica", ContainerState: "exited"}
	if got := pairNotes(pair.Judge([]pair.Node{quiet, other}), now); len(got) != 0 {
		t.Errorf("of one that is well it says %q", got)
	}
	got := strings.Join(pairNotes(pair.Judge([]pair.Node{loud, other}), now), "\n")
	for _, words := range []string{
		"db: 7 commits wait", "db keeps 2GiB of its log for db-replica (extended)", "db has no data checksums",
		"REINDEX them (inmanta: 2.36, now 2.41)", "db, About a minute ago: no room",
	} {
		if !strings.Contains(got, words) {
			t.Errorf("it does not say %q:\n%s", words, got)
		}
	}
}

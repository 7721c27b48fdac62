package command

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/inmanta/inmanta-docker/backup"
	"github.com/inmanta/inmanta-docker/deployment"
	"github.com/inmanta/inmanta-docker/orchestrator"
	"github.com/inmanta/inmanta-docker/problem"
	"github.com/inmanta/inmanta-docker/progress"
	"github.com/inmanta/inmanta-docker/sidecar/halt"
)

// Environments that somebody has left halted are on record until they are resumed, and
// no longer: the next backup resumes those that are, whoever has halted them since.
func TestHaltedOnRecord(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		said   string
		err    error
		left   int
		reason string
	}{
		"resumed":                          {halt.Halted + "\n" + halt.Resumed + "\n", nil, 0, ""},
		"busy for too long, and resumed":   {halt.Resumed + "\n", errors.New("it still compiles"), 0, "environments-busy"},
		"neither halted nor resumed":       {"", errors.New("HALTED"), 1, "environments-halted"},
		"halted, and then nothing is said": {halt.Halted + "\n", errors.New("gone"), 1, "environments-halted"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := survey{deployment: deployment.Deployment{Dir: t.TempDir()}}
			var record backup.Record
			if err := record.Change(s.deployment.Dir, func(r *backup.Record) { r.Halted = []string{"e"} }); err != nil {
				t.Fatal(err)
			}
			h := &stillness{begun: time.Now(), report: progress.Discard, letGo: func() {}, done: make(chan error, 1), said: awaitLine(halt.Halted)}
			fmt.Fprint(h.said, c.said)
			h.done <- c.err
			err := h.end(s, &record)
			var p problem.Problem
			if errors.As(err, &p); p.ID != c.reason {
				t.Errorf("it says %v", err)
			}
			read, err := backup.Remembered(s.deployment.Dir)
			if err != nil || len(read.Halted) != c.left || len(record.Halted) != c.left {
				t.Errorf("on record are %v, and read are %v, %v", record.Halted, read.Halted, err)
			}
			if err := h.end(s, &record); err != nil {
				t.Errorf("the second time it says %v", err)
			}
		})
	}
}

// A backup of an orchestrator that is down leaves on record what an earlier one has
// left halted.
func TestNothingToHalt(t *testing.T) {
	t.Parallel()
	s := survey{deployment: deployment.Deployment{Dir: t.TempDir()}}
	record := backup.Record{Halted: []string{"e"}}
	still, err := s.halt(t.Context(), &record, "", nil, progress.Discard)
	if err != nil {
		t.Fatal(err)
	}
	if err := still.end(s, &record); err != nil || len(record.Halted) != 1 {
		t.Errorf("on record are %v, %v", record.Halted, err)
	}
}

// What runs and cannot be halted is not said to be of one moment.
func TestUnheard(t *testing.T) {
	t.Parallel()
	unwell := fmt.Errorf("%w, and reports a warning", orchestrator.ErrLogin)
	for name, c := range map[string]struct {
		silent, online bool
		err            error
		want           string
	}{
		"down, or answering":             {false, false, nil, ""},
		"it asks for a login":            {true, false, nil, "orchestrator-login"},
		"the same, online":               {true, true, nil, ""},
		"unwell besides":                 {true, false, unwell, "orchestrator-login"},
		"the same as well, online":       {true, true, unwell, ""},
		"it hangs":                       {true, true, orchestrator.ErrTimeout, "orchestrator-silent"},
		"not all of it answers":          {false, false, errors.New("500"), "orchestrator-silent"},
		"it hangs, and nobody is halted": {true, false, orchestrator.ErrTimeout, "orchestrator-silent"},
	} {
		var p problem.Problem
		err := unheard("/srv", c.silent, c.online, c.err)
		if errors.As(err, &p); p.ID != c.want || err != nil && !strings.Contains(p.Fix, "stop") {
			t.Errorf("%s: it says %v", name, err)
		}
	}
	for _, c := range []struct {
		up, online, want bool
	}{{true, false, true}, {true, true, false}, {false, true, true}, {false, false, true}} {
		if got := (running{up: c.up}).consistent(c.online); got != c.want {
			t.Errorf("%+v: %t", c, got)
		}
	}
}

// A deployment of which nobody knows whose data it has is not healthy.
func TestHalfRestored(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		is    health
		phase backup.Phase
		want  health
		says  int
	}{
		{healthy, backup.Loading, healthy, 0}, {healthy, backup.Swapping, unhealthy, 1}, {healthy, backup.Keeping, unhealthy, 1},
		{unhealthy, backup.Starting, unhealthy, 1}, {down, backup.PuttingBack, down, 1},
	} {
		got, reasons := halfRestored(c.is, nil, backup.Journal{Where: "/b", Phase: c.phase})
		if got != c.want || len(reasons) != c.says || c.says > 0 && !strings.Contains(reasons[0], "--continue") {
			t.Errorf("%s while %s: %s, %q", c.is, c.phase, got, reasons)
		}
	}
}

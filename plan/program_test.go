package plan_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/docker/compose/v5/pkg/compose"
	"github.com/moby/moby/api/types/container"

	"github.com/inmanta/inmanta-docker/plan"
)

const programLabel = "com.inmanta.docker.program"

func TestProgramThatAContainerRuns(t *testing.T) {
	t.Parallel()
	const mounts = `services: {a: {image: a, network_mode: none, volumes: [{type: bind, source: ./program, target: /program}]}}`
	hash, err := compose.ServiceHash(load(t, mounts, nil).Services["a"])
	if err != nil {
		t.Fatal(err)
	}
	placed := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	before, after := placed.Add(-time.Hour), placed.Add(time.Hour)
	digest := strings.Repeat("new", 21) + "n"
	program := plan.Program{Path: "/srv/demo/program", Digest: digest, Since: placed}
	soon := plan.Program{Path: program.Path, Digest: digest}
	const another = "services.a.volumes: /srv/demo/program is another program than the one that it runs"
	for _, c := range []struct {
		name    string
		program plan.Program
		// made is the container's label; empty for one that the stock tool made.
		made              string
		state             container.ContainerState
		started, finished time.Time
		restarts          int
		want              plan.Action
		reasons           string
	}{
		{name: "made with it", program: program, made: digest, started: before, want: plan.Leave},
		{name: "made with it, and the same is put there again", program: soon, made: digest, started: before, want: plan.Leave},
		{name: "made with another", program: program, made: strings.Repeat("old", 22), started: before, want: plan.Recreate,
			reasons: "services.a.volumes: oldoldoldold → newnewnewnew, /srv/demo/program is another program than the one that it runs"},
		{name: "another is about to be put there", program: soon, made: strings.Repeat("old", 22), started: after, want: plan.Recreate,
			reasons: "services.a.volumes: oldoldoldold → newnewnewnew, /srv/demo/program is another program than the one that it runs"},
		{name: "made with another, restarted since", program: program, made: strings.Repeat("old", 22), started: after, finished: placed, want: plan.Leave},
		{name: "made with it, ran another meanwhile", program: program, made: digest, started: before, finished: before, restarts: 1, want: plan.Recreate, reasons: another},
		{name: "made by the stock tool after it was put there", program: program, started: after, want: plan.Leave},
		{name: "made by the stock tool before", program: program, started: before, want: plan.Recreate, reasons: another},
		{name: "made by the stock tool, about to be replaced", program: soon, started: after, want: plan.Recreate, reasons: another},
		{name: "paused", program: program, started: before, state: container.StatePaused, want: plan.Recreate, reasons: another},
		{name: "stands still", program: program, started: before, state: container.StateExited, want: plan.Start, reasons: "services.a: it ended with exit code 0"},
		{name: "another file", program: plan.Program{Path: "/srv/demo/other", Digest: digest, Since: placed}, started: before, want: plan.Leave},
		{name: "none", started: before, want: plan.Leave},
	} {
		t.Run(c.name, func(t *testing.T) {
			if c.state == "" {
				c.state = container.StateRunning
			}
			made := plan.ObservedContainer{
				ID: "id", Name: "demo-a-1", Service: "a", Number: 1, State: c.state, ConfigHash: hash,
				Started: c.started, Finished: c.finished, Restarts: c.restarts,
			}
			if c.made != "" {
				made.Config.Labels = map[string]string{programLabel: c.made}
			}
			p, err := plan.Make(plan.Desired{Project: load(t, mounts, nil), Program: c.program}, plan.Observed{
				Containers: []plan.ObservedContainer{made}, Images: map[string]plan.ImageFacts{"a": {}},
			})
			if err != nil {
				t.Fatal(err)
			}
			n := node(t, p, plan.Container, "a")
			if said := lines(n.Reasons); n.Action != c.want || n.BeyondCompose != (c.want == plan.Recreate) || said != c.reasons {
				t.Errorf("%s (beyond Compose: %v)\n%s\nwant %s\n%s", n.Action, n.BeyondCompose, said, c.want, c.reasons)
			}
		})
	}
}

// A container goes on with the program that it was started with, so one that
// takes its place makes the container again; the stock tool sees no difference
// at any time.
func TestProgramIsReplaced(t *testing.T) {
	t.Parallel()
	b := open(t, "program")
	b.program = plan.Program{Path: filepath.Join(b.dir, "program")}
	put := func(text string) {
		t.Helper()
		fresh := filepath.Join(b.dir, "fresh")
		if err := os.WriteFile(fresh, []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(fresh, b.program.Path); err != nil {
			t.Fatal(err)
		}
		b.program.Digest, b.program.Since = text, time.Now()
	}
	const files = `services:
  mounts: {image: IMAGE:1, network_mode: none, volumes: [{type: bind, source: ./program, target: /program, read_only: true, bind: {create_host_path: false}}]}
  apart: {image: IMAGE:1, network_mode: none}
`
	text := strings.ReplaceAll(files, "IMAGE", image)
	put("one")
	b.marked = true
	b.up(text)
	if p := b.plan(text); !p.Empty() {
		t.Fatalf("nothing changed, and the plan says\n%s", p)
	}
	if got := b.inspectLabels(b.container("apart"))[programLabel]; got != "" {
		t.Errorf("a container that does not mount it is marked with %q", got)
	}
	made := b.made()

	put("two")
	p := b.plan(text)
	n := node(t, p, plan.Container, "mounts")
	if n.Action != plan.Recreate || !n.BeyondCompose || lines(n.Reasons) != "services.mounts.volumes: one → two, "+b.program.Path+" is another program than the one that it runs" {
		t.Errorf("of a program that was replaced, the plan says\n%s", p)
	}
	if n := node(t, p, plan.Container, "apart"); n.Action != plan.Leave {
		t.Errorf("of a container that does not mount it, the plan says\n%s", n)
	}
	b.marked = false
	b.up(text)
	if got := b.made(); got[b.name+"-mounts-1"].ID != made[b.name+"-mounts-1"].ID {
		t.Error("the stock tool made a container again for the sake of a label")
	}

	b.marked = true
	b.up(text, forced(p)...)
	if got := b.inspectLabels(b.container("mounts"))[programLabel]; got != "two" {
		t.Errorf("the container made again is marked with %q", got)
	}
	if p := b.plan(text); !p.Empty() {
		t.Errorf("all has been done, and the plan still says\n%s", p)
	}

	// Made by the stock tool, with the program that is there.
	b.marked = false
	b.up(text, "mounts")
	if got := b.inspectLabels(b.container("mounts"))[programLabel]; got != "" {
		t.Fatalf("this is not what the stock tool makes: it is marked with %q", got)
	}
	if p := b.plan(text); !p.Empty() {
		t.Errorf("nothing changed since the stock tool made them, and the plan says\n%s", p)
	}
	put("three")
	if n := node(t, b.plan(text), plan.Container, "mounts"); n.Action != plan.Recreate {
		t.Errorf("of a container of the stock tool's whose program was replaced, the plan says\n%s", n)
	}
}

func (b *bench) inspectLabels(id string) map[string]string {
	b.Helper()
	for _, c := range b.made() {
		if c.ID == id {
			return c.Config.Labels
		}
	}
	b.Fatalf("there is no container %s", id)
	return nil
}

// Package preflight refuses what cannot work before anything is touched: all
// problems at once, each with its place and its fix.
//
// Gather, at the edge, learns facts about the host, its files and the container
// engine; Check and Static judge them, the deployment and its composed project,
// and do nothing else. A warning is what may well work, or will not for long.
//
// What nobody could find out is held against nobody: the engine of another
// machine, say, has ports and disks that cannot be seen from here.
package preflight

import (
	"fmt"

	"github.com/inmanta/inmanta-docker/deployment"
	"github.com/inmanta/inmanta-docker/problem"
	"github.com/inmanta/inmanta-docker/topology"
)

// What a deployment needs. Figures in bytes.
const (
	// oldestAPI is Engine 20.10's: the oldest that this is tested with.
	oldestAPI = "1.41"

	// leastDisk holds the two images (0.4 and 0.5 GB), a new database (50 MB)
	// and the write-ahead log that PostgreSQL may keep (max_wal_size is 1 GB).
	leastDisk = 2 << 30
	// ampleDisk also holds the images of the next version beside these, a few
	// gigabytes of database, and the logs.
	ampleDisk = 10 << 30

	// leastMemory is what a machine sold with 1 GiB shows: its kernel keeps up
	// to an eighth. Idle, the orchestrator takes 115 MiB and the database 50.
	leastMemory = gibibyte - gibibyte/8
	// ampleMemory is the same of 2 GiB: each compile is a process of its own
	// beside the server.
	ampleMemory = 2*gibibyte - 2*gibibyte/8

	gibibyte = 1 << 30
)

// Check judges a deployment by all the facts there are. The order is that in
// which a person would mend things: settings, files, engine, images, names,
// ports, data, room. Problems forbid `up`; warnings do not.
func Check(d deployment.Deployment, s topology.Stack, f Facts) (problems, warnings problem.List) {
	r := report{deployment: d, stack: s, facts: f}
	r.static()
	r.envModes()
	if s.Project != nil {
		r.files()
		r.keys()
		r.rotation()
		r.dumps()
		r.archive()
		r.module()
		r.certificates()
	}
	if f.Answered {
		r.engine()
	}
	if f.Answered && s.Project != nil {
		r.images()
		r.names()
		r.ports()
		r.databases()
		r.parted()
		r.volumes()
		r.room()
	}
	return unique(r.problems), unique(r.warnings)
}

// Static judges what needs no facts: the settings and the composed project. Of
// a Stack that could not be composed (its Project is nil) only the settings are
// judged, so that they are reported together with what kept it from composing.
func Static(d deployment.Deployment, s topology.Stack) (problems, warnings problem.List) {
	r := report{deployment: d, stack: s}
	r.static()
	return unique(r.problems), unique(r.warnings)
}

// report is one run of the checks.
type report struct {
	deployment deployment.Deployment
	stack      topology.Stack
	facts      Facts

	problems, warnings problem.List
}

func (r *report) refuse(p problem.Problem) { r.problems = append(r.problems, p) }

func (r *report) warn(p problem.Problem) { r.warnings = append(r.warnings, p) }

func (r *report) static() {
	r.settings()
	r.misspelt()
	if r.stack.Project != nil {
		r.services()
		r.twins()
		r.sharedPorts()
		r.code()
		r.hosts()
		r.degrading()
	}
}

// unique drops what has been said before.
func unique(list problem.List) problem.List {
	type said struct{ id, where, what string }
	seen := map[said]bool{}
	var kept problem.List
	for _, p := range list {
		s := said{p.ID, p.Where, p.What}
		if !seen[s] {
			seen[s] = true
			kept = append(kept, p)
		}
	}
	return kept
}

// engine judges the engine itself.
func (r *report) engine() {
	if !tooOld(r.facts.APIVersion) {
		return
	}
	r.refuse(problem.Problem{
		ID: "engine-too-old", Where: "container engine",
		What: fmt.Sprintf("it is too old: its API is version %s, and the oldest that will do is %s (Engine 20.10)", r.facts.APIVersion, oldestAPI),
		Fix:  "upgrade it to Engine 20.10 or newer (on Debian and Ubuntu: apt-get install docker.io)",
	})
}

// room judges memory and disk.
func (r *report) room() {
	const (
		moreDisk   = "make room there (docker system df shows what the engine keeps), or move the engine's data-root to a larger disk"
		moreMemory = "give the machine more memory"
	)
	if disk := r.facts.Disk; disk.Dir != "" {
		p := problem.Problem{ID: "disk-space", Where: disk.Dir, Fix: moreDisk}
		switch {
		case disk.Free < leastDisk:
			p.What = fmt.Sprintf("the engine's disk has %s left, and at least %s are needed", humanSize(disk.Free), humanSize(leastDisk))
			r.refuse(p)
		case disk.Free < ampleDisk:
			p.What = fmt.Sprintf("the engine's disk has %s left; below %s an upgrade or a growing database soon fills it", humanSize(disk.Free), humanSize(ampleDisk))
			r.warn(p)
		}
	}
	if memory := r.facts.Memory; memory > 0 {
		p := problem.Problem{ID: "memory", Where: "container engine", Fix: moreMemory}
		switch {
		case memory < leastMemory:
			p.What = fmt.Sprintf("its machine has %s of memory, and at least 1 GiB is needed", humanSize(uint64(memory)))
			r.refuse(p)
		case memory < ampleMemory:
			p.What = fmt.Sprintf("its machine has %s of memory; below 2 GiB larger models may not compile", humanSize(uint64(memory)))
			r.warn(p)
		}
	}
}

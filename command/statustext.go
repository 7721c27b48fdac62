package command

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/docker/go-units"

	"github.com/inmanta/inmanta-docker/backup"
	"github.com/inmanta/inmanta-docker/orchestrator"
	"github.com/inmanta/inmanta-docker/plan"
	"github.com/inmanta/inmanta-docker/progress"
	"github.com/inmanta/inmanta-docker/readiness"
	"github.com/inmanta/inmanta-docker/ui"
)

// showStatus is the status for people.
func showStatus(u *ui.UI, s status, now time.Time) {
	facts := []ui.Fact{{Key: "deployment", Value: fmt.Sprintf("%s (%s)", s.Project, s.Directory)}}
	verdict := string(s.Health)
	if len(s.Reasons) > 0 {
		verdict += ": " + strings.Join(s.Reasons, "; ")
	}
	facts = append(facts, ui.Fact{Key: "health", Value: verdict})
	if s.URL != "" {
		facts = append(facts, ui.Fact{Key: "api", Value: s.URL})
	}
	if o := s.Orchestrator; o != nil {
		facts = append(facts, ui.Fact{Key: "orchestrator", Value: orchestratorLine(*o)})
		facts = append(facts, ui.Fact{Key: "extensions", Value: extensionsLine(o.Extensions)})
		facts = append(facts, ui.Fact{Key: "slices", Value: slicesLine(o.Slices)})
	}
	if d := s.Database; d != nil {
		facts = append(facts, ui.Fact{Key: "database", Value: fmt.Sprintf("PostgreSQL %s, %s, %d of %d connections",
			d.Version, units.BytesSize(float64(d.Bytes)), d.Connections, d.MaxConnections)})
	}
	if s.Pair != nil {
		facts = append(facts, ui.Fact{Key: "databases", Value: pairLine(*s.Pair)})
	}
	if s.SSH != nil {
		if s.SSH.Command != "" {
			facts = append(facts, ui.Fact{Key: "ssh", Value: s.SSH.Command})
		}
		if len(s.SSH.HostKeys) > 0 {
			facts = append(facts, ui.Fact{Key: "host keys", Value: hostKeyLines(s.SSH.HostKeys)})
		}
	}
	if s.Logrotate != nil {
		facts = append(facts, ui.Fact{Key: "logs", Value: rotationLine(*s.Logrotate, now)})
	}
	if s.Dumps != nil {
		facts = append(facts, ui.Fact{Key: "dumps", Value: dumpsLine(*s.Dumps, now)})
	}
	if s.Archive != nil {
		facts = append(facts, ui.Fact{Key: "archive", Value: archiveLine(*s.Archive, now)})
	}
	facts = append(facts, codeFacts(s)...)
	if s.Init != nil {
		facts = append(facts, ui.Fact{Key: "init", Value: s.Init.line(now)})
	}
	facts = append(facts, backupFact(backup.Record{Backups: s.Backups}, now)...)
	u.KeyValues(facts)
	if len(s.Containers) > 0 {
		u.Table([]string{"SERVICE", "CONTAINER", "STATE", "SINCE", "RESTARTS", "IMAGE"}, containerRows(s.Containers, now))
	}
	if len(s.Environments) > 0 {
		u.Table([]string{"ENVIRONMENT", "ID", "STATE", "RESOURCES", "DEPLOYING", "FAILED"}, environmentRows(s.Environments, s.HaltedForBackup))
	}
	if len(s.HaltedForBackup) > 0 {
		u.Line("What is halted for a backup is resumed when it has been taken. If none is at work, inmanta-docker up resumes it.")
	}
	if len(s.Drift) > 0 {
		u.Heading("What runs differs from the files (inmanta-docker up changes that):")
		u.Line(nodeLines(s.Drift))
	}
}

func orchestratorLine(o orchestrator.Status) string {
	return fmt.Sprintf("%s, %s, %s", o.Product, o.Edition, o.Version)
}

func hostKeyLines(keys []hostKey) string {
	var lines []string
	for _, k := range keys {
		lines = append(lines, k.Fingerprint+" "+k.Type)
	}
	return strings.Join(lines, "\n")
}

func extensionsLine(extensions []orchestrator.Extension) string {
	var parts []string
	for _, e := range extensions {
		parts = append(parts, e.Name+" "+e.Version)
	}
	return strings.Join(parts, ", ")
}

// slicesLine counts the slices and names those that do not report OK.
func slicesLine(all []orchestrator.Slice) string {
	var off []string
	for _, s := range all {
		if s.Reported != "" && s.Reported != "OK" {
			off = append(off, strings.TrimSpace(fmt.Sprintf("%s %s %s", s.Name, s.Reported, s.Message)))
		}
	}
	if len(off) == 0 {
		return fmt.Sprintf("%d, all well", len(all))
	}
	return fmt.Sprintf("%d, of which %s", len(all), strings.Join(off, "; "))
}

func containerRows(containers []readiness.Container, now time.Time) []ui.Row {
	var rows []ui.Row
	done := readiness.Done(containers)
	for _, c := range containers {
		mark := progress.Done
		switch {
		case done[c.ID]:
		case c.State != "running" || c.Health == "unhealthy":
			mark = progress.Failed
		case c.Health == "starting" && c.Restarts > 0:
			mark = progress.Warning
		}
		since := "-"
		if !c.Started.IsZero() {
			since = units.HumanDuration(now.Sub(c.Started))
		}
		rows = append(rows, ui.Row{Status: mark, Cells: []string{
			c.Service, c.Name, containerState(c), since, fmt.Sprint(c.Restarts), c.Image,
		}})
	}
	return rows
}

func environmentRows(environments []orchestrator.Environment, forBackup []string) []ui.Row {
	var rows []ui.Row
	for _, e := range environments {
		mark, state := progress.Done, "running"
		switch {
		case e.Unknown != "":
			mark, state = progress.Warning, "unknown: "+e.Unknown
		case e.Halted && slices.Contains(forBackup, e.ID):
			mark, state = progress.Warning, "halted for a backup"
		case e.Halted:
			mark, state = progress.Warning, "halted"
		case e.Compiling:
			state = "compiling"
		}
		if e.Failed > 0 {
			mark = progress.Failed
		}
		rows = append(rows, ui.Row{Status: mark, Cells: []string{
			e.Name, e.ID, state, fmt.Sprint(e.Resources), fmt.Sprint(e.Deploying), fmt.Sprint(e.Failed),
		}})
	}
	return rows
}

func nodeLines(nodes []plan.Node) string {
	var lines []string
	for _, n := range nodes {
		lines = append(lines, n.String())
	}
	return strings.Join(lines, "\n")
}

package command

import (
	"fmt"
	"strings"
	"time"

	"github.com/inmanta/inmanta-docker/progress"
	"github.com/inmanta/inmanta-docker/readiness"
	"github.com/inmanta/inmanta-docker/settings"
	"github.com/inmanta/inmanta-docker/ui"
)

// failureSections is the failure report for people.
func failureSections(r *readiness.Report) []ui.Section {
	head := ui.Section{Status: progress.Failed, Title: r.What, Text: r.Cause.Fix}
	if r.Engine != "" && !strings.Contains(r.What, r.Engine) {
		head.Facts = append(head.Facts, ui.Fact{Key: "engine", Value: r.Engine})
	}
	sections := []ui.Section{head}
	if c := r.Culprit; c != nil {
		facts := []ui.Fact{
			{Key: "container", Value: c.Name + " (" + c.Image + ")"},
			{Key: "state", Value: containerState(c.Container)},
		}
		if c.Error != "" {
			facts = append(facts, ui.Fact{Key: "error", Value: c.Error})
		}
		for _, p := range c.Probes[max(0, len(c.Probes)-3):] {
			facts = append(facts, ui.Fact{Key: "health check", Value: fmt.Sprintf("%s: exit code %d %s", p.At.Format(time.TimeOnly), p.ExitCode, p.Output)})
		}
		sections = append(sections, ui.Section{Title: "The cause", Facts: facts})
		for _, l := range c.Logs {
			sections = append(sections, ui.Section{Title: l.Source, Log: strings.Join(l.Lines, "\n")})
		}
	}
	if len(r.Blocked)+len(r.Waiting) > 0 {
		var facts []ui.Fact
		for _, w := range append(append([]readiness.Waiting{}, r.Blocked...), r.Waiting...) {
			facts = append(facts, ui.Fact{Key: w.Name, Value: w.Why})
		}
		sections = append(sections, ui.Section{Title: "Not ready either", Facts: facts})
	}
	return append(sections, ui.Section{Title: "Next", Commands: r.Next})
}

// containerState is a container's state in words.
func containerState(c readiness.Container) string {
	state := c.State
	switch {
	case c.OOMKilled:
		state += ", killed for want of memory"
	case c.State != "running" && c.State != "created":
		state += fmt.Sprintf(", exit code %d", c.ExitCode)
	}
	if c.Health != "" {
		state += ", " + c.Health
	}
	if c.Restarts > 0 {
		state += fmt.Sprintf(", restarted %d times", c.Restarts)
	}
	return state
}

// secrets are the values that no report may show. The default password is no
// secret, and hiding it would tear up every line that names the product.
func (s survey) secrets() []string {
	var secrets []string
	for _, setting := range settings.All {
		if value, _, ok := s.deployment.Setting(setting.Name); setting.Secret && ok && value != setting.Default {
			secrets = append(secrets, value)
		}
	}
	return secrets
}

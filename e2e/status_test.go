package e2e

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/inmanta/inmanta-docker/plan"
)

// An up that changes nothing says what it would change, down to the field and
// the setting; status shows the same of what runs. What they print as JSON is
// what their schemas say.
func TestPlanAndStatus(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	s.must("init", s.dir)
	const secret, another = "wellKept4711", "otherwiseKept4712"
	s.set("INMANTA_DATABASE_PASSWORD", secret)
	said := "" // all that is printed here
	keep := func(r result) result {
		said += r.stdout + r.stderr
		return r
	}

	// Nothing is there.
	s.fails(4, []string{"down", "service server has no container"}, "status")
	r := keep(s.fails(2, nil, "up", "--dry-run", "--json"))
	nothing := decoded[plan.Plan](t, "up_plan", r.stdout)
	for _, want := range []string{"network default", "volume inmanta-db-data", "volume inmanta-server-data", "volume inmanta-server-logs", "container db", "container server"} {
		if !slices.ContainsFunc(nothing.Nodes, func(n plan.Node) bool {
			return fmt.Sprintf("%s %s", n.Kind, n.Key) == want && n.Action == plan.Create
		}) {
			t.Errorf("the plan does not create %s:\n%s", want, r.stdout)
		}
	}
	if got := s.containers(); len(got) != 0 {
		t.Errorf("the dry run made %v", got)
	}
	keep(s.fails(2, []string{"create    container " + s.server()}, "up", "--dry-run"))

	// All is there.
	r = keep(s.must("up", "--json"))
	up := decoded[struct{ Serving bool }](t, "up", r.stdout)
	if !up.Serving {
		t.Errorf("up says %s", r.stdout)
	}
	keep(s.fails(0, []string{"leave     container " + s.server()}, "up", "--dry-run"))
	for verb, schema := range map[string]string{
		"preflight": "preflight", "image list": "image_list", "version": "version",
		"explain INMANTA_DATABASE_PASSWORD": "explain", "explain services.server.ports": "explain",
	} {
		decoded[any](t, schema, keep(s.must(append(strings.Fields(verb), "--json")...)).stdout)
	}

	for _, c := range []change{
		{"port", []string{"--env", fmt.Sprintf("INMANTA_ORCHESTRATOR_PORT=%d", freePort(t))}, "", []string{"server services.server.ports INMANTA_ORCHESTRATOR_PORT"}},
		{"image", []string{"--env", "INMANTA_ORCHESTRATOR_IMAGE=" + s.alias("orchestrator")}, "", []string{"server services.server.image INMANTA_ORCHESTRATOR_IMAGE"}},
		{"database image", []string{"--env", "POSTGRESQL_IMAGE=" + s.alias("postgres")}, "", []string{"db services.db.image POSTGRESQL_IMAGE"}},
		{"environment", nil, "services: {server: {environment: {INMANTA_SERVER_DUMMY: \"yes\"}}}", []string{"server services.server.environment.INMANTA_SERVER_DUMMY "}},
		{"environment from a setting", []string{"--env", "MINE=1"}, "services: {db: {environment: {MINE: \"${MINE}\"}}}", []string{"db services.db.environment.MINE MINE"}},
		{"label", nil, "services: {db: {labels: {team: network}}}", []string{"db services.db.labels.team "}},
		{"password", []string{"--env", "INMANTA_DATABASE_PASSWORD=" + another}, "", []string{"db configs.database-password INMANTA_DATABASE_PASSWORD", "server configs.database-settings INMANTA_DATABASE_PASSWORD"}},
	} {
		said += c.check(s)
	}

	// An environment is shown, halted as it is.
	project := s.project("shown")
	var made struct{ Data struct{ ID string } }
	if err := s.call(http.MethodPut, "/api/v2/environment", "", map[string]string{"project_id": project, "name": "night"}, &made); err != nil {
		t.Fatal(err)
	}
	if err := s.call(http.MethodPost, "/api/v2/actions/environment/halt", made.Data.ID, nil, nil); err != nil {
		t.Fatal(err)
	}
	s.healthy()
	r = keep(s.must("status"))
	for _, want := range []string{"healthy", fmt.Sprintf("http://127.0.0.1:%d", s.port), "Inmanta", "core ", "PostgreSQL 1", "night", "halted", s.server(), s.db(), s.dir} {
		if !strings.Contains(r.stdout, want) {
			t.Errorf("status does not say %q:\n%s", want, r.stdout)
		}
	}
	r = keep(s.must("status", "--json"))
	found := decoded[seen](t, "status", r.stdout)
	if found.Health != "healthy" || len(found.Containers) != 2 || len(found.Drift) != 0 || found.Project != s.name ||
		len(found.Environments) != 1 || found.Environments[0].Name != "night" || !found.Environments[0].Halted ||
		found.Orchestrator == nil || len(found.Orchestrator.Slices) < 10 || found.Database == nil || found.Database.Bytes == 0 {
		t.Errorf("status says %s", r.stdout)
	}

	// Somebody edits .env: what runs is well, and is something else.
	before := s.containers()
	s.port = freePort(t)
	s.set("INMANTA_ORCHESTRATOR_PORT", fmt.Sprint(s.port))
	keep(s.fails(0, []string{"healthy", "differs from the files", "services.server.ports", "INMANTA_ORCHESTRATOR_PORT"}, "status"))
	r = keep(s.fails(0, nil, "status", "--json"))
	if found = decoded[seen](t, "status", r.stdout); len(found.Drift) != 1 || found.Drift[0].Key != "server" || found.Drift[0].Action != plan.Recreate {
		t.Errorf("the drift is %+v", found.Drift)
	}
	keep(s.must("up"))
	s.serves()
	if after := s.containers(); slices.Equal(after, before) || !slices.Contains(after, s.docker("inspect", "-f", "{{.Id}}", s.db())) {
		t.Errorf("up made %v of %v", after, before)
	}
	keep(s.fails(0, nil, "up", "--dry-run"))

	// Part of it is gone, and then all.
	s.must("stop", "server")
	keep(s.fails(3, []string{"unhealthy", s.server() + " is exited, exit code 0"}, "status"))
	r = keep(s.fails(3, nil, "status", "--json"))
	if found = decoded[seen](t, "status", r.stdout); found.Health != "unhealthy" || found.Database == nil || found.Orchestrator != nil {
		t.Errorf("status says %s", r.stdout)
	}
	keep(s.fails(2, []string{"start     container " + s.server()}, "up", "--dry-run"))
	s.must("stop")
	keep(s.fails(4, []string{"down", s.db() + " is exited"}, "status"))
	r = keep(s.fails(4, nil, "status", "--json"))
	if found = decoded[seen](t, "status", r.stdout); found.Health != "down" || len(found.Containers) != 2 {
		t.Errorf("status says %s", r.stdout)
	}
	for _, password := range []string{secret, another} {
		if at := strings.Index(said, password); at >= 0 {
			t.Errorf("a password is shown: %s", said[max(0, at-200):at+50])
		}
	}
}

// seen is as much of status's JSON as is looked at here.
type seen struct {
	Health, Project string
	Containers      []struct{ Name string }
	Drift           []plan.Node
	Environments    []struct {
		Name   string
		Halted bool
	}
	Orchestrator *struct{ Slices []struct{ Name string } }
	Database     *struct{ Bytes int }
}

// change is one thing that an operator may change, and what the plan must say of it.
type change struct {
	name  string
	flags []string
	// overlay is the text of an overlay of the operator's own.
	overlay string
	// reasons are each a service, a path and the settings behind it.
	reasons []string
}

// check shows that the plan says it, and nothing else; it returns what was printed.
func (c change) check(s *stack) string {
	s.t.Helper()
	args := slices.Clone(c.flags)
	if c.overlay != "" {
		s.write("own.yml", c.overlay)
		args = append(args, "-f", "docker-compose.yml", "-f", "own.yml")
	}
	r := s.fails(2, nil, append(args, "up", "--dry-run", "--json")...)
	var reasons []string
	for _, n := range decoded[plan.Plan](s.t, "up_plan", r.stdout).Nodes {
		if n.Action != plan.Leave && (n.Action != plan.Recreate || n.Kind != plan.Container) {
			s.t.Errorf("%s: the plan would %s %s %s", c.name, n.Action, n.Kind, n.Name)
		}
		for _, reason := range n.Reasons {
			reasons = append(reasons, n.Key+" "+reason.Path+" "+strings.Join(reason.Settings, ","))
		}
	}
	if !slices.Equal(reasons, c.reasons) {
		s.t.Errorf("%s: the plan's reasons are %q, want %q", c.name, reasons, c.reasons)
	}
	text := s.fails(2, nil, append(args, "up", "--dry-run")...)
	for _, reason := range c.reasons {
		for _, word := range strings.Fields(reason)[1:] {
			if !strings.Contains(text.stdout, word) {
				s.t.Errorf("%s: the plan does not name %s:\n%s", c.name, word, text.stdout)
			}
		}
	}
	return r.stdout + r.stderr + text.stdout + text.stderr
}

// alias gives an image of the deployment another name, for as long as the
// scenario runs. Its registry does not answer, so it is not looked for there.
func (s *stack) alias(of string) string {
	s.t.Helper()
	setting, name := "INMANTA_ORCHESTRATOR_IMAGE", "127.0.0.1:1/"+s.name+"/orchestrator:1"
	if of == "postgres" {
		setting, name = "POSTGRESQL_IMAGE", "127.0.0.1:1/"+s.name+"/postgres:"+tools.images["POSTGRESQL_VERSION"]
	}
	s.tag(tools.images[setting], name)
	return name
}

package command

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/compose-spec/compose-go/v2/types"

	"github.com/inmanta/inmanta-docker/bundle"
	"github.com/inmanta/inmanta-docker/deployment"
	"github.com/inmanta/inmanta-docker/orchestrator"
	"github.com/inmanta/inmanta-docker/problem"
	"github.com/inmanta/inmanta-docker/topology"
)

// What would share the deployment's data, or lead to what it manages, is refused:
// a stack that verifies a backup must not touch either.
func TestKeepsApart(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		change func(p *types.Project)
		want   string // what is said; empty where nothing is
	}{
		"as our files have it": {func(*types.Project) {}, ""},
		"a volume of that name": {func(p *types.Project) {
			p.Volumes["inmanta-db-data"] = types.VolumeConfig{Name: "precious"}
		}, "volume precious"},
		"of another project": {func(p *types.Project) {
			p.Volumes["inmanta-db-data"] = types.VolumeConfig{Name: "inmanta_inmanta-db-data"}
		}, "volume inmanta_inmanta-db-data"},
		"external": {func(p *types.Project) {
			p.Volumes["inmanta-db-data"] = types.VolumeConfig{Name: "inmanta-verify_inmanta-db-data", External: true}
		}, "volume inmanta-verify_inmanta-db-data"},
		"a place of its own": {func(p *types.Project) {
			p.Volumes["inmanta-db-data"] = types.VolumeConfig{Name: "inmanta-verify_inmanta-db-data", DriverOpts: types.Options{"device": "/data"}}
		}, "volume inmanta-verify_inmanta-db-data"},
		"a folder of the host": {func(p *types.Project) {
			db := p.Services["db"]
			db.Volumes = []types.ServiceVolumeConfig{{Type: types.VolumeTypeBind, Source: "/data/pg", Target: databaseFolder}}
			p.Services["db"] = db
		}, "/data/pg"},
		"a network that leads elsewhere": {func(p *types.Project) { p.Networks["default"] = types.NetworkConfig{Name: "x"} }, "network default"},
		"the host's network": {func(p *types.Project) {
			server := p.Services["server"]
			server.NetworkMode = "host"
			p.Services["server"] = server
		}, "network_mode: host"},
		"volumes of another container": {func(p *types.Project) {
			server := p.Services["server"]
			server.VolumesFrom = []string{"container:inmanta-db"}
			p.Services["server"] = server
		}, "volumes_from"},
		"one more network": {func(p *types.Project) {
			p.Networks["devices"] = types.NetworkConfig{Name: "devices", External: true, Internal: true}
		}, "network devices"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			project := &types.Project{
				Volumes:  types.Volumes{"inmanta-db-data": {Name: "inmanta-verify_inmanta-db-data"}},
				Networks: types.Networks{"default": {Internal: true}},
				Services: types.Services{"db": {Name: "db"}, "server": {Name: "server", Volumes: []types.ServiceVolumeConfig{
					{Type: types.VolumeTypeBind, Source: "/srv/license", ReadOnly: true}, {Type: types.VolumeTypeVolume, Source: "inmanta-db-data"},
				}}},
			}
			c.change(project)
			err := survey{stack: topology.Stack{Project: project}}.keepsApart("inmanta-verify")
			switch found := problem.In(err); {
			case c.want == "" && err != nil:
				t.Errorf("it is refused: %v", err)
			case c.want != "" && (len(found) != 1 || !strings.Contains(found[0].Error(), c.want) || found[0].Fix == ""):
				t.Errorf("it says %v", found)
			}
		})
	}
}

// Somebody's own files are part of it, whatever they say of sidecars that are left out;
// the networks that they have it on are not its own, and volumes that it would share are refused.
func TestApart(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ own, want string }{
		"of sidecars": {`services: {ssh: {environment: {A: b}}, db-replica: {ports: ["5433:5432"]}, code: {}, init: {}, logrotate: {}, db-dump: {}, db-archive: {}, server: {environment: {A: b}}}`, ""},
		"a network":   {`{services: {server: {networks: [devices], environment: {A: b}}}, networks: {devices: {external: true}}}`, ""},
		"a volume":    {`volumes: {inmanta-db-data: {external: true, name: precious}}`, "volume precious"},
		"no compose":  {`services: 3`, "services"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			if _, err := deployment.Init(dir, "", nil, false); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(dir, "own.yml"), []byte(c.own), 0o600); err != nil {
				t.Fatal(err)
			}
			request := deployment.Request{WorkDir: dir, Files: []string{"docker-compose.yml", "docker-compose.ssh.yml", "own.yml"}}
			d, err := deployment.Open(request)
			if err != nil {
				t.Fatal(err)
			}
			s, clean, err := (&app{request: request}).composeApart(t.Context(), d, "a-verify")
			if err == nil {
				clean()
			}
			if c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) || c.want == "" && err != nil {
				t.Fatalf("it says %v", err)
			}
			if err != nil {
				return
			}
			if names := s.stack.Project.ServiceNames(); !slices.Equal(names, []string{"db", "server"}) {
				t.Errorf("it has the services %v", names)
			}
			if value := s.stack.Project.Services["server"].Environment["A"]; value == nil || *value != "b" {
				t.Errorf("the server has %v", s.stack.Project.Services["server"].Environment)
			}
		})
	}
}

// What is not marked is taken for a deployment's, which verifying must leave alone;
// what is not removed again would be in the way of the next one.
func TestAllOfAStackApartIsMarked(t *testing.T) {
	t.Parallel()
	p := &types.Project{
		Services: types.Services{"db": {}, "server": {Labels: types.Labels{"a": "b"}}},
		Volumes:  types.Volumes{"data": {}, "logs": {}}, Networks: types.Networks{"default": {}},
	}
	mark(p)
	for name, labels := range map[string]types.Labels{
		"db": p.Services["db"].Labels, "server": p.Services["server"].Labels, "data": p.Volumes["data"].Labels, "logs": p.Volumes["logs"].Labels, "network": p.Networks["default"].Labels,
	} {
		if labels[apartLabel] != "true" {
			t.Errorf("%s has the labels %v", name, labels)
		}
	}
	if p.Services["server"].Labels["a"] != "b" {
		t.Error("a label is lost")
	}
}

func TestSameEnvironments(t *testing.T) {
	t.Parallel()
	want := []bundle.Environment{{ID: "1", Name: "a", Resources: 3}, {ID: "2", Name: "b", Resources: -1}}
	same := []orchestrator.Environment{{ID: "2", Name: "b", Resources: 9}, {ID: "1", Name: "a", Resources: 3}}
	for name, c := range map[string]struct {
		change func(e []orchestrator.Environment) []orchestrator.Environment
		says   string
	}{
		"the same":       {func(e []orchestrator.Environment) []orchestrator.Environment { return e }, ""},
		"one is missing": {func(e []orchestrator.Environment) []orchestrator.Environment { return e[:1] }, "environment a is missing"},
		"one is renamed": {func(e []orchestrator.Environment) []orchestrator.Environment { e[1].Name = "c"; return e }, "environment a is called c"},
		"resources are":  {func(e []orchestrator.Environment) []orchestrator.Environment { e[1].Resources = 2; return e }, "has 2 resources, not 3"},
		"nobody could tell": {func(e []orchestrator.Environment) []orchestrator.Environment {
			e[1].Unknown, e[1].Resources = "x", 0
			return e
		}, ""},
		"one too many": {func(e []orchestrator.Environment) []orchestrator.Environment {
			return append(e, orchestrator.Environment{ID: "3"})
		}, "there are 3 environments, not 2"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			said := bundle.Header{Orchestrator: bundle.Orchestrator{Version: "2027.2"}}
			found := status{Environments: c.change(slices.Clone(same)), Orchestrator: &orchestrator.Status{}}
			if err := sameEnvironments("b", bundle.Header{}, nil, found); err != nil {
				t.Errorf("of an orchestrator that was down it says %v", err)
			}
			if err := sameEnvironments("b", said, want, status{}); err != nil {
				t.Errorf("of one that asks for a login it says %v", err)
			}
			err := sameEnvironments("b", said, want, found)
			if c.says == "" && err != nil || c.says != "" && (err == nil || !strings.Contains(err.Error(), c.says)) {
				t.Errorf("it says %v", err)
			}
		})
	}
}

// Who somebody is in an address is nothing for a file that others may read.
func TestLoginsAreLeftOut(t *testing.T) {
	t.Parallel()
	for value, want := range map[string]string{
		"https://user:token@git.example.com/a.git":            "https://git.example.com/a.git",
		"https://a@x/simple https://b:c@y/simple":             "https://x/simple https://y/simple",
		"git@github.com:inmanta/a.git":                        "git@github.com:inmanta/a.git",
		"https://example.com/a@b":                             "https://example.com/a@b",
		"ghcr.io/inmanta/orchestrator@sha256:0123":            "ghcr.io/inmanta/orchestrator@sha256:0123",
		"https://user:p@ss@example.com/a":                     "https://example.com/a",
		"http://proxy.example.com:3128":                       "http://proxy.example.com:3128",
		"https://user:p%40ss@example.com/a https://plain/b@c": "https://example.com/a https://plain/b@c",
	} {
		if got := login.ReplaceAllString(value, "://"); got != want {
			t.Errorf("%s becomes %s", value, got)
		}
	}
}

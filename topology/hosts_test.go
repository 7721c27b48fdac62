package topology

import (
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/compose-spec/compose-go/v2/types"

	"github.com/inmanta/inmanta-docker/deployment"
)

// Each database of two machines is that of docker-compose.db-replica.yml, but for
// what it takes to be reached from elsewhere.
func TestDatabasesOnTwoMachinesAreThoseOnOne(t *testing.T) {
	env := map[string]string{".env": "INMANTA_DATABASE_IP=10.0.0.1\nINMANTA_DATABASE_PEER_HOST=10.0.0.2\n"}
	dir := directory(t, "lab", env)
	compose := func(files ...string) *types.Project {
		t.Helper()
		_, s, err := load1(t, deployment.Request{WorkDir: dir, Files: files})
		if err != nil {
			t.Fatal(err)
		}
		return s.Project
	}
	together := compose(deployment.Base, deployment.OverlayFile(Replica))
	first := compose(deployment.Base, deployment.OverlayFile("db-primary"))
	second := compose(deployment.OverlayFile("db-standby"))
	if names := second.ServiceNames(); !slices.Equal(names, []string{Replica}) {
		t.Errorf("the second machine has %v", names)
	}
	for name, apart := range map[string]types.ServiceConfig{Database: first.Services[Database], Replica: second.Services[Replica]} {
		var published []string
		for _, p := range apart.Ports {
			published = append(published, p.HostIP+":"+p.Published)
		}
		if want := []string{"10.0.0.1:5432", "10.0.0.1:5433"}; !slices.Equal(published, want) {
			t.Errorf("%s is published at %v, want %v", name, published, want)
		}
		if last := len(apart.Volumes) - 1; apart.Volumes[last].Target != "/etc/inmanta-postgres" {
			t.Errorf("%s mounts %+v last, want the certificates", name, apart.Volumes[last])
		} else {
			apart.Volumes = apart.Volumes[:last]
		}
		apart.Ports = nil
		maps.DeleteFunc(apart.Environment, func(name string, _ *string) bool {
			return strings.HasPrefix(name, "INMANTA_PAIR_PEER_") || name == "INMANTA_PAIR_TLS"
		})
		own := together.Services[name]
		own.CustomLabels, apart.CustomLabels = nil, nil // they say from which files
		slices.Sort(own.CapAdd)
		slices.Sort(apart.CapAdd)
		if !reflect.DeepEqual(own, apart) {
			t.Errorf("%s differs:\n%+v\n%+v", name, own, apart)
		}
	}
	server := first.Services[Orchestrator].Environment
	if got := *server["PGHOST"]; got != "db,10.0.0.2" {
		t.Errorf("the orchestrator looks for its database at %q", got)
	}
}

package topology

import (
	"reflect"
	"testing"

	"github.com/compose-spec/compose-go/v2/types"
)

func TestWaves(t *testing.T) {
	needs := func(names ...string) types.ServiceConfig {
		s := types.ServiceConfig{DependsOn: types.DependsOnConfig{}}
		for _, n := range names {
			s.DependsOn[n] = types.ServiceDependency{Condition: types.ServiceConditionHealthy}
		}
		return s
	}
	project := &types.Project{Services: types.Services{
		"db": needs(), "server": needs("db"), "ssh": needs("server", "gone"), "init": needs("server", "db"), "alone": needs(),
	}}
	want := [][]string{{"alone", "db"}, {"server"}, {"init", "ssh"}}
	if got := Waves(project); !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

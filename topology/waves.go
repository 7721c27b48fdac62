package topology

import (
	"slices"

	"github.com/compose-spec/compose-go/v2/types"
)

// Names in the compose files that code refers to.
const (
	Database       = "db"
	Replica        = "db-replica"
	Orchestrator   = "server"
	SSH            = "ssh"
	Logrotate      = "logrotate"
	Init           = "init"
	Code           = "code"
	DBDump         = "db-dump"
	DBArchive      = "db-archive"
	PasswordConfig = "database-password"
)

// Waves are the services in the order of their start: each wave needs only
// those before it. Within a wave the order is by name.
func Waves(project *types.Project) [][]string {
	depth := map[string]int{}
	var measure func(name string, above []string) int
	measure = func(name string, above []string) int {
		if d, ok := depth[name]; ok {
			return d
		}
		d := 0
		for need := range project.Services[name].DependsOn {
			// Loading refuses circles; a service that is not selected needs no wave.
			if _, ok := project.Services[need]; ok && !slices.Contains(above, need) {
				d = max(d, 1+measure(need, append(above, name)))
			}
		}
		depth[name] = d
		return d
	}
	var waves [][]string
	for _, name := range project.ServiceNames() {
		d := measure(name, nil)
		for len(waves) <= d {
			waves = append(waves, nil)
		}
		waves[d] = append(waves[d], name)
	}
	return waves
}

// Mounts says that a service mounts the file or directory at path, on the host.
func (s Stack) Mounts(path string) bool {
	for _, service := range s.Project.Services {
		for _, v := range service.Volumes {
			if v.Type == types.VolumeTypeBind && v.Source == path {
				return true
			}
		}
	}
	return false
}

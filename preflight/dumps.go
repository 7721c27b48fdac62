package preflight

import (
	"errors"
	"io/fs"
	"os"

	"github.com/compose-spec/compose-go/v2/types"

	"github.com/inmanta/inmanta-docker/problem"
	"github.com/inmanta/inmanta-docker/settings"
	"github.com/inmanta/inmanta-docker/sidecar/dumps"
	"github.com/inmanta/inmanta-docker/topology"
)

// dumpPlace is where the db-dump sidecar has its dumps.
const dumpPlace = "/db-dumps"

// folderOf is where on the host a service has the folder at a place; empty where
// there is no such service, or that is in a volume.
func folderOf(project *types.Project, service, place string) string {
	for _, v := range project.Services[service].Volumes {
		if v.Type == types.VolumeTypeBind && v.Target == place {
			return v.Source
		}
	}
	return ""
}

// irregularFolder says whether something else is at the place of a folder.
func irregularFolder(path string) bool {
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		// The engine makes the folder, but not at the end of a link that leads nowhere.
		_, err = os.Lstat(path)
		return err == nil
	}
	return err == nil && !info.IsDir()
}

// dumps judges what the db-dump sidecar goes by, as it will itself.
func (r *report) dumps() {
	if _, ok := r.stack.Project.Services[topology.DBDump]; !ok {
		return
	}
	_, wrong := dumps.FromSettings(func(name string) string { return r.environment(topology.DBDump, name) })
	for _, p := range wrong {
		r.refuse(r.placed(topology.DBDump, p))
	}
	if r.facts.DumpFolderIrregular {
		r.refuse(problem.Problem{
			ID: "db-dump-folder", Where: folderOf(r.stack.Project, topology.DBDump, dumpPlace), What: "the dumps of the database belong in this folder, and it is none",
			Fix: "move it away, or set " + settings.DBDumpFolder + " to a folder",
		})
	}
}

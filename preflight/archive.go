package preflight

import (
	"github.com/inmanta/inmanta-docker/problem"
	"github.com/inmanta/inmanta-docker/settings"
	"github.com/inmanta/inmanta-docker/sidecar/moments"
	"github.com/inmanta/inmanta-docker/topology"
)

// archivePlace is where the db-archive sidecar has the archive.
const archivePlace = "/db-archive"

// archive judges what the db-archive sidecar goes by, as it will itself.
func (r *report) archive() {
	project := r.stack.Project
	if _, ok := project.Services[topology.DBArchive]; !ok {
		return
	}
	_, wrong := moments.FromSettings(func(name string) string { return r.environment(topology.DBArchive, name) })
	for _, p := range wrong {
		r.refuse(r.placed(topology.DBArchive, p))
	}
	if r.facts.ArchiveFolderIrregular {
		r.refuse(problem.Problem{
			ID: "db-archive-folder", Where: folderOf(project, topology.DBArchive, archivePlace), What: "the archive of the database belongs in this folder, and it is none",
			Fix: "move it away, or set " + settings.DBArchiveFolder + " to a folder",
		})
	}
	if _, both := project.Services[topology.Replica]; both || runsAgent(project.Services[topology.Database]) {
		r.refuse(problem.Problem{
			ID: "db-archive-pair", Where: "topology", What: "the archive is of one database, and would not follow when two of them change places",
			Fix: "leave docker-compose.db-archive.yml out; docker-compose.db-dump.yml and inmanta-docker backup are for two",
		})
	}
}

package preflight

import (
	"fmt"
	"path"
	"strings"

	"github.com/compose-spec/compose-go/v2/types"
	"github.com/docker/compose/v5/pkg/compose"

	"github.com/inmanta/inmanta-docker/problem"
	"github.com/inmanta/inmanta-docker/settings"
	"github.com/inmanta/inmanta-docker/topology"
)

// dataDirectory is where PostgreSQL's official images before 18 keep the data.
const dataDirectory = "/var/lib/postgresql/data"

// databaseVolume is a volume of the project on which a service keeps a database.
type databaseVolume struct {
	// Service is the database, Name the volume's on the engine.
	Service, Name string
}

// databaseVolumes are the project's: named volumes mounted where PostgreSQL
// keeps its data.
func databaseVolumes(project *types.Project) []databaseVolume {
	var all []databaseVolume
	for _, name := range project.ServiceNames() {
		service := project.Services[name]
		for _, v := range service.Volumes {
			volume, known := project.Volumes[v.Source]
			if v.Type == types.VolumeTypeVolume && known && path.Clean(v.Target) == dataOf(service, Image{}) {
				all = append(all, databaseVolume{Service: name, Name: volume.Name})
			}
		}
	}
	return all
}

// dataOf is the directory in which a database service keeps its data: its own
// PGDATA, else its image's, else the usual one.
func dataOf(s types.ServiceConfig, image Image) string {
	if own := s.Environment["PGDATA"]; own != nil && *own != "" {
		return path.Clean(*own)
	}
	if its := image.Env["PGDATA"]; its != "" {
		return path.Clean(its)
	}
	return dataDirectory
}

// majorOf is the major version of PostgreSQL that a service runs: what its
// image says, else what the name of an official image says; 0 where unknown.
func (r *report) majorOf(s types.ServiceConfig) int {
	if major := settings.Major(r.facts.Images[s.Image].Env["PG_MAJOR"]); major != 0 {
		return major
	}
	return officialMajor(s.Image)
}

// databases judges each database against the data that it will find, and the
// place where it will put it.
func (r *report) databases() {
	for _, v := range databaseVolumes(r.stack.Project) {
		service := r.stack.Project.Services[v.Service]
		kept, runs := r.facts.Majors[v.Name], r.majorOf(service)
		if kept != 0 && runs != 0 && kept != runs {
			r.refuse(problem.Problem{
				ID: "database-version", Where: r.imagePlace(service),
				What: fmt.Sprintf("the database in volume %s is PostgreSQL %d, and %s is PostgreSQL %d, which cannot read it", v.Name, kept, service.Image, runs),
				Fix:  r.keepMajor(kept),
			})
			continue
		}
		r.misplaced(service, runs)
	}
	r.misnamed()
}

// keepMajor is how to go on with the data there is.
func (r *report) keepMajor(major int) string {
	setting := fmt.Sprintf("%s=%d", settings.PostgreSQLVersion, major)
	if _, _, own := r.deployment.Setting(settings.PostgreSQLImage); own {
		setting = fmt.Sprintf("%s to an image of PostgreSQL %d", settings.PostgreSQLImage, major)
	}
	return fmt.Sprintf("set %s in %s; to change the version, dump the database first and restore it into a new volume", setting, r.envFile())
}

// misplaced finds a database that would not write to its volume: from 18 on the
// official images keep the data elsewhere, so that it would go with the container.
func (r *report) misplaced(s types.ServiceConfig, major int) {
	const moved = 18
	data := dataOf(s, r.facts.Images[s.Image])
	if own := s.Environment["PGDATA"]; data == dataDirectory && major >= moved && own == nil && r.facts.Images[s.Image].Env["PGDATA"] == "" {
		data = fmt.Sprintf("/var/lib/postgresql/%d/docker", major)
	}
	for _, v := range s.Volumes {
		if point := path.Clean(v.Target); data == point || strings.HasPrefix(data, strings.TrimSuffix(point, "/")+"/") {
			return
		}
	}
	r.refuse(problem.Problem{
		ID: "database-not-on-volume", Where: r.imagePlace(s),
		What: fmt.Sprintf("%s keeps the database in %s, which is on no volume: it would be lost with the container", s.Image, data),
		Fix:  fmt.Sprintf("choose PostgreSQL %d or older, or mount the volume where this image keeps its data in a compose file of your own", moved-1),
	})
}

// misnamed finds a POSTGRESQL_VERSION that says other than the image.
func (r *report) misnamed() {
	version, from, set := r.deployment.Setting(settings.PostgreSQLVersion)
	service, ok := r.stack.Project.Services[topology.Database]
	if !set || !ok {
		return
	}
	says, runs := settings.Major(version), r.majorOf(service)
	if says == 0 || runs == 0 || says == runs {
		return
	}
	r.warn(problem.Problem{
		ID: "database-version-name", Where: from.Place(),
		What: fmt.Sprintf("%s says %d, and the image %s, which decides, is PostgreSQL %d", settings.PostgreSQLVersion, says, service.Image, runs),
		Fix:  fmt.Sprintf("set %s=%d, or take another %s", settings.PostgreSQLVersion, runs, settings.PostgreSQLImage),
	})
}

// volumes finds volumes that exist and are not what the files describe. They
// are used as they are: nothing here makes one anew.
func (r *report) volumes() {
	project := r.stack.Project
	for _, key := range project.VolumeNames() {
		v := project.Volumes[key]
		found, exists := r.facts.Volumes[v.Name]
		if !exists || bool(v.External) {
			continue
		}
		p := problem.Problem{Where: "volume " + v.Name}
		wanted, err := compose.VolumeHash(v)
		switch {
		case found.Project != "" && found.Project != project.Name:
			p.ID, p.What = "volume-of-another", "it was made by the project "+found.Project
			p.Fix = "make sure that it is meant, and say `external: true` of it in a compose file of your own"
		case err == nil && found.Hash != "" && found.Hash != wanted:
			p.ID, p.What = "volume-differs", "it was made with other options than the compose files have now, and stays as it is"
			p.Fix = "take the options back, or move the data to a new volume of another name"
		default:
			continue
		}
		r.warn(p)
	}
}

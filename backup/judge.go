package backup

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/docker/go-units"

	"github.com/inmanta/inmanta-docker/bundle"
	"github.com/inmanta/inmanta-docker/problem"
	"github.com/inmanta/inmanta-docker/sidecar/volume"
)

// Target is what a backup is to be restored to. What is not known is empty or 0.
type Target struct {
	// Where is the deployment's directory.
	Where string
	// Major and Encoding are the database's.
	Major    int
	Encoding string
	// Service says that it runs the service orchestrator (docker-compose.iso.yml).
	Service bool
	// Edition is what the orchestrator says that runs now.
	Edition string
	// Known are the newest schemas that its image knows, by part: {"core": 202610150}.
	Known map[string]int64
	// DatabaseFree and StateFree are how many bytes there is room for; -1 where
	// that is not known.
	DatabaseFree, StateFree int64
}

// iso is the overlay of the service orchestrator.
const iso = "docker-compose.iso.yml"

// Problems are all reasons not to restore the backup at where to the target.
func Problems(where string, h bundle.Header, m bundle.Manifest, t Target) problem.List {
	var list problem.List
	refuse := func(id, fix, what string, args ...any) {
		list = append(list, problem.Problem{ID: id, Where: where, What: fmt.Sprintf(what, args...), Fix: fix})
	}
	for _, part := range []string{bundle.State, bundle.Database} {
		if _, ok := m.Part(part); !ok {
			refuse("backup-incomplete", "take another backup", "it has no %s", part)
		}
	}
	if t.Major != 0 && h.Database.Major != t.Major {
		refuse("backup-postgresql", fmt.Sprintf("set POSTGRESQL_VERSION=%d in a new, empty deployment and restore there", h.Database.Major),
			"it is of PostgreSQL %s, and the database in %s is of major version %d", h.Database.Version, t.Where, t.Major)
	}
	if t.Encoding != "" && h.Database.Encoding != t.Encoding {
		refuse("backup-encoding", "restore into a deployment whose database is new", "its database is encoded in %s, and the one in %s in %s", h.Database.Encoding, t.Where, t.Encoding)
	}
	switch of := slices.Contains(h.Topology, iso); {
	case t.Edition != "" && h.Orchestrator.Edition != "" && t.Edition != h.Orchestrator.Edition:
		refuse("backup-edition", "restore into a deployment of that edition", "it is of the %s, and what runs in %s is the %s", h.Orchestrator.Edition, t.Where, t.Edition)
	case of && !t.Service:
		refuse("backup-edition", "add -f "+iso, "it is of the service orchestrator, and %s has no %s", t.Where, iso)
	case !of && t.Service:
		refuse("backup-edition", "restore into a deployment without "+iso, "it is not of the service orchestrator, and %s has %s", t.Where, iso)
	}
	for _, name := range slices.Sorted(maps.Keys(h.Orchestrator.Schema)) {
		has := h.Orchestrator.Schema[name]
		switch known, ok := t.Known[name]; {
		case t.Known == nil:
		case !ok:
			refuse("backup-schema", "set INMANTA_ORCHESTRATOR_IMAGE to an image that has it, such as that of the backup: "+images(h), "its orchestrator had a part %q, which the image of %s has not", name, t.Where)
		case has > known:
			refuse("backup-schema", "set INMANTA_ORCHESTRATOR_IMAGE to an image as new as that of the backup: "+images(h),
				"its orchestrator is newer: the tables of %q are of version %d, and the image of %s knows them up to %d", name, has, t.Where, known)
		}
	}
	if t.DatabaseFree >= 0 && t.DatabaseFree < h.Database.Bytes {
		refuse("backup-room", "make room on the engine's disk", "what is there is kept until the restored one serves, and the database's volume has %s free of the %s that takes", size(t.DatabaseFree), size(h.Database.Bytes))
	}
	if needs := volume.Needs(m.Content.State.Files, m.Content.State.Bytes); t.StateFree >= 0 && t.StateFree < needs {
		refuse("backup-room", "make room on the engine's disk", "what is there is kept until the restored one serves, and the state volume has %s free of the %s that takes", size(t.StateFree), size(needs))
	}
	return list
}

// images are what the backup's orchestrator ran.
func images(h bundle.Header) string {
	image, ok := h.Images["server"]
	if !ok {
		return h.Orchestrator.Product + " " + h.Orchestrator.Version
	}
	return image.Reference
}

// size is for people.
func size(bytes int64) string { return units.BytesSize(float64(bytes)) }

// Differences are where what was restored differs from what the backup has, a
// clause each: every row of every table was counted and hashed.
func Differences(want, got []bundle.Table) []string {
	key := func(t bundle.Table) string { return t.Schema + "." + t.Name }
	found := map[string]bundle.Table{}
	for _, t := range got {
		found[key(t)] = t
	}
	var list []string
	for _, w := range want {
		g, ok := found[key(w)]
		delete(found, key(w))
		switch {
		case !ok:
			list = append(list, fmt.Sprintf("the table %s is missing", key(w)))
		case g.Rows != w.Rows:
			list = append(list, fmt.Sprintf("the table %s has %d rows, not %d", key(w), g.Rows, w.Rows))
		case g.Hash != w.Hash:
			list = append(list, fmt.Sprintf("the rows of table %s are others", key(w)))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(found)) {
		list = append(list, fmt.Sprintf("there is a table %s that the backup has not", name))
	}
	return list
}

// Schemas are the newest schemas in the names of files such as
// ".../site-packages/inmanta/db/versions/v202610150.py", by part: the package
// inmanta has that of "core", inmanta_lsm that of "lsm".
func Schemas(files string) map[string]int64 {
	found := map[string]int64{}
	for line := range strings.Lines(files) {
		folders, file, ok := strings.Cut(strings.TrimSpace(line), "/db/versions/v")
		if !ok {
			continue
		}
		version, err := strconv.ParseInt(strings.TrimSuffix(file, ".py"), 10, 64)
		if err != nil {
			continue
		}
		name := folders[strings.LastIndex(folders, "/")+1:]
		switch {
		case name == "inmanta":
			name = "core"
		case strings.HasPrefix(name, "inmanta_"):
			name = strings.TrimPrefix(name, "inmanta_")
		default:
			continue
		}
		found[name] = max(found[name], version)
	}
	return found
}

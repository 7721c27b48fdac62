package image

import (
	"slices"
	"strings"
	"testing"
)

func TestDecide(t *testing.T) {
	const (
		open       = "ghcr.io/inmanta/orchestrator:latest"
		commercial = "containers.inmanta.com/containers/service-orchestrator:8"
		database   = "postgres:16"
	)
	usual, err := Orchestrator("")
	if err != nil {
		t.Fatal(err)
	}
	other, err := Orchestrator("2026.4")
	if err != nil {
		t.Fatal(err)
	}
	database17 := PostgreSQL()
	here := func(ref string) sight { return sight{ref: ref, present: true} }
	not := func(ref string, why outcome) sight { return sight{ref: ref, pull: why, reason: "said the engine"} }
	ours := func(r Recipe) sight { return sight{ref: r.Ref(), local: &r} }

	for name, test := range map[string]struct {
		orchestrator, database sight
		hasVolumes             bool
		build                  []Recipe
		stands                 Stands
		problems               []string // identifiers and images, in order
	}{
		"both are there": {orchestrator: here(open), database: here(database)},
		"both are there, with data, whatever they are": {
			orchestrator: here(commercial), database: here("mirror.corp/pg:12"), hasVolumes: true,
		},
		"no registry, default images, no data": {
			orchestrator: not(open, unreachable), database: not(database, unreachable),
			build: []Recipe{usual, database17},
			stands: Stands{
				Orchestrator: "localhost/inmanta-docker/orchestrator:2027.2", PostgreSQL: "localhost/inmanta-docker/postgres:17", PostgreSQLVersion: "17",
			},
		},
		"the default without its tag": {
			orchestrator: not("ghcr.io/inmanta/orchestrator", unreachable), database: here(database),
			build: []Recipe{usual}, stands: Stands{Orchestrator: "localhost/inmanta-docker/orchestrator:2027.2"},
		},
		"the database is there, so it stays": {
			orchestrator: not(open, unreachable), database: here(database),
			build: []Recipe{usual}, stands: Stands{Orchestrator: "localhost/inmanta-docker/orchestrator:2027.2"},
		},
		"the orchestrator is there, so it stays": {
			orchestrator: here(open), database: not("docker.io/library/postgres:17", unreachable),
			build: []Recipe{database17}, stands: Stands{PostgreSQL: "localhost/inmanta-docker/postgres:17", PostgreSQLVersion: "17"},
		},
		"ours is configured, so its database may be ours": {
			orchestrator: ours(usual), database: not(database, unreachable),
			build: []Recipe{usual, database17}, stands: Stands{PostgreSQL: "localhost/inmanta-docker/postgres:17", PostgreSQLVersion: "17"},
		},
		"another edition keeps the database it was configured with": {
			orchestrator: here(commercial), database: not(database, unreachable),
			problems: []string{"registry-unreachable " + database},
		},
		"no registry, but data": {
			orchestrator: not(open, unreachable), database: not(database, unreachable), hasVolumes: true,
			problems: []string{"registry-unreachable " + open, "registry-unreachable " + database},
		},
		"no registry, data, only the database missing": {
			orchestrator: here(open), database: not(database, unreachable), hasVolumes: true,
			problems: []string{"registry-unreachable " + database},
		},
		"another edition is never swapped, and nothing is built for its database": {
			orchestrator: not(commercial, unreachable), database: not(database, unreachable),
			problems: []string{"registry-unreachable " + commercial, "registry-unreachable " + database},
		},
		"another release of the open-source image": {
			orchestrator: not("ghcr.io/inmanta/orchestrator:10", unreachable), database: here(database),
			problems: []string{"registry-unreachable ghcr.io/inmanta/orchestrator:10"},
		},
		"the same name at another registry": {
			orchestrator: not("mirror.corp/inmanta/orchestrator:latest", unreachable), database: here(database),
			problems: []string{"registry-unreachable mirror.corp/inmanta/orchestrator:latest"},
		},
		"the default by digest": {
			orchestrator: not("ghcr.io/inmanta/orchestrator@sha256:"+strings.Repeat("a", 64), unreachable), database: here(database),
			problems: []string{"registry-unreachable ghcr.io/inmanta/orchestrator@sha256:" + strings.Repeat("a", 64)},
		},
		"another major version of the database": {
			orchestrator: here(open), database: not("postgres:15", unreachable),
			problems: []string{"registry-unreachable postgres:15"},
		},
		"another database altogether": {
			orchestrator: not(open, unreachable), database: not("timescale/timescaledb:latest-pg17", unreachable),
			problems: []string{"registry-unreachable timescale/timescaledb:latest-pg17"},
		},
		"a registry that answers is believed": {
			orchestrator: not(open, denied), database: not(database, notFound),
			problems: []string{"image-denied " + open, "image-not-found " + database},
		},
		"every other failure": {
			orchestrator: not(open, limited), database: not(database, elsewhere),
			problems: []string{"registry-limited " + open, "image-architecture " + database},
		},
		"a full disk": {
			orchestrator: not(open, failed), database: here(database),
			problems: []string{"image-missing " + open},
		},
		"one of them unreachable, the other refused: nothing is built": {
			orchestrator: not(open, unreachable), database: not(database, denied),
			problems: []string{"image-denied " + database},
		},
		"ours are built, with data too, and are no stand-ins": {
			orchestrator: ours(other), database: ours(database17), hasVolumes: true,
			build: []Recipe{other, database17},
		},
		"ours beside one that cannot be had": {
			orchestrator: ours(usual), database: not(database, unreachable), hasVolumes: true,
			problems: []string{"registry-unreachable " + database},
		},
	} {
		t.Run(name, func(t *testing.T) {
			got := decide(test.orchestrator, test.database, test.hasVolumes)
			if !slices.Equal(refs(got.build), refs(test.build)) {
				t.Errorf("builds %v, want %v", refs(got.build), refs(test.build))
			}
			if got.stands != test.stands {
				t.Errorf("stands are %+v, want %+v", got.stands, test.stands)
			}
			var problems []string
			for _, p := range got.problems {
				problems = append(problems, p.ID+" "+strings.TrimPrefix(p.Where, "image "))
				if p.Fix == "" || !strings.Contains(p.What, "said the engine") {
					t.Errorf("a problem without its reason or its fix: %+v", p)
				}
			}
			if !slices.Equal(problems, test.problems) {
				t.Errorf("problems are %q, want %q", problems, test.problems)
			}
		})
	}
}

func refs(recipes []Recipe) []string {
	var refs []string
	for _, recipe := range recipes {
		refs = append(refs, recipe.Ref())
	}
	return refs
}

// Whatever is known of two images: with data, or without the default images,
// nothing is ever put in their place.
func TestDecideNeverSwaps(t *testing.T) {
	outcomes := []outcome{"", pulled, unreachable, notFound, denied, limited, elsewhere, failed}
	for _, orchestrator := range []string{"ghcr.io/inmanta/orchestrator:latest", "ghcr.io/inmanta/orchestrator:9", "containers.inmanta.com/containers/service-orchestrator:8", "orchestrator"} {
		for _, database := range []string{"postgres:16", "postgres:17", "postgres:15", "postgres", "library/postgres:16-alpine"} {
			for _, why := range outcomes {
				for _, hasVolumes := range []bool{false, true} {
					got := decide(sight{ref: orchestrator, pull: why}, sight{ref: database, pull: why}, hasVolumes)
					may := why == unreachable && !hasVolumes &&
						orchestrator == "ghcr.io/inmanta/orchestrator:latest" && (database == "postgres:16" || database == "postgres:17")
					if built := len(got.build) > 0 || got.stands != (Stands{}); built != may {
						t.Errorf("%s, %s, %q, volumes %t: built %v", orchestrator, database, why, hasVolumes, refs(got.build))
					}
					if may == (len(got.problems) > 0) {
						t.Errorf("%s, %s, %q, volumes %t: problems %v", orchestrator, database, why, hasVolumes, got.problems)
					}
				}
			}
		}
	}
}

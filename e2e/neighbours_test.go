package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
)

// Two deployments live on one host with nothing but another INMANTA_NAME and
// port, and know nothing of each other; a third that would take a name or a
// port of theirs is refused before anything is touched, and told whose it is.
func TestNeighbours(t *testing.T) {
	t.Parallel()
	first, second := newStackNamed(t, "-first"), newStackNamed(t, "-second")
	first.set("INMANTA_DATABASE_PASSWORD", hostile[1])
	second.set("INMANTA_DATABASE_PASSWORD", hostile[2])
	var both sync.WaitGroup
	for _, s := range []*stack{first, second} {
		s.composeFiles()
		both.Go(func() {
			if r := s.run("up"); r.code != 0 {
				t.Errorf("%s: up: exit code %d\n%s%s", s.name, r.code, r.stdout, r.stderr)
			}
		})
	}
	both.Wait()
	if t.Failed() {
		t.FailNow()
	}
	for i, s := range []*stack{first, second} {
		s.serves()
		s.password(hostile[1+i])
		s.project(s.name)
		if got := s.volumes(); len(got) != 3 {
			t.Errorf("%s has the volumes %v", s.name, got)
		}
	}
	for _, s := range []*stack{first, second} {
		if got := s.projects(); !slices.Equal(got, []string{s.name}) {
			t.Errorf("%s has the projects %v", s.name, got)
		}
	}

	third := newStackNamed(t, "-third")
	third.composeFiles()
	before := append(first.containers(), second.containers()...)
	refused := func(s *stack, words ...string) {
		t.Helper()
		s.fails(1, words, "up")
		s.fails(1, words, "preflight")
		if got := s.volumes(); s == third && len(got)+len(s.containers()) != 0 {
			t.Errorf("the refused one left %v", got)
		}
	}
	third.set("INMANTA_NAME", first.name)
	third.set("INMANTA_ORCHESTRATOR_PORT", fmt.Sprint(second.port))
	place := filepath.Join(third.dir, ".env") + ":"
	refused(third,
		"the project "+first.name+", made from "+first.dir, first.db(), first.server(), // both names
		"cd "+first.dir+" && inmanta-docker -p "+first.name+" down",
		fmt.Sprintf("port 127.0.0.1:%d is taken by the container %s of the project %s (%s)", second.port, second.server(), second.name, second.dir),
		place, "3 problems")

	// A directory of the same name elsewhere is the same project to Compose.
	namesake := &stack{t: t, name: first.name, dir: filepath.Join(t.TempDir(), first.name), port: freePort(t)}
	if err := os.Mkdir(namesake.dir, 0o755); err != nil {
		t.Fatal(err)
	}
	namesake.composeFiles()
	namesake.write(".env", strings.NewReplacer(
		fmt.Sprint("INMANTA_ORCHESTRATOR_PORT=", first.port), fmt.Sprint("INMANTA_ORCHESTRATOR_PORT=", namesake.port),
		"INMANTA_NAME="+first.name, "INMANTA_NAME="+first.name+"x").Replace(first.read(".env")))
	refused(namesake, "another deployment of the same name was made from "+first.dir)

	if after := append(first.containers(), second.containers()...); !slices.Equal(before, after) {
		t.Errorf("refusing made %v of %v", after, before)
	}
	// One goes, the other stays.
	first.must("down", "-v")
	second.serves()
	if got := second.volumes(); len(got) != 3 {
		t.Errorf("%s has the volumes %v", second.name, got)
	}
}

package proof

import (
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"testing"
	"time"
)

// soaking says that there is time: `make soak` kills ten times as often, and on
// all file systems where `make test` takes one.
var soaking = os.Getenv("INMANTA_PROOF_SOAK") != ""

// kills is how many times processes are killed at random.
func kills() int {
	if soaking {
		return 1000
	}
	return 100
}

// steps are the names of all steps of the algorithm, as its source has them.
func steps(t *testing.T) []string {
	t.Helper()
	files, err := filepath.Glob("../rotation/*.go")
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	for _, file := range files {
		source, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range regexp.MustCompile(`options\.Step\("([^"]+)"\)`).FindAllSubmatch(source, -1) {
			found = append(found, string(m[1]))
		}
	}
	slices.Sort(found)
	found = slices.Compact(found)
	if len(found) < 20 {
		t.Fatalf("the algorithm has %d steps: %q", len(found), found)
	}
	return found
}

// all is one writer of each kind, in a folder.
func everyKind(folder string, rate int) []writer {
	return []writer{
		{ID: "w", Kind: "watched", Path: folder + "/server.log", Rate: rate},
		{ID: "f", Kind: "file", Path: folder + "/callback.log", Rate: rate},
		{ID: "a", Kind: "append", Path: folder + "/agent.log", Rate: rate},
		{ID: "k", Kind: "kept", Path: folder + "/policy_engine.log", Rate: rate},
		{ID: "i", Kind: "inherited", Path: folder + "/agent.out", Rate: min(rate, 500)},
	}
}

// countedAll counts each writer's log, but for the one that is not kept.
func countedAll(t *testing.T, w *writers) sum {
	t.Helper()
	var total sum
	for _, one := range w.all {
		if name := filepath.Base(one.Path); name != spare {
			total.add(counted(t, filepath.Dir(one.Path), name, w.acknowledged(one.Path)))
		}
	}
	return total
}

// wantAll counts each writer's log, and fails the test unless all of it is there.
func wantAll(t *testing.T, w *writers) sum {
	t.Helper()
	total := countedAll(t, w)
	if !total.perfect() {
		t.Error(total)
	}
	return total
}

// A state of things that a step needs before it comes by.
type before struct {
	died    string   // a process that died at this step
	without []string // notes that are gone
}

var befores = map[string]before{
	"recover":                  {died: "remove segment"},
	"forget what was going on": {died: "punch"},
	// Without notes, what is on disk has to do.
	"remove what is twice": {died: "remove segment", without: []string{"intent.json", "writers.json"}},
	// Of a writer that is known it is not found out again.
	"note seam":         {without: []string{"writers.json"}},
	"note what is left": {without: []string{"writers.json"}},
}

func TestKilledAtEveryStep(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"ext4", "btrfs"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if fs := on(t, name); fs.there(t) {
				killedAtEveryStep(t, fs.mount(t), name)
			}
		})
	}
}

// collapses are the steps that there are only where a file can be collapsed.
var collapses = []string{"note seam", "collapse", "note what is left"}

func killedAtEveryStep(t *testing.T, folder, filesystem string) {
	base := taskIn(t, folder)
	w := start(t, append(everyKind(folder, 2000), writer{ID: "s", Kind: "watched", Path: filepath.Join(folder, spare), Rate: 200})...)
	died := map[string]int{}
	comes := slices.DeleteFunc(steps(t), func(step string) bool {
		return step == "truncate" || filesystem == "btrfs" && slices.Contains(collapses, step)
	})
	die := func(step string, nth int) {
		what := base
		what.DieAt, what.DieNth = step, nth
		if needs, is := befores[step]; is {
			what.DieNth = 1
			if needs.died != "" {
				first := base
				first.DieAt, first.DieNth = needs.died, 1
				dies(t, first)
			}
			forgets(t, base, needs.without)
		}
		died[step] += dies(t, what)
	}
	for round := 1; round <= 3; round++ {
		for _, step := range comes {
			die(step, round)
		}
	}
	// On a busy machine a writer may have held its file each time.
	for _, step := range comes {
		for range 20 {
			if died[step] == 0 {
				die(step, 1)
			}
		}
	}
	p := rotates(t, base)
	p.well("rotate")
	w.stop()
	p.well("settle")
	p.finish()
	total := countedAll(t, w)
	// Where notes are lost, so is that a writer left a gap: it is in an archive then.
	total.zeros = 0
	if !total.perfect() {
		t.Error(total)
	}
	t.Logf("%v, killed at %d steps: %v", total, len(died), died)
	for _, step := range comes {
		if died[step] == 0 {
			t.Errorf("no process ever came to the step %q", step)
		}
	}
}

// dies lets a process rotate until it dies where it is to; how often it did: once, or never.
func dies(t *testing.T, what task) int {
	t.Helper()
	p := launch(t, what)
	_, err := p.answered()
	for range 8 {
		if errors.Is(err, errDied) {
			return 1
		}
		if err != nil {
			t.Fatal(err)
		}
		_, err = p.tell("rotate")
	}
	p.kill()
	return 0
}

// forgets removes notes of a process that is gone.
func forgets(t *testing.T, what task, notes []string) {
	t.Helper()
	for _, note := range notes {
		if err := os.Remove(filepath.Join(what.State, note)); err != nil && !errors.Is(err, os.ErrNotExist) {
			t.Fatal(err)
		}
	}
}

func TestKilledAtRandom(t *testing.T) {
	t.Parallel()
	many := kills() / len(filesystems)
	for _, fs := range filesystems {
		t.Run(fs.name, func(t *testing.T) {
			t.Parallel()
			if !fs.there(t) {
				return
			}
			folder := fs.mount(t)
			base := taskIn(t, folder)
			base.Loop = true
			w := start(t, everyKind(folder, 0)...)
			seed := uint64(time.Now().UnixNano())
			random := rand.New(rand.NewPCG(seed, 0))
			for range many + 1 {
				p := rotates(t, base)
				time.Sleep(time.Duration(random.IntN(60_000)) * time.Microsecond)
				p.kill()
			}
			base.Loop = false
			p := rotates(t, base)
			p.well("rotate")
			w.stop()
			p.well("settle")
			p.finish()
			t.Logf("seed %d: %d kills: %v", seed, many+1, wantAll(t, w))
		})
	}
}

package proof

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// A safeguard is a place in the source that keeps lines from being lost or
// written twice. This test takes it out, and sees that something is wrong then:
// with it, the same scenario finds nothing.
type safeguard struct {
	name  string
	edits []edit
	// What happens, told from whether anything is wrong afterwards.
	scenario func(t *testing.T, what task) (wrong string)
}

// An edit is a text in a file of package rotation, and what it would be without.
type edit struct{ file, text, without string }

var safeguards = []safeguard{
	{"lease", []edit{
		{"settle.go", `if leased == nil {`, `if leased == nil || takenOut("lease") {`},
		{"system.go", `return err == nil && kind == unix.F_RDLCK`, `return err == nil && kind == unix.F_RDLCK || takenOut("lease")`},
	}, heldByItsWriter},
	{"no-replace", []edit{{
		"system.go",
		`from, fd, to, unix.RENAME_NOREPLACE)`,
		`from, fd, to, unix.RENAME_NOREPLACE*kept("no-replace"))`,
	}}, madeAnewMeanwhile},
	{"look-again", []edit{{
		"whole.go",
		`case now.size != p.is.size || !f.sys.leased(p.file):`,
		`case !takenOut("look-again") && (now.size != p.is.size || !f.sys.leased(p.file)):`,
	}}, openedAtTheLastMoment},
	{"note", []edit{{
		"state.go",
		`func (f *Folder) writeState(base string, value any) error {`,
		`func (f *Folder) writeState(base string, value any) error {
	if base == intentFile && takenOut("note") {
		return nil
	}`,
	}}, killedBetween("punch")},
	{"recovery", []edit{{
		"recover.go",
		`return f.complete(noted.Piece, m) })`,
		`if takenOut("recovery") { return nil }; return f.complete(noted.Piece, m) })`,
	}}, killedBetween("punch")},
	{"recovery-of-whole-ones", []edit{
		{
			"recover.go",
			`return f.complete(noted.Piece, m) })`,
			`if takenOut("recovery-of-whole-ones") { return nil }; return f.complete(noted.Piece, m) })`,
		},
		{"whole.go", `if err != nil || same {`, `if err != nil || same && !takenOut("recovery-of-whole-ones") {`},
	}, killedBetween("remove segment")},
	{"sync-archive", []edit{{
		"syncing.go",
		`func (f *Folder) syncNamed(base string) error {`,
		`func (f *Folder) syncNamed(base string) error {
	if takenOut("sync-archive") {
		return nil
	}`,
	}}, powerCutAfterIt(0)},
	{"sync-archives", []edit{{
		"system.go",
		`return unix.Syncfs(int(folder.Fd()))`,
		`if takenOut("sync-archives") { return nil }; return unix.Syncfs(int(folder.Fd()))`,
	}}, powerCutAfterIt(20)},
	{"sync-everything", []edit{{
		"system.go",
		`(*os.File).Sync,`,
		`func(file *os.File) error { if takenOut("sync-everything") { return nil }; return file.Sync() },`,
	}}, powerCutAfterIt(0)},
	{"gap", []edit{{
		"writers.go",
		`if found {`,
		`if found && !takenOut("gap") {`,
	}}, offsetOfItsOwn},
	{"truncated", []edit{
		{"pieces.go", "now.size < was.size {\n\t\treturn 0,", "now.size < was.size && !takenOut(\"truncated\") {\n\t\treturn 0,"},
		{"pieces.go", "now.size < was.size {\n\t\t\treturn errors", "now.size < was.size && !takenOut(\"truncated\") {\n\t\t\treturn errors"},
		{"pieces.go", `err != nil || now != head {`, `err != nil || now != head && !takenOut("truncated") {`},
		{"system.go", `err != nil || is.size < length {`, `err != nil || is.size < length && !takenOut("truncated") {`},
	}, truncatedByItsWriter},
	{"order", []edit{{
		"aside.go",
		`!at.After(newest) {`,
		`!at.After(newest) && !takenOut("order") {`,
	}}, clockGoesBack},
	{"lock", []edit{{
		"folder.go",
		`errors.Is(err, unix.EWOULDBLOCK) {
		return fmt.Errorf("%s: %w", f.options.Path, ErrLocked)`,
		`errors.Is(err, unix.EWOULDBLOCK) && takenOut("lock") {
	} else if errors.Is(err, unix.EWOULDBLOCK) {
		return fmt.Errorf("%s: %w", f.options.Path, ErrLocked)`,
	}}, twoAtOnce},
	{"links", []edit{{
		"system.go",
		`if f.links > 1 {`,
		`if f.links > 1 && !takenOut("links") {`,
	}}, secondName},
	{"no-follow", []edit{{
		"system.go",
		`unix.O_NOFOLLOW|unix.O_NONBLOCK`,
		`int(unix.O_NOFOLLOW*kept("no-follow"))|unix.O_NONBLOCK`,
	}}, linkInItsPlace},
}

// without is the environment variable that takes a safeguard out of the program
// that `unguarded` builds.
const without = "INMANTA_PROOF_WITHOUT"

const switches = `package rotation

import "os"

func takenOut(name string) bool { return os.Getenv("` + without + `") == name }

func kept(name string) uint {
	if takenOut(name) {
		return 0
	}
	return 1
}
`

// unguarded builds this program once more, from a source of which the
// safeguards can be taken out. The source as it is has no such thing.
func unguarded(t *testing.T) string {
	t.Helper()
	folder := t.TempDir()
	rotation, err := filepath.Abs("../rotation")
	if err != nil {
		t.Fatal(err)
	}
	overlay := map[string]string{}
	replace := func(file, text string) {
		to := filepath.Join(folder, file)
		if err := os.WriteFile(to, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		overlay[filepath.Join(rotation, file)] = to
	}
	replace("switches.go", switches)
	sources := map[string]string{}
	for _, one := range safeguards {
		for _, e := range one.edits {
			if _, read := sources[e.file]; !read {
				text, err := os.ReadFile(filepath.Join(rotation, e.file))
				if err != nil {
					t.Fatal(err)
				}
				sources[e.file] = string(text)
			}
			if found := strings.Count(sources[e.file], e.text); found != 1 {
				t.Fatalf("%s has %d times what is there for %q, want once: %s", e.file, found, one.name, e.text)
			}
			sources[e.file] = strings.Replace(sources[e.file], e.text, e.without, 1)
		}
	}
	for file, text := range sources {
		replace(file, text)
	}
	table, err := json.Marshal(map[string]any{"Replace": overlay})
	if err != nil {
		t.Fatal(err)
	}
	listed := filepath.Join(folder, "overlay.json")
	if err := os.WriteFile(listed, table, 0o600); err != nil {
		t.Fatal(err)
	}
	program := filepath.Join(scratch(t), "unguarded")
	build := exec.Command("go", "test", "-c", "-o", program, "-overlay", listed, ".")
	if output, err := build.CombinedOutput(); err != nil {
		t.Fatalf("building without the safeguards: %v: %s", err, output)
	}
	return program
}

func TestSafeguards(t *testing.T) {
	t.Parallel()
	fs := on(t, "ext4")
	if !fs.there(t) {
		return
	}
	program := unguarded(t)
	for _, one := range safeguards {
		t.Run(one.name, func(t *testing.T) {
			t.Parallel()
			for _, taken := range []string{"", one.name} {
				wrong := one.scenario(t, task{Program: program, Without: taken})
				switch {
				case taken == "" && wrong != "":
					t.Errorf("with all safeguards: %s", wrong)
				case taken != "" && wrong == "":
					t.Errorf("without it, nothing is wrong: this does not show what it is for")
				case taken != "":
					t.Logf("without it: %s", wrong)
				}
			}
		})
	}
}

package inmantadocker_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
)

const module = "github.com/inmanta/inmanta-docker"

// mayImport is the picture of docs/architecture.md as a table: which packages
// of ours each package may use, tests aside. Every package may import problem
// and progress, the words all of them speak. A new package, or a new arrow,
// is a line here and in the picture, and a choice to be argued for.
var mayImport = map[string][]string{
	".":        {},
	"problem":  {},
	"progress": {},
	"settings": {},

	"deployment": {".", "settings"},
	"topology":   {"deployment", "settings"},

	"backup":       {"bundle", "sidecar/volume", "store"},
	"bundle":       {},
	"certificates": {},
	"codeserver":   {"lock", "sidecar/release"},
	"engine":       {"sidecar/printed"},
	"database":     {"engine", "sidecar/printed"},
	"orchestrator": {"sidecar/printed"},
	"pair":         {},
	"host":         {"lock"},
	"image":        {"lock"},
	"lock":         {},
	"plan":         {},
	"preflight":    {"certificates", "deployment", "settings", "sidecar/authorizedkeys", "sidecar/dumps", "sidecar/logrotate/policy", "sidecar/modulesource", "sidecar/moments", "topology"},
	"readiness":    {"orchestrator", "sidecar/initrecord"},
	"store":        {},
	"ui":           {},

	"command": {
		".", "backup", "bundle", "certificates", "codeserver", "database", "deployment", "engine", "image", "lock", "orchestrator", "pair", "plan",
		"preflight", "readiness", "settings", "sidecar/halt", "sidecar/initrecord", "sidecar/scram", "sidecar/volume", "store", "topology", "ui",
	},

	// What runs inside containers knows nothing of what puts them there.
	"sidecar/authorizedkeys": {},
	"sidecar/codeserver":     {"sidecar/passwd", "sidecar/peer", "sidecar/privilege", "sidecar/process", "sidecar/release"},
	"sidecar/halt":           {},
	"sidecar/control":        {},
	"sidecar/dbarchive": {
		"sidecar/control", "sidecar/figure", "sidecar/hostfolder", "sidecar/moments", "sidecar/passwd", "sidecar/printed", "sidecar/privilege", "sidecar/process",
	},
	"sidecar/dbdump": {
		"sidecar/control", "sidecar/dumps", "sidecar/figure", "sidecar/hostfolder", "sidecar/passwd", "sidecar/printed", "sidecar/privilege", "sidecar/process",
	},
	"sidecar/dumps":      {"sidecar/schedule", "sidecar/setting"},
	"sidecar/figure":     {},
	"sidecar/filelog":    {},
	"sidecar/hostfolder": {},
	"sidecar/initrecord": {},
	"sidecar/logrotate": {
		"sidecar/control", "sidecar/figure", "sidecar/logrotate/archive", "sidecar/logrotate/policy", "sidecar/logrotate/rotation",
		"sidecar/passwd", "sidecar/privilege",
	},
	"sidecar/logrotate/archive":  {},
	"sidecar/logrotate/policy":   {"sidecar/schedule", "sidecar/setting"},
	"sidecar/logrotate/proof":    {},
	"sidecar/logrotate/rotation": {"sidecar/logrotate/archive"},
	"sidecar/modelinit":          {"sidecar/initrecord", "sidecar/modulesource", "sidecar/passwd", "sidecar/privilege", "sidecar/process"},
	"sidecar/modulesource":       {},
	"sidecar/moments":            {"sidecar/schedule", "sidecar/setting"},
	"sidecar/passwd":             {},
	"sidecar/peer":               {},
	"sidecar/postgres":           {"sidecar/passwd", "sidecar/privilege", "sidecar/process", "sidecar/scram"},
	"sidecar/postgres/proof":     {},
	"sidecar/printed":            {},
	"sidecar/privilege":          {},
	"sidecar/probe":              {},
	"sidecar/process":            {},
	"sidecar/release":            {},
	"sidecar/rsync":              {"sidecar/filelog", "sidecar/rsync/delta", "sidecar/rsync/filter", "sidecar/rsync/tree", "sidecar/rsync/wire"},
	"sidecar/rsync/delta":        {"sidecar/rsync/wire"},
	"sidecar/rsync/filter":       {},
	"sidecar/rsync/tree":         {},
	"sidecar/rsync/wire":         {},
	"sidecar/schedule":           {"sidecar/setting"},
	"sidecar/scp":                {"sidecar/filelog"},
	"sidecar/scram":              {},
	"sidecar/setting":            {},
	"sidecar/sftp":               {"sidecar/filelog"},
	"sidecar/ssh":                {"sidecar/authorizedkeys", "sidecar/filelog", "sidecar/passwd", "sidecar/peer", "sidecar/privilege", "sidecar/process", "sidecar/sftp"},
	"sidecar/volume":             {},

	"cmd/inmanta-docker": {"command"},
	"cmd/inmanta-sidecar": {
		"sidecar/codeserver", "sidecar/dbarchive", "sidecar/dbdump", "sidecar/filelog", "sidecar/halt", "sidecar/logrotate", "sidecar/modelinit", "sidecar/postgres", "sidecar/probe", "sidecar/release", "sidecar/rsync", "sidecar/scp", "sidecar/ssh", "sidecar/volume",
	},
	"cmd/host-engine": {"host", "ui"},
	"cmd/dist":        {"."},
	"cmd/docs":        {"command", "settings", "sidecar/logrotate/policy"},

	// What tests judge by.
	"e2e/history": {},
}

var spokenByAll = []string{"problem", "progress"}

// Packages that only test or measure may use whatever they look at.
var looksAtEverything = []string{"bench", "e2e"}

// listed is what `go list` says of one package.
type listed struct {
	ImportPath string
	Dir        string
	Imports    []string
	Deps       []string
}

// packages are all packages of the module, by their path below its root.
func packages(t *testing.T) map[string]listed {
	t.Helper()
	found, err := list()
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// list asks Go once, for all tests.
var list = sync.OnceValues(func() (map[string]listed, error) {
	output, err := exec.Command("go", "list", "-e", "-json=ImportPath,Dir,Imports,Deps", "./...").Output()
	if err != nil {
		return nil, fmt.Errorf("listing the packages: %w", err)
	}
	found := map[string]listed{}
	for decoder := json.NewDecoder(bytes.NewReader(output)); ; {
		var one listed
		err := decoder.Decode(&one)
		if errors.Is(err, io.EOF) {
			return found, nil
		}
		if err != nil {
			return nil, fmt.Errorf("reading the list of packages: %w", err)
		}
		path, _ := ours(one.ImportPath)
		found[path] = one
	}
})

// ours is the path of a package below the module's root, if it is in this module.
func ours(importPath string) (path string, is bool) {
	if importPath == module {
		return ".", true
	}
	return strings.CutPrefix(importPath, module+"/")
}

func TestImportsPointOneWay(t *testing.T) {
	all := packages(t)
	for path, one := range all {
		if slices.Contains(looksAtEverything, path) {
			continue
		}
		allowed, known := mayImport[path]
		if !known {
			t.Errorf("package %s is not in the table of this test: add it, and to the picture in docs/architecture.md", path)
			continue
		}
		for _, imported := range one.Imports {
			target, is := ours(imported)
			if !is || slices.Contains(spokenByAll, target) || slices.Contains(allowed, target) {
				continue
			}
			t.Errorf("%s imports %s: the table of this test has no such arrow", path, target)
		}
	}
	for _, path := range slices.Sorted(maps.Keys(mayImport)) {
		if _, exists := all[path]; !exists {
			t.Errorf("the table of this test names package %s, which is gone", path)
		}
	}
}

// The binary that is mounted into every sidecar stays small because nothing of
// the container engine, of compose, or of a command line library gets into it.
func TestSidecarsStandAlone(t *testing.T) {
	for path, one := range packages(t) {
		if path != "cmd/inmanta-sidecar" && !strings.HasPrefix(path, "sidecar/") {
			continue
		}
		for _, imported := range one.Deps {
			target, is := ours(imported)
			if is && !strings.HasPrefix(target, "sidecar/") && !slices.Contains(spokenByAll, target) {
				t.Errorf("%s reaches %s, which belongs to the command line", path, target)
			}
			for _, heavy := range []string{"github.com/docker/", "github.com/moby/", "github.com/compose-spec/", "github.com/spf13/"} {
				if strings.HasPrefix(imported, heavy) {
					t.Errorf("%s reaches %s, which is too heavy for it", path, imported)
				}
			}
		}
	}
}

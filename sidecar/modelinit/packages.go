package modelinit

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/inmanta/inmanta-docker/sidecar/initrecord"
)

// packages are the versions of Python packages, by normalised name.
type packages map[string]string

// separators are what names of packages do not differ by (PEP 503).
var separators = regexp.MustCompile(`[-_.]+`)

func normalised(name string) string { return strings.ToLower(separators.ReplaceAllString(name, "-")) }

// sitePackages is the folder of an environment's packages.
func sitePackages(environment string) (string, error) {
	found, err := filepath.Glob(filepath.Join(environment, "lib", "python3*", "site-packages"))
	if err != nil || len(found) != 1 {
		return "", failure{
			code: initrecord.CodeSettings, what: fmt.Sprintf("the image has no orchestrator in %s: it has %d folders of packages there", environment, len(found)),
			fix: "set INMANTA_ORCHESTRATOR_IMAGE to an image of the orchestrator",
		}
	}
	return found[0], nil
}

// installed are the packages in a folder, read off the folders that installers
// leave for each (PEP 376: NAME-VERSION.dist-info), which costs next to nothing.
func installed(folder string) (packages, error) {
	entries, err := os.ReadDir(folder)
	if err != nil {
		return nil, fmt.Errorf("looking for the packages in %s: %w", folder, err)
	}
	found := packages{}
	for _, entry := range entries {
		stem, ok := strings.CutSuffix(entry.Name(), ".dist-info")
		if !ok {
			continue
		}
		if name, version, ok := strings.Cut(stem, "-"); ok {
			found[normalised(name)] = version
		}
	}
	return found, nil
}

// constraints pin every package to its version, in pip's form.
func (p packages) constraints() string {
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(p)) {
		fmt.Fprintf(&b, "%s==%s\n", name, p[name])
	}
	return b.String()
}

// replaced are the packages that another folder has in another version.
func (p packages) replaced(by packages) []string {
	var names []string
	for name, version := range by {
		if own, ok := p[name]; ok && own != version {
			names = append(names, fmt.Sprintf("%s %s by %s", name, own, version))
		}
	}
	slices.Sort(names)
	return names
}

// orchestrator is the version that people know it by.
func (p packages) orchestrator() string {
	for _, name := range []string{"inmanta-service-orchestrator", "inmanta", "inmanta-core"} {
		if v := p[name]; v != "" {
			return v
		}
	}
	return ""
}

// fingerprint is the same for two runs that would do the same.
func fingerprint(c Config, commit string, image packages) string {
	text, _ := json.Marshal([]any{ // strings only: it cannot fail
		c.Repository.URL, commit, c.Arguments, value(c.Environment, environmentVariable, ""), image.constraints(),
	})
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:])
}

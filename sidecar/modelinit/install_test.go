package modelinit

import (
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/inmanta/inmanta-docker/sidecar/initrecord"
)

// What pip 26 prints, and writes into its log.
var pipFailures = []struct {
	name, text, log string
	code            initrecord.Code
	says            []string
}{
	{
		name: "constraint",
		text: `ERROR: Cannot install inmanta-core==20.0.0 because these package versions have conflicting dependencies.

The conflict is caused by:
    The user requested inmanta-core==20.0.0
    The user requested (constraint) inmanta-core==20.1.0

ERROR: ResolutionImpossible: for help visit https://pip.pypa.io`,
		code: initrecord.CodeConstraint, says: []string{"asks for inmanta-core==20.0.0", "made with inmanta-core==20.1.0"},
	},
	{
		name: "constraint, by way of another",
		text: "The conflict is caused by:\n    mine 1.0 depends on pydantic<2\n    The user requested (constraint) pydantic==2.14.3\n",
		code: initrecord.CodeConstraint, says: []string{"pydantic<2 (for mine 1.0)", "pydantic==2.14.3"},
	},
	{
		name: "no such package",
		text: "ERROR: Could not find a version that satisfies the requirement no-such-package-xyz (from versions: none)\nERROR: No matching distribution found for no-such-package-xyz",
		code: initrecord.CodeResolution, says: []string{"no index has no-such-package-xyz"},
	},
	{
		name: "no such version",
		text: "ERROR: Could not find a version that satisfies the requirement iniconfig>=99 (from versions: 0.1, 2.3.1)\nERROR: No matching distribution found for iniconfig>=99",
		code: initrecord.CodeResolution, says: []string{"no index has iniconfig>=99"},
	},
	{
		name: "contradiction",
		text: "ERROR: Cannot install a==1 and a==2 because these package versions have conflicting dependencies.\n\nThe conflict is caused by:\n    The user requested a==1\n    The user requested a==2\n\nERROR: ResolutionImpossible: see",
		code: initrecord.CodeResolution, says: []string{"contradict", "a==1 and a==2"},
	},
	{
		name: "no wheel for this Python",
		text: "ERROR: Could not find a version that satisfies the requirement old-thing (from versions: none)\nERROR: No matching distribution found for old-thing",
		log:  "2026-11-27T07:00:00,000   Skipping link: none of the wheel's tags (cp39-cp39-manylinux1_x86_64) are compatible (run pip debug --verbose to show compatible tags): file:///srv/wheels/old_thing-1.0-cp39-cp39-manylinux1_x86_64.whl",
		code: initrecord.CodeWheel, says: []string{"old-thing has no wheel"},
	},
	{
		name: "another one's wheel for another Python",
		text: "ERROR: No matching distribution found for new-thing",
		log:  "Skipping link: none of the wheel's tags (cp39-cp39-linux) are compatible (run pip debug): file:///srv/wheels/old_thing-1.0-cp39-cp39-linux.whl",
		code: initrecord.CodeResolution, says: []string{"no index has new-thing"},
	},
	{
		name: "a version for another Python",
		text: "ERROR: Ignored the following versions that require a different python version: 1.0 Requires-Python >=3.99\nERROR: Could not find a version that satisfies the requirement future (from versions: none)\nERROR: No matching distribution found for future",
		code: initrecord.CodeWheel, says: []string{"future"},
	},
	{
		name: "a wheel by its URL",
		text: "ERROR: old_thing-1.0-cp39-cp39-win32.whl is not a supported wheel on this platform.",
		code: initrecord.CodeWheel, says: []string{"old_thing-1.0"},
	},
	{
		name: "the module itself",
		text: "ERROR: Package 'inmanta-module-hello' requires a different Python: 3.13.5 not in '>=3.99'",
		code: initrecord.CodeWheel, says: []string{"inmanta-module-hello"},
	},
	{
		name: "no index",
		text: "WARNING: Retrying (Retry(total=4)) after connection broken by 'NewConnectionError: Failed to establish a new connection': /simple/pytest/\nERROR: Could not find a version that satisfies the requirement pytest (from versions: none)\nERROR: No matching distribution found for pytest",
		code: initrecord.CodeIndex, says: []string{"cannot be reached", "NewConnectionError"},
	},
	{
		name: "no trust in the index",
		text: "WARNING: Retrying (Retry(total=4)) after connection broken by 'SSLError(SSLCertVerificationError(1, '[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed'))': /simple/pytest/\nERROR: No matching distribution found for pytest",
		code: initrecord.CodeIndex, says: []string{"certificate", "INMANTA_CA_BUNDLE"},
	},
	{
		name: "an index over plain http",
		text: "WARNING: The repository located at pypi.example.com is not a trusted or secure host and is being ignored.\nERROR: No matching distribution found for pytest",
		code: initrecord.CodeIndex, says: []string{"plain http", "PIP_TRUSTED_HOST"},
	},
	{
		name: "no room",
		text: "ERROR: Could not install packages due to an OSError: [Errno 28] No space left on device",
		code: initrecord.CodeDiskFull, says: []string{"full"},
	},
	{
		name: "does not build",
		text: "  error: subprocess-exited-with-error\n  boom\nERROR: Failed building wheel for x",
		code: initrecord.CodeInstall, says: []string{"cannot be installed"},
	},
	{name: "nothing said", code: initrecord.CodeInstall, says: []string{"it said nothing"}},
}

func TestWhyPipFails(t *testing.T) {
	t.Parallel()
	for _, c := range pipFailures {
		f := pipFailure(strings.Split(c.text, "\n"), c.log)
		if f.code != c.code || f.fix == "" {
			t.Errorf("%s is told as %d, %q, %q; want %d", c.name, f.code, f.what, f.fix, c.code)
		}
		for _, word := range c.says {
			if !strings.Contains(f.what+" "+f.fix, word) {
				t.Errorf("%s does not say %q: %q, %q", c.name, word, f.what, f.fix)
			}
		}
	}
}

func FuzzPipFailure(f *testing.F) {
	for _, c := range pipFailures {
		f.Add(c.text, c.log)
	}
	f.Fuzz(func(t *testing.T, text, log string) {
		if got := pipFailure(strings.Split(text, "\n"), log); got.code == initrecord.CodeDone || got.what == "" || got.fix == "" {
			t.Fatalf("%q is told as %+v", text, got)
		}
	})
}

func TestPackages(t *testing.T) {
	t.Parallel()
	home := t.TempDir()
	folder := home + "/lib/python3.13/site-packages"
	for _, name := range []string{"inmanta_core-20.1.0.dist-info", "Jinja2-3.1.6.dist-info", "ruamel.yaml-0.19.1.dist-info", "pip", "x.egg-info", "broken.dist-info"} {
		if err := os.MkdirAll(folder+"/"+name, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	got, err := sitePackages(home)
	if err != nil || got != folder {
		t.Fatalf("the packages are in %q, %v", got, err)
	}
	found, err := installed(folder)
	if want := "inmanta-core==20.1.0\njinja2==3.1.6\nruamel-yaml==0.19.1\n"; err != nil || found.constraints() != want {
		t.Errorf("the constraints are\n%s, %v", found.constraints(), err)
	}
	if found.orchestrator() != "20.1.0" {
		t.Errorf("the orchestrator is %q", found.orchestrator())
	}
	if got := found.replaced(packages{"jinja2": "3.1.6", "inmanta-core": "19", "pytest": "9"}); !slices.Equal(got, []string{"inmanta-core 20.1.0 by 19"}) {
		t.Errorf("replaced: %v", got)
	}
	if _, err := sitePackages(t.TempDir()); explained(t.Context(), err).code != initrecord.CodeSettings {
		t.Errorf("an image without an orchestrator: %v", err)
	}
}

func TestFingerprint(t *testing.T) {
	t.Parallel()
	c := Config{Arguments: []string{"tests"}, Environment: []string{environmentVariable + "=a"}}
	c.Repository.URL = "u"
	base := fingerprint(c, "1", packages{"a": "1"})
	if base != fingerprint(c, "1", packages{"a": "1"}) {
		t.Error("the same is another")
	}
	other := c
	other.Arguments = []string{"te", "sts"}
	elsewhere := c
	elsewhere.Repository.URL = "v"
	named := c
	named.Environment = []string{environmentVariable + "=b"}
	for what, print := range map[string]string{
		"commit": fingerprint(c, "2", packages{"a": "1"}), "image": fingerprint(c, "1", packages{"a": "2"}), "arguments": fingerprint(other, "1", packages{"a": "1"}),
		"repository": fingerprint(elsewhere, "1", packages{"a": "1"}), "environment": fingerprint(named, "1", packages{"a": "1"}),
	} {
		if print == base {
			t.Errorf("another %s is the same", what)
		}
	}
}

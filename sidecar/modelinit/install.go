package modelinit

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/inmanta/inmanta-docker/sidecar/initrecord"
)

// reportPlugin is pytest's half of the progress: see there.
//
//go:embed inmanta_init_report.py
var reportPlugin []byte

const pluginName = "inmanta_init_report"

// virtual is the virtual environment in which the tests run.
func (j *job) virtual() string { return filepath.Join(j.config.work(), "env") }

func (j *job) python() string { return filepath.Join(j.virtual(), "bin", "python") }

// inVirtual is what runs in it gets.
func (j *job) inVirtual() []string {
	path := filepath.Join(j.virtual(), "bin") + ":" + value(j.config.Environment, "PATH", "/usr/local/bin:/usr/bin:/bin")
	kept := slices.DeleteFunc(slices.Clone(j.config.Environment), func(v string) bool { return strings.HasPrefix(v, "PATH=") })
	return append(kept, "VIRTUAL_ENV="+j.virtual(), "PATH="+path)
}

// makeEnvironment makes a virtual environment that has the orchestrator's
// packages without owning them: one of its own begins empty, and a .pth file
// names theirs. An environment with a pip of its own takes three times as long.
func (j *job) makeEnvironment(ctx context.Context, orchestrators string, image packages) error {
	python := filepath.Join(j.config.Places.Home, "bin", "python3")
	p := program{path: python, args: []string{"python3", "-m", "venv", "--without-pip", j.virtual()}, environment: j.config.Environment, line: j.log.output}
	if lines, err := j.run(ctx, p); err != nil {
		if _, ran := exitCode(err); !ran {
			return err
		}
		if _, full := says(lines, noSpace); full {
			return diskFull()
		}
		return failure{code: initrecord.CodeInstall, what: "no virtual environment can be made: " + last(lines), fix: "see what Python says: inmanta-docker logs init"}
	}
	own, err := sitePackages(j.virtual())
	if err != nil {
		return err
	}
	for path, text := range map[string][]byte{
		filepath.Join(own, "inmanta_orchestrator.pth"): []byte(orchestrators + "\n"),
		filepath.Join(own, pluginName+".py"):           reportPlugin,
		j.constraints():                                []byte(image.constraints()),
	} {
		if err := os.WriteFile(path, text, 0o644); err != nil {
			return fmt.Errorf("preparing the virtual environment: %w", err)
		}
	}
	return nil
}

func (j *job) constraints() string { return filepath.Join(j.config.work(), "constraints.txt") }

// pipLog has what pip says only there: why it did not take a wheel.
func (j *job) pipLog() string { return filepath.Join(j.config.work(), "pip.log") }

// requirements are the files that name what the module needs, where they exist.
var requirements = []string{"requirements.txt", "requirements.dev.txt"}

// install installs the module, and what it needs and the image has not.
func (j *job) install(ctx context.Context, image packages) error {
	args := []string{"python", "-m", "pip", "install", "--log", j.pipLog(), "--constraint", j.constraints()}
	found := false
	for _, name := range requirements {
		if exists(filepath.Join(j.module(), name)) {
			args, found = append(args, "--requirement", name), true
		}
	}
	for _, name := range []string{"pyproject.toml", "setup.cfg", "setup.py"} {
		// Editable: an installed module has no model.
		if exists(filepath.Join(j.module(), name)) {
			args, found = append(args, "--editable", "."), true
			break
		}
	}
	if !found {
		return failure{
			code: initrecord.CodeInstall, what: "the repository is no Inmanta module: it has neither pyproject.toml nor setup.cfg nor requirements.txt at its top",
			fix: "check INMANTA_MODULE_REPO_URL and INMANTA_MODULE_REPO_BRANCH",
		}
	}
	p := program{path: j.python(), args: args, dir: j.module(), environment: j.inVirtual(), line: j.pipSays}
	lines, err := j.run(ctx, p)
	if err != nil {
		if _, ran := exitCode(err); !ran {
			return err
		}
		text, _ := os.ReadFile(j.pipLog()) // without it less is known
		return pipFailure(lines, string(text))
	}
	own, err := sitePackages(j.virtual())
	if err != nil {
		return err
	}
	now, err := installed(own)
	if err != nil {
		return err
	}
	if replaced := image.replaced(now); len(replaced) > 0 {
		return failure{
			code: initrecord.CodeConstraint, what: "installing the module replaced packages of the orchestrator's: " + strings.Join(replaced, ", "),
			fix: "loosen the versions that the module asks for",
		}
	}
	if now["pytest"] == "" && image["pytest"] == "" {
		return failure{
			code: initrecord.CodeUsage, what: "nothing that the module asks for brings pytest, so no test can run",
			fix: "add pytest (and pytest-inmanta or pytest-inmanta-lsm) to its requirements.dev.txt",
		}
	}
	return nil
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return !errors.Is(err, fs.ErrNotExist)
}

// pipSays writes down what pip says, but for the packages that are there: there
// are dozens.
func (j *job) pipSays(line string) {
	if strings.HasPrefix(strings.TrimSpace(line), "Requirement already satisfied") || strings.TrimSpace(line) == "" {
		return
	}
	j.log.output(line)
	if step := strings.TrimSpace(line); slices.ContainsFunc([]string{"Collecting", "Downloading", "Building wheel", "Building editable", "Installing collected"}, func(w string) bool { return strings.HasPrefix(step, w) }) {
		j.log.on(step)
	}
}

var (
	// constrained is a package that the orchestrator has in the one version that it may have.
	constrained = regexp.MustCompile(`The user requested \(constraint\) (\S+)`)
	// wanted is what asks for another.
	wanted = regexp.MustCompile(`^(?:The user requested ([^(]\S*.*)|(\S+ \S+) depends on (.+))$`)
	// missing is a requirement that no version fits.
	missing = regexp.MustCompile(`(?:No matching distribution found for|that satisfies the requirement) ([^\s;(]+(?: *[<>=!~][^\s(]*)?)`)
	// otherPython is a link that pip passed over, in its log.
	otherPython = regexp.MustCompile(`Skipping link: none of the wheel's tags .*? are compatible.*?: (?:\S*/)?([A-Za-z0-9_.]+)-[^/\s]*\.whl|Link requires a different Python .*?: (?:\S*/)?([A-Za-z0-9_.]+)-`)
)

// pipFailure tells from what pip printed, and wrote into its log, why it failed.
func pipFailure(lines []string, log string) failure {
	fail := func(code initrecord.Code, fix, format string, args ...any) failure {
		return failure{code: code, what: fmt.Sprintf(format, args...), fix: fix}
	}
	if _, full := says(lines, noSpace); full {
		return diskFull()
	}
	if own := firstMatch(lines, constrained); own != "" {
		return fail(initrecord.CodeConstraint, "loosen that version in the module's requirements, or use an orchestrator that has it (INMANTA_ORCHESTRATOR_IMAGE)",
			"the module asks for %s, and the orchestrator is made with %s", asked(lines), own)
	}
	const otherPythons = "ask for a version that has one, or use an orchestrator on another Python (INMANTA_ORCHESTRATOR_IMAGE)"
	if line, ok := says(lines, "is not a supported wheel on this platform"); ok {
		return fail(initrecord.CodeWheel, otherPythons, "a wheel is not made for the orchestrator's Python: %s", strings.TrimPrefix(line, "ERROR: "))
	}
	if line, ok := says(lines, "requires a different Python"); ok {
		return fail(initrecord.CodeWheel, otherPythons, "a package is not made for the orchestrator's Python: %s", strings.TrimPrefix(line, "ERROR: "))
	}
	if name := firstMatch(lines, missing); name != "" {
		if line, unreachable := says(lines, "Retrying (", "Could not fetch URL", "HTTP error 40", "HTTP error 50", notSecure); unreachable {
			return indexFailure(line, lines)
		}
		project := normalised(regexp.MustCompile(`[\[<>=!~; ].*`).ReplaceAllString(name, ""))
		_, ignored := says(lines, "require a different python version")
		for _, m := range otherPython.FindAllStringSubmatch(log, -1) {
			ignored = ignored || normalised(m[1]+m[2]) == project
		}
		if ignored {
			return fail(initrecord.CodeWheel, otherPythons, "%s has no wheel for the orchestrator's Python", name)
		}
		return fail(initrecord.CodeResolution, "check the name and the version in the module's requirements, and PIP_INDEX_URL and PIP_EXTRA_INDEX_URL", "no index has %s", name)
	}
	if _, conflict := says(lines, "ResolutionImpossible", "conflicting dependencies"); conflict {
		return fail(initrecord.CodeResolution, "loosen one of the versions", "the module's requirements contradict each other: %s", asked(lines))
	}
	if line, ok := says(lines, "Retrying (", "Could not fetch URL", "HTTP error 40", "HTTP error 50", "ReadTimeoutError", "NewConnectionError"); ok {
		return indexFailure(line, lines)
	}
	line, ok := says(lines, "error: subprocess-exited-with-error", "Failed building", "Failed to build", "ERROR: ")
	if !ok {
		line = last(lines)
	}
	return fail(initrecord.CodeInstall, "see all that pip says: inmanta-docker logs init", "the module cannot be installed: %s", strings.TrimPrefix(line, "ERROR: "))
}

// notSecure is what pip says of an index over plain http.
const notSecure = "is not a trusted or secure host"

func indexFailure(line string, lines []string) failure {
	if _, plain := says(lines, notSecure); plain {
		return failure{
			code: initrecord.CodeIndex, what: "pip does not believe a package index over plain http",
			fix: "write its https URL into PIP_INDEX_URL, or set PIP_TRUSTED_HOST for both services in an overlay of your own",
		}
	}
	f := failure{code: initrecord.CodeIndex, what: "the package index cannot be reached: " + line, fix: "check PIP_INDEX_URL, proxies and the network; without one, set INMANTA_OFFLINE_FOLDER"}
	if _, tls := says(lines, "CERTIFICATE_VERIFY_FAILED", "certificate verify failed", "SSLError", "SSLCertVerificationError"); tls {
		f.what, f.fix = "the package index shows a certificate that is not trusted", "set INMANTA_CA_BUNDLE to a file with the authority that made it"
	}
	return f
}

// asked are the requirements that pip names as those in conflict.
func asked(lines []string) string {
	var all []string
	for _, l := range lines {
		m := wanted.FindStringSubmatch(strings.TrimSpace(l))
		if m == nil || constrained.MatchString(l) {
			continue
		}
		said := m[1]
		if said == "" {
			said = fmt.Sprintf("%s (for %s)", m[3], m[2])
		}
		if !slices.Contains(all, said) {
			all = append(all, said)
		}
	}
	if len(all) == 0 {
		return "another version"
	}
	return strings.Join(all, " and ")
}

func firstMatch(lines []string, form *regexp.Regexp) string {
	for _, l := range lines {
		if m := form.FindStringSubmatch(l); m != nil {
			return strings.TrimSpace(m[1])
		}
	}
	return ""
}

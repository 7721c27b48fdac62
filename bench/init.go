package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/inmanta/inmanta-docker/deployment"
)

// initPairs is how often an initialisation is compared: both sides take long.
const initPairs = 3

// gitServer is a git host beside the orchestrator.
const gitServer = `services:
  git:
    image: "${INMANTA_ORCHESTRATOR_IMAGE}"
    container_name: "${INMANTA_NAME}-git"
    user: "0:0"
    entrypoint: [git, -c, safe.directory=*, daemon, --export-all, --reuseaddr, --base-path=/srv/git]
    healthcheck: {disable: true}
    volumes:
      - {type: bind, source: ./git, target: /srv/git, read_only: true}
`

// upstreamSteps are those of upstream's entrypoint, as the user inmanta (root's
// files would be in the orchestrator's way) and without the installation of
// sudo, which the module's test case has no use for.
const upstreamSteps = `
chown inmanta: /var/lib/inmanta-init /var/cache/inmanta-init
exec setpriv --reuid=inmanta --regid=inmanta --init-groups sh -euc '
cd /var/lib/inmanta-init
git clone --quiet --branch master git://git/signpost.git module
/opt/inmanta/bin/python3 -m venv venv
cd module
../venv/bin/pip install -e . -c /constraints.txt -r requirements.dev.txt
../venv/bin/pytest tests'
`

// initialisation are the rows that compare the init sidecar with upstream's
// steps: from an orchestrator that serves and knows nothing to the module's
// resources deployed on it. Nothing is downloaded beforehand for either.
//
// Where packages come from is what the shell's PIP_INDEX_URL, HTTPS_PROXY and
// INMANTA_CA_BUNDLE say, for both.
func initialisation(ctx context.Context, w *workshop, chosen choice) error {
	what := "from `up` to initialised"
	if !chosen.has("init: " + what) {
		return nil
	}
	b, err := newInitBench(ctx, w)
	if err == nil {
		err = b.rows(ctx, what)
	}
	if b != nil {
		err = errors.Join(err, b.down(context.Background()))
	}
	if err != nil {
		return fmt.Errorf("init: %s: %w", what, err)
	}
	return nil
}

// initBench is a module in a repository, and what is measured of it.
type initBench struct {
	w           *workshop
	constraints string
	// again are the runs with nothing new.
	again []sample
	// tests are what pytest took of each run, in seconds.
	tests, testsByHand []float64
}

func newInitBench(ctx context.Context, w *workshop) (*initBench, error) {
	b := &initBench{w: w, constraints: filepath.Join(w.dir, "constraints.txt")}
	if err := os.WriteFile(filepath.Join(w.dir, "git.yml"), []byte(gitServer), 0o644); err != nil {
		return nil, err
	}
	env, err := deployment.ReadEnvFile(filepath.Join(w.dir, ".env"))
	if err == nil {
		err = env.Set("INMANTA_MODULE_REPO_URL", "git://git/signpost.git").Write(true)
	}
	if err != nil {
		return nil, err
	}
	publish := exec.CommandContext(ctx, "sh", "-euc", `
		tree=$(mktemp -d) && trap 'rm -rf "$tree"' EXIT
		cp -r e2e/testdata/init/signpost/. "$tree"
		cd "$tree"
		git init -q -b master
		git add -A
		git -c user.name=bench -c user.email=bench@localhost -c commit.gpgsign=false commit -q -m 'a module'
		git clone -q --bare . "$0/git/signpost.git"`, w.dir)
	if out, err := publish.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("publishing the module: %w\n%s", err, out)
	}
	if err := b.served(ctx); err != nil {
		return b, err
	}
	packages, err := exec.CommandContext(ctx, "docker", "exec", name+"-orchestrator", "/opt/inmanta/bin/python3", "-m", "pip", "list", "--format=freeze").Output()
	if err != nil {
		return b, fmt.Errorf("asking for the orchestrator's packages: %w", err)
	}
	return b, os.WriteFile(b.constraints, packages, 0o644)
}

// files are the arguments that name the topology.
func (b *initBench) files(args ...string) []string {
	return append([]string{"-f", "docker-compose.yml", "-f", "docker-compose.init.yml", "-f", "git.yml"}, args...)
}

func (b *initBench) down(ctx context.Context) error {
	_, err := b.w.command("docker-compose", b.files("down", "-v", "--timeout", "0")...)(ctx)
	return err
}

// served brings up everything but the sidecar, from nothing: the orchestrator
// has the sidecar's index, so it is not made anew when the sidecar comes.
func (b *initBench) served(ctx context.Context) error {
	if err := b.down(ctx); err != nil {
		return err
	}
	_, err := b.w.untilServing("docker-compose", b.files("up", "-d", "server", "git")...)(ctx)
	return err
}

func (b *initBench) rows(ctx context.Context, what string) error {
	ours, theirs, err := interleave(ctx, initPairs, b.served, b.ours, b.byHand)
	if err != nil {
		return err
	}
	header("upstream's steps by hand")
	row(fmt.Sprintf("%s (%d pairs)", what, initPairs), "≤ 0.6", seconds(ours), seconds(theirs), "s", 1)
	row("of it, pytest: mostly the orchestrator's own work", "", b.tests, b.testsByHand, "s", 1)
	row("without pytest", "", without(seconds(ours), b.tests), without(seconds(theirs), b.testsByHand), "s", 1)
	measuredHeader()
	first, again := quantile(seconds(ours), 0.5), quantile(seconds(b.again), 0.5)
	fmt.Printf("| `up` again, with nothing new (median of %d) | %.2f s, %.3f of the first | ≤ 0.1 of the first |\n", initPairs, again, again/first)
	return nil
}

// without is what is left of each.
func without(values, parts []float64) []float64 {
	var rest []float64
	for i := range values {
		rest = append(rest, values[i]-parts[i])
	}
	return rest
}

// pytestTook is the last line that pytest prints when all is well.
var pytestTook = regexp.MustCompile(`\b1 passed.* in ([0-9.]+)s`)

// inTests is how long pytest says that it took.
func inTests(said []byte) (float64, error) {
	m := pytestTook.FindSubmatch(said)
	if m == nil {
		return 0, fmt.Errorf("pytest does not say that all is well:\n%s", said)
	}
	return strconv.ParseFloat(string(m[1]), 64)
}

// ours is one initialisation by the sidecar, which ends with `up`, and then
// another `up`.
func (b *initBench) ours(ctx context.Context) (sample, error) {
	up := b.w.command("inmanta-docker", b.files("up")...)
	first, err := up(ctx)
	if err != nil {
		return sample{}, err
	}
	log, err := exec.CommandContext(ctx, "docker", "logs", name+"-init-sidecar").CombinedOutput()
	if err != nil {
		return sample{}, fmt.Errorf("reading the sidecar's log: %w\n%s", err, log)
	}
	took, err := inTests(log)
	if err != nil {
		return sample{}, err
	}
	b.tests = append(b.tests, took)
	again, err := up(ctx)
	if err != nil {
		return sample{}, err
	}
	b.again = append(b.again, again)
	return first, nil
}

// byHand is one by upstream's steps, in the image and on the network and the
// volume of the orchestrator.
func (b *initBench) byHand(ctx context.Context) (sample, error) {
	inspected, err := exec.CommandContext(ctx, "docker", "inspect", "-f", "{{.Config.Image}}", name+"-orchestrator").Output()
	if err != nil {
		return sample{}, fmt.Errorf("looking for the orchestrator's image: %w", err)
	}
	args := []string{
		"run", "--rm", "--name", name + "-by-hand", "--user", "0:0", "--network", name + "_default", "--entrypoint", "sh",
		"-v", name + "_inmanta-server-data:/var/lib/inmanta", "-v", "/var/lib/inmanta-init", "-v", "/var/cache/inmanta-init",
		"-v", b.constraints + ":/constraints.txt:ro",
		"-e", "HOME=/var/lib/inmanta-init", "-e", "PIP_CACHE_DIR=/var/cache/inmanta-init/pip", "-e", "PIP_DISABLE_PIP_VERSION_CHECK=1",
		"-e", "INMANTA_CLIENT_REST_TRANSPORT_HOST=server", "-e", "INMANTA_COMPILER_REST_TRANSPORT_HOST=server",
		"-e", "INMANTA_PIP_USE_SYSTEM_CONFIG=true", "-e", "INMANTA_LSM_ENVIRONMENT=719c7ad5-6657-444b-b536-a27174cb7498",
	}
	for _, variable := range []string{"PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY"} {
		if os.Getenv(variable) != "" {
			args = append(args, "-e", variable)
		}
	}
	if bundle := os.Getenv("INMANTA_CA_BUNDLE"); bundle != "" {
		args = append(args, "-v", bundle+":/ca.pem:ro", "-e", "PIP_CERT=/ca.pem", "-e", "REQUESTS_CA_BUNDLE=/ca.pem")
	}
	command := exec.CommandContext(ctx, "docker", append(args, strings.TrimSpace(string(inspected)), "-euc", upstreamSteps)...)
	begin := time.Now()
	said, err := command.CombinedOutput()
	whole := time.Since(begin)
	if err != nil {
		return sample{}, fmt.Errorf("upstream's steps: %w\n%s", err, said)
	}
	took, err := inTests(said)
	b.testsByHand = append(b.testsByHand, took)
	return sample{took: whole}, err
}

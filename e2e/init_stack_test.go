package e2e

import (
	"slices"
	"strings"
	"testing"

	"github.com/inmanta/inmanta-docker/sidecar/initrecord"
)

// signed is the environment that the module's test case makes, and signs how
// many resources it has there.
const (
	signed = "719c7ad5-6657-444b-b536-a27174cb7498"
	signs  = 3
)

// initialised fails the scenario unless the real orchestrator has the
// environment, has compiled the model itself, and has deployed all of it.
func (s *stack) initialised() {
	s.t.Helper()
	var reports struct {
		Data []struct {
			Success   bool
			Completed string
		}
	}
	if err := s.call("GET", "/api/v2/compilereport?limit=1&sort=requested.desc", signed, nil, &reports); err != nil {
		s.t.Fatal(err)
	}
	if len(reports.Data) != 1 || !reports.Data[0].Success || reports.Data[0].Completed == "" {
		s.t.Errorf("the orchestrator's last compile is %+v", reports.Data)
	}
	var resources struct {
		Metadata struct {
			Summary struct {
				Total int            `json:"total"`
				By    map[string]int `json:"by_state"`
			} `json:"deploy_summary"`
		}
	}
	if err := s.call("GET", "/api/v2/resource?limit=1&deploy_summary=true", signed, nil, &resources); err != nil {
		s.t.Fatal(err)
	}
	if got := resources.Metadata.Summary; got.Total != signs || got.By["deployed"] != signs {
		s.t.Errorf("the resources are %+v", got)
	}
	if got := s.docker("exec", s.server(), "sh", "-c", "cat /var/lib/inmanta/signs/north; stat -c ' %U:%G' /var/lib/inmanta/signs/north"); got != "Oslo inmanta:inmanta" {
		s.t.Errorf("on the volume there is %q", got)
	}
	// What root owned there would be in the orchestrator's way.
	if foreign := s.docker("exec", s.server(), "find", "/var/lib/inmanta", "!", "-user", "inmanta"); foreign != "" {
		s.t.Errorf("not the orchestrator's own are:\n%s", foreign)
	}
}

// lastRun is what status says of the init sidecar.
func (s *stack) lastRun(code int) initrecord.Record {
	s.t.Helper()
	r := s.fails(code, nil, "status", "--json")
	return decoded[struct{ Init initrecord.Record }](s.t, "status", r.stdout).Init
}

// From a module in a repository to its resources on the real orchestrator, and
// what becomes of it when the module changes.
func TestInit(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	m := newModule(t, signpost(t))
	s.must("init", s.dir)
	s.write("git.yml", gitServer(m))
	s.set("COMPOSE_FILE", "docker-compose.yml:docker-compose.init.yml:git.yml")
	s.set("INMANTA_MODULE_REPO_URL", "git://git/hello.git")
	if bundle := authorities(); bundle != "" {
		s.set("INMANTA_CA_BUNDLE", bundle)
	}
	// Of no use here, and to be seen by nobody.
	s.set("INMANTA_MODULE_REPO_TOKEN", "hunter22")
	sidecar := s.name + "-init-sidecar"

	up := s.must("up")
	for _, word := range []string{"Cloning", "Installing", "Testing", "Exited"} {
		if !strings.Contains(up.stderr, sidecar+"  "+word) {
			t.Errorf("up does not show %q:\n%s", word, up.stderr)
		}
	}
	if !strings.Contains(up.stdout, "initialised, 1 passed") {
		t.Errorf("up says\n%s", up.stdout)
	}
	s.initialised()
	if strings.Contains(up.stdout+up.stderr+inspectable(t, sidecar), "hunter22") {
		t.Error("the token is shown, in docker inspect, or in the log")
	}
	if got := s.sh("docker cp " + sidecar + ":/run/secrets/inmanta-module-repo-token - | tar tv --numeric-owner"); !strings.HasPrefix(got.stdout, "-r-------- 0/0 ") {
		t.Errorf("the token's file is %s%s", got.stdout, got.stderr)
	}
	first := s.lastRun(0)
	if commit := m.git("-C", m.dir, "rev-parse", "HEAD"); first.Commit != commit || first.Result != initrecord.ResultDone || first.Seconds <= 0 || !slices.Equal(first.Environments, []string{signed}) {
		t.Errorf("on record is %+v", first)
	}

	// The same again is nothing to do, unless it is asked for.
	if r := s.must("up", "--dry-run"); !strings.Contains(r.stdout, "looks whether there is more") {
		t.Errorf("up --dry-run says\n%s", r.stdout)
	}
	s.must("up")
	if log := s.docker("logs", "--tail", "1", sidecar); !strings.Contains(log, "nothing to do") {
		t.Errorf("a second up ends with %s", log)
	}
	if again := s.lastRun(0); !again.Started.Equal(first.Started) {
		t.Errorf("a second up is on record as %+v", again)
	}

	// A new commit is news, and why its test fails is shown.
	s.set("INMANTA_PYTEST_ARGUMENTS", "tests/test_more.py")
	m.commit(map[string]string{"tests/test_more.py": "def test_more():\n    assert 'a cat' == 'a dog'\n"})
	why := []string{"init-sidecar failed: 1 of 1 tests failed: tests/test_more.py::test_more", "E         - a dog", "exit code 40"}
	s.fails(1, why, "up")
	s.fails(1, why, "init-module")
	if failed := s.lastRun(3); failed.Code != initrecord.CodeTestsFailed || !slices.Equal(failed.Failing, []string{"tests/test_more.py::test_more"}) {
		t.Errorf("on record is %+v", failed)
	}
	s.fails(3, []string{"1 of 1 tests failed"}, "status")
	s.fails(2, []string{"it ended with exit code 40"}, "up", "--dry-run")

	m.commit(map[string]string{"tests/test_more.py": "def test_more():\n    pass\n"})
	s.must("init-module")
	second := s.lastRun(0)
	if second.Tests.Passed != 1 || !second.Started.After(first.Started) {
		t.Errorf("on record is %+v", second)
	}
	again := s.must("init-module", "--again", "--json")
	third := decoded[initrecord.Record](t, "init-module", again.stdout)
	if !strings.Contains(again.stderr, `"tests/test_more.py::test_more"`) {
		t.Errorf("init-module does not show which test runs:\n%s", again.stderr)
	}
	if third.Tests.Passed != 1 || !third.Started.After(second.Started) {
		t.Errorf("init-module --again says %+v", third)
	}
	s.initialised()

	// An orchestrator that has lost the environment is initialised again.
	if err := s.call("DELETE", "/api/v2/environment/"+signed, signed, nil, nil); err != nil {
		t.Fatal(err)
	}
	s.must("up")
	if fourth := s.lastRun(0); !fourth.Started.After(third.Started) {
		t.Errorf("without the environment, on record is %+v", fourth)
	}
	s.must("down")
	s.fails(1, []string{"the orchestrator does not run", "inmanta-docker up"}, "init-module")
}

// The README's lines, with both tools, without a network: the wheels and the
// repository come from a folder.
func TestInitExample(t *testing.T) {
	t.Parallel()
	for _, tool := range []string{"sudo docker compose", "inmanta-docker"} {
		t.Run(strings.ReplaceAll(tool, " ", "-"), func(t *testing.T) {
			t.Parallel()
			s := newStack(t)
			m := newModule(t, signpost(t))
			folder, err := wheels()
			if err != nil {
				t.Fatal(err)
			}
			s.must("init", s.dir)
			s.licence()
			s.ok("mkdir offline; cp -r " + folder + " offline/wheels; cp -r " + m.bare + " offline/hello.git; chmod -R a+rX offline")
			s.set("INMANTA_OFFLINE_FOLDER", "./offline")
			for _, line := range example(t, initSidecar) {
				for name, v := range map[string]string{
					"INMANTA_ORCHESTRATOR_IMAGE": orchestratorImage(), "INMANTA_MODULE_REPO_URL": "/srv/inmanta-offline/hello.git",
					"INMANTA_MODULE_REPO_BRANCH": "master", "INMANTA_PYTEST_ARGUMENTS": "tests",
				} {
					line = strings.ReplaceAll(line, name+"=...", name+"="+v)
				}
				ours := strings.ReplaceAll(line, "sudo docker compose", tool)
				r := s.sh(ours)
				if r.code != 0 {
					t.Fatalf("%s: exit code %d\n%s%s", ours, r.code, r.stdout, r.stderr)
				}
				switch {
				case strings.HasSuffix(line, "up -d"):
					if code := s.docker("wait", s.name+"-init-sidecar"); code != "0" {
						t.Fatalf("the sidecar ends with %s:\n%s", code, s.docker("logs", s.name+"-init-sidecar"))
					}
					s.initialised()
				case strings.HasSuffix(line, "ps -a"):
					if !strings.Contains(r.stdout, s.name+"-init-sidecar") {
						t.Errorf("%s does not list the sidecar:\n%s", ours, r.stdout)
					}
				case strings.HasSuffix(line, "down -v"):
					if got := s.volumes(); len(got) != 0 {
						t.Errorf("after %s there is %v", ours, got)
					}
				}
			}
		})
	}
}

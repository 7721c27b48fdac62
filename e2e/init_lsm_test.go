package e2e

import (
	"os"
	"strings"
	"testing"
)

// A test case of pytest-inmanta-lsm's, which is what the sidecar is for most of
// all: the package itself, from its index, with what the sidecar tells it. The
// module is in a private repository, and the authorities are a file of this host.
func TestInitWithPytestInmantaLSM(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	m := newModule(t, signpost(t, "lsm"))
	host := newSSHHost(t, m)
	url, authority := overTLS(t, m, "")
	s.must("init", s.dir)
	s.set("COMPOSE_FILE", "docker-compose.yml:docker-compose.init.yml")
	s.set("INMANTA_MODULE_REPO_URL", host.url())
	s.set("INMANTA_MODULE_REPO_SSH_KEY", host.clientKey)
	s.set("INMANTA_MODULE_REPO_KNOWN_HOSTS", host.known)
	s.write("authorities.pem", joined(t, authority, authorities()))
	s.set("INMANTA_CA_BUNDLE", "./authorities.pem")
	if r := s.must("up"); !strings.Contains(r.stdout, "initialised, 1 passed") {
		t.Errorf("up says\n%s", r.stdout)
	}
	s.initialised()
	// What the module's .gitignore names stays behind.
	if sent := s.docker("exec", s.server(), "ls", "-A", "/var/lib/inmanta/server/"+signed+"/compiler/libs/signpost/tests"); !strings.Contains(sent, "test_init.py") || strings.Contains(sent, "ignored.log") {
		t.Errorf("of the module's tests there are\n%s", sent)
	}
	if secret := strings.Split(host.clientKey, "\n")[1]; strings.Contains(inspectable(t, s.name+"-init-sidecar"), secret) {
		t.Error("the key is in docker inspect, or in the log")
	}
	// What the orchestrator fetches by itself is believed by the same authorities.
	s.docker("exec", "-u", "inmanta", s.server(), "git", "ls-remote", url)
	// Again: it empties the environment first, and fills it anew.
	s.must("init-module", "--again")
	s.initialised()
}

// joined is the text of those files that are named.
func joined(t *testing.T, files ...string) string {
	t.Helper()
	var all strings.Builder
	for _, file := range files {
		if file == "" {
			continue
		}
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		all.Write(append(text, '\n'))
	}
	return all.String()
}

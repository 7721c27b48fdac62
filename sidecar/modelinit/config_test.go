package modelinit

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/inmanta/inmanta-docker/problem"
)

// places are those of a container, below a folder of the test's own.
func places(t *testing.T) Places {
	t.Helper()
	root := t.TempDir()
	p := Places{
		Folder: root + "/folder", Cache: root + "/cache", State: root + "/state", Home: root + "/home",
		Secrets: root + "/secrets", CABundle: root + "/ca.pem", Offline: root + "/offline",
	}
	for _, folder := range []string{p.Folder, p.Cache, p.State, p.Secrets} {
		if err := os.Mkdir(folder, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return p
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestEverythingWrongIsToldAtOnce(t *testing.T) {
	t.Parallel()
	p := places(t)
	write(t, p.Secrets+"/"+keyFile, "no key\n")
	write(t, p.Secrets+"/"+tokenFile, "two\nlines\n")
	write(t, p.Offline+"/hello.git/HEAD", "")
	if err := os.WriteFile(p.CABundle, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := FromEnvironment([]string{"INMANTA_MODULE_REPO_BRANCH=a..b", "INMANTA_PYTEST_ARGUMENTS='", "INMANTA_INIT_PATIENCE=soon"}, p)
	var where []string
	for _, p := range problem.In(err) {
		where = append(where, p.Where)
		if p.What == "" || p.Fix == "" {
			t.Errorf("half a problem: %+v", p)
		}
	}
	want := []string{
		"INMANTA_MODULE_REPO_URL", "INMANTA_MODULE_REPO_BRANCH", "INMANTA_PYTEST_ARGUMENTS", "INMANTA_INIT_PATIENCE",
		"INMANTA_MODULE_REPO_SSH_KEY", "INMANTA_MODULE_REPO_TOKEN", "INMANTA_CA_BUNDLE", "INMANTA_OFFLINE_FOLDER",
	}
	if !slices.Equal(where, want) {
		t.Errorf("told of %v, want %v", where, want)
	}
}

func TestDefaults(t *testing.T) {
	t.Parallel()
	p := places(t)
	write(t, p.Secrets+"/"+tokenFile, "hunter22\n")
	write(t, p.Secrets+"/"+keyFile, "\n")
	c, err := FromEnvironment([]string{
		"INMANTA_MODULE_REPO_URL=https://git.example.com/hello.git", "INMANTA_MODULE_REPO_BRANCH=", "INMANTA_PYTEST_ARGUMENTS=",
		"PIP_INDEX_URL=", "UV_INDEX=", "PATH=/usr/bin",
	}, p)
	if err != nil {
		t.Fatal(err)
	}
	if c.Branch != "master" || !slices.Equal(c.Arguments, []string{"tests"}) || c.API != "server:8888" || c.Patience != 10*time.Minute || c.Token != "hunter22" || c.Key != "" || c.CABundle != "" {
		t.Errorf("the defaults are %+v", c)
	}
	for _, variable := range c.Environment {
		name, v, _ := strings.Cut(variable, "=")
		if v == "" || strings.Contains(v, "hunter22") || name == "PIP_CERT" || name == "PIP_NO_INDEX" || name == "http_proxy" {
			t.Errorf("what runs gets %s", variable)
		}
	}
	for name, want := range map[string]string{
		"INMANTA_LSM_ENVIRONMENT": defaultEnvironment, "INMANTA_LSM_HOST": "server", "INMANTA_LSM_SRV_PORT": "8888",
		"INMANTA_LSM_CONTAINER_ENV": "true", "INMANTA_LSM_NO_CLEAN": "true", "INMANTA_LSM_NO_HALT": "true",
		"INMANTA_LSM_REMOTE_HOST": remoteHost, "INMANTA_LSM_REMOTE_SHELL": "/usr/local/bin/inmanta-sidecar init here",
		"INMANTA_CLIENT_REST_TRANSPORT_HOST": "server", "INMANTA_CMDLINE_REST_TRANSPORT_HOST": "server", "INMANTA_COMPILER_REST_TRANSPORT_PORT": "8888",
		"PIP_CACHE_DIR": p.Cache + "/pip", "HOME": p.Folder + "/work/home",
	} {
		if got := value(c.Environment, name, ""); got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
}

func TestTheNetworkAsItIsThere(t *testing.T) {
	t.Parallel()
	p := places(t)
	write(t, p.CABundle, "-----BEGIN CERTIFICATE-----")
	write(t, p.Offline+"/wheels/x.whl", "")
	c, err := FromEnvironment([]string{
		"INMANTA_MODULE_REPO_URL=/srv/hello", "INMANTA_LSM_HOST=::1", "INMANTA_LSM_SRV_PORT=9999", "INMANTA_LSM_ENVIRONMENT=mine", "INMANTA_LSM_NO_HALT=false",
		"HTTPS_PROXY=http://proxy:3128", "NO_PROXY=git.example.com", "PIP_CERT=/elsewhere",
	}, p)
	if err != nil {
		t.Fatal(err)
	}
	if c.API != "[::1]:9999" {
		t.Errorf("the orchestrator is at %s", c.API)
	}
	for name, want := range map[string]string{
		"PIP_CERT": p.CABundle, "GIT_SSL_CAINFO": p.CABundle, "REQUESTS_CA_BUNDLE": p.CABundle, "SSL_CERT_FILE": p.CABundle,
		"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": p.Offline + "/wheels",
		"https_proxy": "http://proxy:3128", "http_proxy": "", "no_proxy": "git.example.com,::1,localhost,127.0.0.1",
		"INMANTA_LSM_ENVIRONMENT": "mine", "INMANTA_LSM_NO_HALT": "false", "INMANTA_LSM_HOST": "::1",
	} {
		if got := value(c.Environment, name, ""); got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
}

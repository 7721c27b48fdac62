package e2e

import (
	"maps"
	"net/http"
	"net/http/httputil"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/inmanta/inmanta-docker/sidecar/initrecord"
)

// settingsTest is what the tests of a module see of the settings for downloads.
const settingsTest = `
import os, urllib.request

def test_settings():
    assert os.environ["UV_DEFAULT_INDEX"] == "http://index.example.test/simple"
    assert os.environ["UV_INDEX"] == "http://more.example.test/simple"
    assert os.environ["HTTP_PROXY"] == os.environ["http_proxy"] == os.environ["HTTPS_PROXY"]

def test_orchestrator_is_reached_directly():
    host, port = os.environ["INMANTA_LSM_HOST"], os.environ["INMANTA_LSM_SRV_PORT"]
    assert urllib.request.urlopen(f"http://{host}:{port}/api/v1/serverstatus").status == 200
`

// proxied is a proxy, behind which are a repository, and an index that wants a
// password; neither is anywhere else.
type proxied struct {
	url   string
	index *index
	mu    sync.Mutex
	asked map[string]int
}

// indexPassword is the index's, and netrc the file that has it.
const (
	indexPassword = "hunter22"
	netrc         = "machine index.example.test login me password " + indexPassword + "\n"
)

func newProxy(t *testing.T, m *module) *proxied {
	t.Helper()
	folder, err := wheels()
	if err != nil {
		t.Fatal(err)
	}
	p := &proxied{index: newIndex(t, folder), asked: map[string]int{}}
	hosts := map[string]http.Handler{
		"git.example.test": m.smartHTTP(""),
		"index.example.test": http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if user, password, _ := r.BasicAuth(); user != "me" || password != indexPassword {
				w.Header().Set("WWW-Authenticate", `Basic realm="index"`)
				w.WriteHeader(http.StatusUnauthorized)
				return
			}
			(&httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) { r.Out.URL.Host = p.index.address }}).ServeHTTP(w, r)
		}),
	}
	p.url = "http://" + serving(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p.mu.Lock()
		p.asked[r.URL.Host]++
		p.mu.Unlock()
		if host, ok := hosts[r.URL.Host]; ok {
			host.ServeHTTP(w, r)
			return
		}
		http.Error(w, "no such host", http.StatusBadGateway)
	}))
	return p
}

// settings are those of a deployment behind it.
func (p *proxied) settings() map[string]string {
	return map[string]string{
		"INMANTA_MODULE_REPO_URL": "http://git.example.test/hello.git",
		"HTTP_PROXY":              p.url, "HTTPS_PROXY": p.url, "NO_PROXY": "localhost",
		"PIP_INDEX_URL":    "http://index.example.test/simple",
		"UV_DEFAULT_INDEX": "http://index.example.test/simple", "UV_INDEX": "http://more.example.test/simple",
	}
}

// served fails the scenario unless the two were asked, and nobody else.
func (p *proxied) served(t *testing.T) {
	t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.asked) != 2 || p.asked["git.example.test"] == 0 || p.asked["index.example.test"] == 0 {
		t.Errorf("through the proxy went %v", p.asked)
	}
	if len(p.index.fetched()) == 0 {
		t.Error("nothing came from the index")
	}
}

func TestInitBehindProxy(t *testing.T) {
	t.Parallel()
	m := newModule(t, tested(settingsTest))
	r := newInitRun(t, m)
	p := newProxy(t, m)
	file := filepath.Join(t.TempDir(), "netrc")
	if err := os.WriteFile(file, []byte(netrc), 0o644); err != nil {
		t.Fatal(err)
	}
	r.mounts = []string{"-v", file + ":/etc/inmanta-sidecar/netrc:ro"}
	maps.Copy(r.env, p.settings())
	r.env["NETRC"], r.env["PIP_TRUSTED_HOST"] = "/etc/inmanta-sidecar/netrc", "index.example.test"
	e := r.run().is(initrecord.CodeDone, "2 passed")
	if strings.Contains(e.log, indexPassword) {
		t.Error("the password is in the log")
	}
	p.served(t)
}

// The settings are the orchestrator's, too, and so is the page's overlay for a
// password: it installs by itself what it deploys with.
func TestInitStackBehindProxy(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	m := newModule(t, signpost(t))
	p := newProxy(t, m)
	s.must("init", s.dir)
	s.write("netrc", netrc)
	s.write("netrc.yml", netrcOverlay(t))
	// An index over https would need no such thing.
	s.write("http.yml", "services: {init: &http {environment: {PIP_TRUSTED_HOST: index.example.test}}, server: *http}\n")
	s.set("COMPOSE_FILE", "docker-compose.yml:docker-compose.init.yml:netrc.yml:http.yml")
	for name, value := range p.settings() {
		s.set(name, value)
	}
	s.must("up")
	s.initialised()
	s.docker("exec", "-u", "inmanta", s.server(), "git", "ls-remote", "http://git.example.test/hello.git")
	p.served(t)
	if strings.Contains(inspectable(t, s.name+"-init-sidecar")+inspectable(t, s.server()), indexPassword) {
		t.Error("the index's password is in docker inspect, or in a log")
	}
}

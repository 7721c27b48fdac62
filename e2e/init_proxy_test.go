package e2e

import (
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

// The repository and the index are behind a proxy, and nowhere else; the index
// wants a password, which a .netrc has.
func TestInitBehindProxy(t *testing.T) {
	t.Parallel()
	m := newModule(t, tested(settingsTest))
	r := newInitRun(t, m)
	folder, err := wheels()
	if err != nil {
		t.Fatal(err)
	}
	index := newIndex(t, folder)
	var mu sync.Mutex
	asked := map[string]int{}
	hosts := map[string]http.Handler{
		"git.example.test": m.smartHTTP(""),
		"index.example.test": http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if user, password, _ := r.BasicAuth(); user != "me" || password != "hunter22" {
				w.Header().Set("WWW-Authenticate", `Basic realm="index"`)
				w.WriteHeader(http.StatusUnauthorized)
				return
			}
			(&httputil.ReverseProxy{Rewrite: func(p *httputil.ProxyRequest) { p.Out.URL.Host = index.address }}).ServeHTTP(w, r)
		}),
	}
	proxy := "http://" + serving(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		asked[r.URL.Host]++
		mu.Unlock()
		if host, ok := hosts[r.URL.Host]; ok {
			host.ServeHTTP(w, r)
			return
		}
		http.Error(w, "no such host", http.StatusBadGateway)
	}))
	netrc := filepath.Join(t.TempDir(), "netrc")
	if err := os.WriteFile(netrc, []byte("machine index.example.test login me password hunter22\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	r.mounts = []string{"-v", netrc + ":/etc/inmanta-sidecar/netrc:ro"}
	for name, value := range map[string]string{
		"INMANTA_MODULE_REPO_URL": "http://git.example.test/hello.git",
		"HTTP_PROXY":              proxy, "HTTPS_PROXY": proxy, "NO_PROXY": "localhost",
		"NETRC": "/etc/inmanta-sidecar/netrc", "PIP_INDEX_URL": "http://index.example.test/simple", "PIP_TRUSTED_HOST": "index.example.test",
		"UV_DEFAULT_INDEX": "http://index.example.test/simple", "UV_INDEX": "http://more.example.test/simple",
	} {
		r.env[name] = value
	}
	e := r.run().is(initrecord.CodeDone, "2 passed")
	if strings.Contains(e.log, "hunter22") {
		t.Error("the password is in the log")
	}
	mu.Lock()
	defer mu.Unlock()
	if len(asked) != 2 || asked["git.example.test"] == 0 || asked["index.example.test"] == 0 {
		t.Errorf("through the proxy went %v", asked)
	}
	if len(index.fetched()) == 0 {
		t.Error("nothing came from the index")
	}
}

package image

import (
	"context"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestCandidates(t *testing.T) {
	for name, test := range map[string]struct {
		sources             string
		mirrors, securities []string
	}{
		"one line each": {
			sources:    "deb [signed-by=/usr/share/keyrings/x.gpg] http://mirror.corp/debian/ trixie main\n# deb\ndeb http://mirror.corp/debian-security trixie-security main\n",
			mirrors:    []string{"http://mirror.corp/debian"},
			securities: []string{"http://mirror.corp/debian-security"},
		},
		"deb822": {
			sources:    "Types: deb\nURIs: https://a.corp/debian https://b.corp/pub/debian\nSuites: trixie\n\nTypes: deb\nURIs: https://a.corp/debian-security/\n",
			mirrors:    []string{"https://a.corp/debian", "https://b.corp/pub/debian"},
			securities: []string{"https://a.corp/debian-security"},
		},
		"other distributions, other schemes": {
			sources: "deb http://archive.ubuntu.com/ubuntu noble main\ndeb cdrom:[x]/debian trixie main\ndeb file:/srv/debian trixie main\ndeb https://apt.postgresql.org/pub/repos/apt trixie-pgdg main\n",
		},
		"a quote cannot get out of the file it is written to": {sources: "URIs: http://x/\";Dir::Bin::dpkg/debian http://x/'/debian"},
		"the same twice": {sources: "http://m/debian http://m/debian/", mirrors: []string{"http://m/debian"}},
		"nothing":        {},
	} {
		t.Run(name, func(t *testing.T) {
			mirrors, securities := candidates(test.sources)
			if !slices.Equal(mirrors, test.mirrors) || !slices.Equal(securities, test.securities) {
				t.Errorf("got %q and %q, want %q and %q", mirrors, securities, test.mirrors, test.securities)
			}
		})
	}
}

func FuzzCandidates(f *testing.F) {
	f.Add("deb http://mirror.corp/debian/ trixie main\nURIs: https://x/debian-security")
	f.Fuzz(func(t *testing.T, sources string) {
		mirrors, securities := candidates(sources)
		for _, address := range append(mirrors, securities...) {
			if strings.ContainsAny(address, " \t\n'\"\\") || !isHTTP(address) {
				t.Fatalf("%q is no address", address)
			}
		}
	})
}

// A mirror is used only where it is Debian's, and has the release.
func TestServing(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/good/debian/dists/trixie/InRelease":
			_, _ = w.Write([]byte("-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA256\n\nOrigin: Debian\nLabel: Debian\n"))
		case "/docker/debian/dists/trixie/InRelease":
			_, _ = w.Write([]byte("Origin: Docker\n"))
		default:
			http.NotFound(w, r)
		}
	}))
	defer server.Close()
	gone := httptest.NewServer(http.NotFoundHandler())
	gone.Close()
	good := server.URL + "/good/debian"
	for name, test := range map[string]struct {
		archives []string
		want     string
	}{
		"none":             {want: debianMirror},
		"one that has it":  {archives: []string{good}, want: good},
		"the first of two": {archives: []string{gone.URL, server.URL + "/docker/debian", server.URL + "/old/debian", good}, want: good},
		"none that has it": {archives: []string{gone.URL, server.URL + "/old/debian", "http://\x7f/debian"}, want: debianMirror},
		"Debian's own":     {archives: []string{debianMirror, good}, want: debianMirror},
	} {
		if got := serving(t.Context(), test.archives, "trixie", debianMirror); got != test.want {
			t.Errorf("%s: got %q, want %q", name, got, test.want)
		}
	}
}

func TestAptProxy(t *testing.T) {
	for answer, want := range map[string]string{
		"proxy='http://10.0.0.1:3142/'\n": "http://10.0.0.1:3142/",
		"":                                "",
		"proxy='DIRECT'":                  "",
		"other='http://x/'":               "",
		"proxy='http://x/\";Dir \"'":      "",
		"proxy='http://x'\\''y/'":         "",
	} {
		if got := aptProxy(answer); got != want {
			t.Errorf("%q: got %q, want %q", answer, got, want)
		}
	}
}

func FuzzAptProxy(f *testing.F) {
	f.Add("proxy='http://10.0.0.1:3142/'\n")
	f.Fuzz(func(t *testing.T, answer string) {
		if got := aptProxy(answer); strings.ContainsAny(got, "'\"\n\\") {
			t.Fatalf("%q would break out of apt.conf", got)
		}
	})
}

func TestSurroundingsBecomeFiles(t *testing.T) {
	bare := surroundings{Mirror: debianMirror, Security: debianSecurity}.files()
	if got := string(bare["apt.conf"]); got != "Acquire::Retries \"3\";\n" {
		t.Errorf("apt.conf of a host with nothing is %q", got)
	}
	if len(bare["environment"]) != 0 || bare["certificates.pem"] != nil || bare["pip.conf"] != nil {
		t.Errorf("a host with nothing gives %q", bare)
	}
	public, err := recipeFiles.ReadFile("recipe/base/debian.org.sources")
	if err != nil || string(bare["debian.sources"]) != string(public) {
		t.Errorf("Debian's own archives become %q (%v)", bare["debian.sources"], err)
	}

	full := surroundings{
		Certificates: []byte("PEM"), PipConfig: []byte("[global]\n"), AptProxy: "http://p:1/",
		Mirror: "https://m/debian", Security: "https://s/debian-security",
		Environment: map[string]string{"http_proxy": "http://user:it's $HOME@p:3128"},
	}.files()
	if got, want := string(full["apt.conf"]), "Acquire::Retries \"3\";\nAcquire::http::Proxy \"http://p:1/\";\nAcquire::https::CAInfo \"/build/certificates.pem\";\n"; got != want {
		t.Errorf("apt.conf is %q, want %q", got, want)
	}
	if got := string(full["debian.sources"]); strings.Contains(got, "deb.debian.org") ||
		!strings.Contains(got, "URIs: https://m/debian\n") || !strings.Contains(got, "URIs: https://s/debian-security\n") {
		t.Errorf("debian.sources is\n%s", got)
	}
	if got := throughShell(t, full["environment"], "http_proxy", "PIP_CERT", "PIP_CONFIG_FILE"); got != "http://user:it's $HOME@p:3128|/build/certificates.pem|/build/pip.conf" {
		t.Errorf("the shell of a build reads %q", got)
	}
}

// throughShell is what a shell makes of a file of exports.
func throughShell(t *testing.T, exports []byte, names ...string) string {
	t.Helper()
	script := string(exports) + "printf '%s' \"$" + strings.Join(names, "|$") + "\"\n"
	output, err := exec.Command("env", "-i", "/bin/sh", "-c", script).CombinedOutput()
	if err != nil {
		t.Fatalf("sh: %v\n%s", err, output)
	}
	return string(output)
}

func FuzzExports(f *testing.F) {
	f.Add("http://user:pass@proxy:3128")
	f.Add("it's $(id) `id` \\ \"x\"\nexport y=1")
	f.Fuzz(func(t *testing.T, value string) {
		if strings.ContainsRune(value, 0) {
			return // no variable can hold it
		}
		if got := throughShell(t, exports(map[string]string{"x": value}), "x"); got != value {
			t.Fatalf("%q became %q", value, got)
		}
	})
}

func TestLookAround(t *testing.T) {
	folder := t.TempDir()
	write := func(name, content string) string {
		file := filepath.Join(folder, name)
		writeFile(t, file, content)
		return file
	}
	t.Setenv("SSL_CERT_FILE", write("bundle.pem", "certificates"))
	t.Setenv("PIP_CONFIG_FILE", write("pip.conf", "[global]\n"))
	t.Setenv("PIP_INDEX_URL", "https://index.corp/simple")
	t.Setenv("https_proxy", "http://proxy.corp:3128")
	t.Setenv("SECRET_OF_THE_HOST", "x")
	got, err := lookAround(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	if string(got.Certificates) != "certificates" || string(got.PipConfig) != "[global]\n" ||
		got.Environment["PIP_INDEX_URL"] != "https://index.corp/simple" || got.Environment["https_proxy"] != "http://proxy.corp:3128" {
		t.Errorf("got %+v", got)
	}
	if _, leaks := got.Environment["SECRET_OF_THE_HOST"]; leaks {
		t.Error("a variable that is nobody's business is handed to the build")
	}
	t.Setenv("PIP_CONFIG_FILE", filepath.Join(folder, "gone"))
	if _, err := lookAround(context.Background()); err == nil {
		t.Error("a PIP_CONFIG_FILE that is not there passes")
	}
}

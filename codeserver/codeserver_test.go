package codeserver

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/inmanta/inmanta-docker/problem"
	"github.com/inmanta/inmanta-docker/progress"
	"github.com/inmanta/inmanta-docker/sidecar/release"
)

func sum(text string) string {
	digest := sha256.Sum256([]byte(text))
	return hex.EncodeToString(digest[:])
}

// id is the ID of the problem in an error; "" where there is none.
func id(err error) string {
	var p problem.Problem
	if errors.As(err, &p) {
		return p.ID
	}
	return ""
}

func TestChoose(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	name := release.FileName("amd64")
	listed := strings.Repeat("ab", 32)
	for path, text := range map[string]string{
		"plain/x.tar.gz": "x", "plain/" + name: "x", "listed/y.tar.gz": "y",
		"listed/SHA256SUMS": "0000  other.tar.gz\n" + strings.ToUpper(listed) + "  y.tar.gz\n", "odd/z.tar.gz/in": "",
	} {
		path = filepath.Join(dir, path)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(text), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	pinned, own := release.Checksum("amd64"), strings.Repeat("0C", 32)
	for what, c := range map[string]struct {
		source, checksum, processor string
		path, url, want, id         string
	}{
		"the project's":               {"", "", "amd64", "", release.URL("amd64"), pinned, ""},
		"the project's, for another":  {"", "", "arm64", "", release.URL("arm64"), release.Checksum("arm64"), ""},
		"the project's, for nobody":   {"", "", "riscv64", "", "", "", "code-server-processor"},
		"a mirror's file":             {"https://m.example/a.tar.gz", "", "amd64", "", "https://m.example/a.tar.gz", pinned, ""},
		"a mirror's folder":           {"https://m.example/a/", "", "amd64", "", "https://m.example/a/" + name, pinned, ""},
		"a mirror's own":              {"http://m.example/a.tgz", own, "riscv64", "", "http://m.example/a.tgz", strings.ToLower(own), ""},
		"no mirror":                   {"https://", "", "amd64", "", "", "", "code-server-url"},
		"a file":                      {"plain/x.tar.gz", "", "amd64", "plain/x.tar.gz", "", pinned, ""},
		"a file, and its checksum":    {"./plain/x.tar.gz", own, "amd64", "plain/x.tar.gz", "", strings.ToLower(own), ""},
		"a folder":                    {dir + "/plain", "", "amd64", "plain/" + name, "", pinned, ""},
		"a file that is listed":       {"listed/y.tar.gz", "", "amd64", "listed/y.tar.gz", "", listed, ""},
		"one that is listed, and not": {"listed/y.tar.gz", own, "amd64", "listed/y.tar.gz", "", strings.ToLower(own), ""},
		"no file":                     {"plain/none.tar.gz", "", "amd64", "", "", "", "code-server-missing"},
		"an empty folder":             {"listed", "", "amd64", "", "", "", "code-server-missing"},
		"a file, for nobody":          {"plain/x.tar.gz", "", "riscv64", "", "", "", "code-server-processor"},
	} {
		got, err := choose(Wanted{Source: c.source, Checksum: c.checksum, Dir: dir, Place: ".env:1"}, c.processor)
		if id(err) != c.id || (err != nil) != (c.id != "") {
			t.Errorf("%s: %v, want %q", what, err, c.id)
			continue
		}
		if err != nil {
			continue
		}
		address := ""
		if got.url != nil {
			address = got.url.String()
		}
		path := ""
		if c.path != "" {
			path = filepath.Join(dir, c.path)
		}
		if got.path != path || address != c.url || got.checksum != c.want {
			t.Errorf("%s: %+v at %q", what, got, address)
		}
	}
}

func TestFetch(t *testing.T) {
	t.Parallel()
	const content = "a tarball, as far as anybody can tell"
	asked := 0
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked++
		switch r.URL.Path {
		case "/whole.tar.gz":
			_, _ = w.Write([]byte(content))
		case "/moved.tar.gz":
			http.Redirect(w, r, "/whole.tar.gz", http.StatusFound)
		case "/half.tar.gz":
			w.Header().Set("Content-Length", "100")
			_, _ = w.Write([]byte(content))
		case "/page.tar.gz":
			_, _ = w.Write([]byte("<html>log in to this network first</html>"))
		default:
			http.NotFound(w, r)
		}
	}))
	defer server.Close()
	gone := httptest.NewServer(nil)
	gone.Close()
	for name, c := range map[string]struct{ url, id, says string }{
		"whole":      {server.URL + "/whole.tar.gz", "", ""},
		"moved":      {server.URL + "/moved.tar.gz", "", ""},
		"half":       {server.URL + "/half.tar.gz", "code-server-unreachable", "unexpected EOF"},
		"a page":     {server.URL + "/page.tar.gz", "code-server-damaged", "is damaged"},
		"not there":  {server.URL + "/none.tar.gz", "code-server-unreachable", "404"},
		"nobody":     {gone.URL + "/whole.tar.gz", "code-server-unreachable", "connection refused"},
		"a password": {strings.Replace(gone.URL, "//", "//me:hunter2@", 1) + "/whole.tar.gz", "code-server-unreachable", "me:xxxxx@"},
	} {
		folder := t.TempDir()
		address, err := url.Parse(c.url)
		if err != nil {
			t.Fatal(err)
		}
		from := origin{url: address, checksum: sum(content), place: ".env:1", told: address.Redacted()}
		path, err := fetch(t.Context(), folder, from, progress.Discard)
		if id(err) != c.id || err != nil && (!strings.Contains(err.Error(), c.says) || strings.Contains(err.Error(), "hunter2")) {
			t.Errorf("%s: %v", name, err)
		}
		left, _ := os.ReadDir(folder)
		if err != nil && len(left) != 0 {
			t.Errorf("%s leaves %v", name, left)
		}
		if err != nil {
			continue
		}
		before := asked
		if again, err := fetch(t.Context(), folder, from, progress.Discard); err != nil || again != path || asked != before {
			t.Errorf("%s: the next time it is %q, %v, asked for %d times", name, again, err, asked-before)
		}
		// One that was damaged since is fetched again.
		if err := os.WriteFile(path, []byte(content[1:]), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := fetch(t.Context(), folder, from, progress.Discard); err != nil || asked == before {
			t.Errorf("%s: damaged since, %v", name, err)
		}
	}
	stopped, stop := context.WithCancel(t.Context())
	stop()
	address, _ := url.Parse(server.URL + "/whole.tar.gz")
	if _, err := fetch(stopped, t.TempDir(), origin{url: address, checksum: sum(content)}, progress.Discard); !errors.Is(err, context.Canceled) {
		t.Errorf("called off: %v", err)
	}
}

func TestOpenWhole(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "x.tar.gz")
	if err := os.WriteFile(path, []byte("content"), 0o600); err != nil {
		t.Fatal(err)
	}
	file, size, err := openWhole(t.Context(), path, origin{checksum: sum("content")}, progress.Discard)
	if err != nil || size != 7 {
		t.Fatalf("%d bytes, %v", size, err)
	}
	file.Close()
	if _, _, err := openWhole(t.Context(), path, origin{checksum: sum("other")}, progress.Discard); id(err) != "code-server-damaged" || !strings.Contains(err.Error(), sum("content")) {
		t.Errorf("another content: %v", err)
	}
	if _, _, err := openWhole(t.Context(), path+"x", origin{}, progress.Discard); id(err) != "code-server-unreadable" {
		t.Errorf("no file: %v", err)
	}
}

func TestWhatTheInstallerSays(t *testing.T) {
	t.Parallel()
	in := installer{wanted: Wanted{Volume: "v", Sidecar: "/s"}}
	for said, want := range map[string]string{
		"the volume for code-server is read-only: mkdirat x: read-only file system": "code-server-volume-read-only",
		"the engine's disk is full: write x: no space left on device":               "disk-space",
		"Error response from daemon: Error processing tar: no space left on device": "disk-space",
		"the tarball is for arm64, and this engine runs amd64":                      "code-server-processor",
		"exec /inmanta-sidecar: exec format error":                                  "sidecar-platform",
		"the tarball has a link that leads out of it: \"x\" to \"/etc\"":            "code-server-refused",
	} {
		if p := in.refused(origin{place: ".env:1"}, said, nil); p.ID != want || p.Fix == "" || p.Where == "" {
			t.Errorf("%s: %+v", said, p)
		}
	}
}

func FuzzFindSum(f *testing.F) {
	f.Add([]byte(strings.Repeat("a", 64)+"  x.tar.gz\n"), "x.tar.gz")
	f.Add([]byte(strings.Repeat("a", 64)+" *./x.tar.gz\r\n"), "x.tar.gz")
	f.Add([]byte("a  b\n\n \n"), "")
	f.Fuzz(func(t *testing.T, text []byte, name string) {
		got := findSum(bytes.NewReader(text), name)
		if got == "" {
			return
		}
		if raw, err := hex.DecodeString(got); err != nil || len(raw) != sha256.Size {
			t.Errorf("of %q it is %q", text, got)
		}
		if !strings.Contains(strings.ToLower(string(text)), got) {
			t.Errorf("%q is not in %q", got, text)
		}
	})
}

package e2e

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// tarballs is where a tarball of code-server may lie for these tests, with its
// checksum beside it. Where it does not, they take the release the way a user does.
const tarballs = "../../shared/fixtures"

// environmentID is of the environment that the scenarios edit.
const environmentID = "719c7ad5-6657-444b-b536-a27174cb7498"

// codeSidecar is the code sidecar of a stack.
type codeSidecar struct {
	*stack

	codePort int
	password string
}

// newEditor is a stack with a code sidecar; ok is false where no code-server is to
// be had here, which it says. Nothing runs yet, and code-server is in its volume.
func newEditor(t *testing.T) (e *codeSidecar, ok bool) {
	t.Helper()
	e = &codeSidecar{stack: newStack(t), codePort: freePort(t)}
	e.must("init", e.dir)
	for line := range strings.Lines(e.read(".env")) {
		if word, is := strings.CutPrefix(strings.TrimSpace(line), "INMANTA_CODE_SERVER_PASSWORD="); is {
			e.password = word
		}
	}
	if len(e.password) < 20 {
		t.Fatalf("init makes no password:\n%s", e.read(".env"))
	}
	e.set("COMPOSE_FILE", "docker-compose.yml:docker-compose.code.yml")
	e.set("INMANTA_CODE_SERVER_PORT", fmt.Sprint(e.codePort))
	return e, e.takesCodeServer()
}

// takesCodeServer puts code-server into the volume, or says that it is not to be had.
func (s *stack) takesCodeServer() bool {
	s.t.Helper()
	if folder, err := filepath.Abs(tarballs); err == nil && exists(folder) {
		s.set("INMANTA_CODE_SERVER_TARBALL", folder)
	}
	r := s.run("-f", "docker-compose.yml", "-f", "docker-compose.code.yml", "image", "ensure")
	if r.code != 0 && strings.Contains(r.stderr, "cannot be fetched from") {
		s.t.Logf("NOT RUN: the code sidecar, since code-server is neither in %s nor to be fetched:\n%s", tarballs, r.stderr)
		return false
	}
	if r.code != 0 {
		s.t.Fatalf("image ensure: exit code %d\n%s%s", r.code, r.stdout, r.stderr)
	}
	return true
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

func (e *codeSidecar) container() string { return e.name + "-code-sidecar" }

// root is the editor's address.
func (e *codeSidecar) root() string { return fmt.Sprintf("http://127.0.0.1:%d", e.codePort) }

// inside runs a command in the sidecar's container as a user, and is what it prints.
func (e *codeSidecar) inside(user string, line string) string {
	e.t.Helper()
	return e.docker("exec", "-u", user, e.container(), "bash", "-c", line)
}

// plainClient follows no redirects, and keeps no cookies but those it is given.
var plainClient = &http.Client{
	CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	Timeout:       20 * time.Second,
}

// ask sends one request.
func (e *codeSidecar) ask(method, path string, form url.Values, cookies []*http.Cookie, headers map[string]string) (*http.Response, string) {
	e.t.Helper()
	var body io.Reader
	if form != nil {
		body = strings.NewReader(form.Encode())
	}
	request, err := http.NewRequestWithContext(e.t.Context(), method, e.root()+path, body)
	if err != nil {
		e.t.Fatal(err)
	}
	if form != nil {
		request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	for _, c := range cookies {
		request.AddCookie(c)
	}
	for name, value := range headers {
		request.Header.Set(name, value)
		if name == "Host" {
			request.Host = value
		}
	}
	response, err := plainClient.Do(request)
	if err != nil {
		e.t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(io.LimitReader(response.Body, 1<<20))
	if err != nil {
		e.t.Fatal(err)
	}
	return response, string(text)
}

// logsIn is the cookies of somebody who has the password.
func (e *codeSidecar) logsIn() []*http.Cookie {
	e.t.Helper()
	response, text := e.ask("POST", "/login", url.Values{"password": {e.password}}, nil, nil)
	if response.StatusCode != http.StatusSeeOther {
		e.t.Fatalf("the password gives %s\n%s", response.Status, text)
	}
	return response.Cookies()
}

// environment makes an environment on the orchestrator, with a model on the volume.
func (e *codeSidecar) environment() {
	e.t.Helper()
	project := e.project("in-the-browser")
	if err := e.call(http.MethodPut, "/api/v2/environment", "", map[string]string{
		"project_id": project, "name": "edited-here", "environment_id": environmentID,
	}, nil); err != nil {
		e.t.Fatal(err)
	}
	e.docker("exec", "-u", "inmanta", e.server(), "bash", "-c",
		"mkdir -p /var/lib/inmanta/server/"+environmentID+"/compiler && cd $_ && echo 'import std' > main.cf")
}

// TestCode is everything about one code sidecar that runs, in the order in which
// a person would do it: each part leaves it as it was.
func TestCode(t *testing.T) {
	t.Parallel()
	e, ok := newEditor(t)
	if !ok {
		return
	}
	e.vsix("hello")
	e.set("INMANTA_CODE_SERVER_EXTENSIONS", "./extensions")
	r := e.must("up")
	if !strings.Contains(r.stdout, e.root()+"/") {
		t.Errorf("up does not say where the editor is:\n%s", r.stdout)
	}
	e.environment()
	for _, part := range []struct {
		name string
		run  func(*codeSidecar)
	}{
		{"status", statusOfCode},
		{"confined", confinedCode},
		{"login", loginOfCode},
		{"browser", browserOfCode},
		{"extension", extensionOfCode},
		{"restart", restartOfCode},
		{"strangers", strangersOfCode},
		{"killed", killedCode},
		{"tampered", tamperedCode},
		{"stop", stopOfCode},
	} {
		t.Run(part.name, func(t *testing.T) {
			subject, inner := *e, *e.stack
			inner.t = t
			subject.stack = &inner
			part.run(&subject)
		})
	}
}

func statusOfCode(e *codeSidecar) {
	if r := e.must("status"); !strings.Contains(r.stdout, "editor        "+e.root()+"/") {
		e.t.Errorf("status does not say where the editor is:\n%s", r.stdout)
	}
	var found struct {
		CodeURL string `json:"code_url"`
	}
	if err := json.Unmarshal([]byte(e.must("status", "--json").stdout), &found); err != nil || found.CodeURL != e.root()+"/" {
		e.t.Errorf("status --json says that the editor is at %q (%v)", found.CodeURL, err)
	}
	// A browser is what BROWSER says, here a program that writes down what it opens.
	e.write("browser", "#!/bin/sh\necho \"$1\" > "+e.dir+"/opened.new && mv "+e.dir+"/opened.new "+e.dir+"/opened\n")
	if err := os.Chmod(filepath.Join(e.dir, "browser"), 0o755); err != nil {
		e.t.Fatal(err)
	}
	if r := e.sh("BROWSER=" + e.dir + "/browser inmanta-docker code"); r.code != 0 || !strings.Contains(r.stdout, e.root()+"/") {
		e.t.Errorf("code: exit code %d\n%s%s", r.code, r.stdout, r.stderr)
	}
	e.eventually("the browser opens the editor", func() bool { return exists(filepath.Join(e.dir, "opened")) })
	if got := strings.TrimSpace(e.read("opened")); got != e.root()+"/" {
		e.t.Errorf("the browser opens %q", got)
	}
}

// confinedCode looks for what must not be where terminals are: root, a
// capability, the password, or a way to change what is run.
func confinedCode(e *codeSidecar) {
	e.logsIn()
	report := e.inside("inmanta", `
		for p in /proc/[0-9]*; do
			[ -r $p/status ] || continue
			grep -q "^Uid:.*\b0\b" $p/status && [ $p != /proc/$$ ] && echo "root: $p $(tr '\0' ' ' < $p/cmdline)"
			grep -q '^CapEff:.*[1-9a-f]' $p/status && echo "capable: $p $(tr '\0' ' ' < $p/cmdline)"
			grep -aqF '`+e.password+`' $p/environ 2>/dev/null && [ $p != /proc/$$ ] && echo "password: $p/environ"
			grep -aqF '`+e.password+`' $p/cmdline 2>/dev/null && [ $p != /proc/$$ ] && echo "password: $p/cmdline"
		done
		cat /run/secrets/inmanta-code-server-password 2>/dev/null && echo "readable: the password"
		cat /proc/1/maps /proc/1/environ >/dev/null 2>&1 && echo "open: the login's memory"
		kill -TERM 1 2>/dev/null && echo "killable: the login"
		touch /usr/local/lib/code-server/x 2>/dev/null && echo "writable: code-server"
		touch /var/lib/inmanta-code/x 2>/dev/null && echo "writable: the volume beside the home directory"
		touch /run/inmanta-code/config.yaml 2>/dev/null && echo "writable: the configuration"
		echo over`)
	if report != "over" {
		e.t.Errorf("inside the container:\n%s", report)
	}
	if inspected := e.docker("inspect", e.container()); strings.Contains(inspected, e.password) {
		e.t.Error("the password is in docker inspect")
	}
	if home := e.docker("exec", e.container(), "stat", "-c", "%U %a", "/var/lib/inmanta-code/home"); home != "inmanta 700" {
		e.t.Errorf("the home directory is %s", home)
	}
	if got := e.docker("exec", e.container(), "inmanta-sidecar", "code", "password"); got != e.password {
		e.t.Errorf("root is told %q for the password", got)
	}
}

func loginOfCode(e *codeSidecar) {
	page := map[string]string{"Accept": "text/html"}
	for what, c := range map[string]struct {
		method, path string
		form         url.Values
		headers      map[string]string
		code         int
		says         string
	}{
		"a page, without a login":       {"GET", "/?folder=/", nil, page, 303, ""},
		"a file, without a login":       {"GET", "/vscode-remote-resource?path=/etc/passwd", nil, nil, 401, "log in"},
		"a wrong password":              {"POST", "/login", url.Values{"password": {"wrong"}}, nil, 401, "not the password"},
		"no password":                   {"POST", "/login", url.Values{"password": {""}}, nil, 401, "not the password"},
		"a login from another site":     {"POST", "/login", url.Values{"password": {e.password}}, map[string]string{"Origin": "http://evil.example"}, 403, "another site"},
		"a name of somebody else's":     {"GET", "/login", nil, map[string]string{"Host": "evil.example:8080"}, 421, "not called that"},
		"a form of another kind":        {"POST", "/login", nil, map[string]string{"Content-Type": "application/json"}, 415, "form"},
		"the form":                      {"GET", "/login", nil, nil, 200, `type="password"`},
		"health":                        {"GET", "/healthz", nil, nil, 200, "ok"},
		"a websocket, without a login":  {"GET", "/stable-x", nil, map[string]string{"Connection": "Upgrade", "Upgrade": "websocket"}, 401, "log in"},
		"code-server's own login's way": {"GET", "/", nil, map[string]string{"Cookie": "code-server-session=x", "Accept": "text/html"}, 303, ""},
	} {
		response, text := e.ask(c.method, c.path, c.form, nil, c.headers)
		if response.StatusCode != c.code || !strings.Contains(text, c.says) {
			e.t.Errorf("%s gives %s, want %d\n%.300s", what, response.Status, c.code, text)
		}
	}
	cookies := e.logsIn()
	for _, c := range cookies {
		if !c.HttpOnly || c.SameSite != http.SameSiteStrictMode || len(c.Value) < 40 {
			e.t.Errorf("the cookie %s is open: %v", c.Name, c)
		}
	}
	upgrade := map[string]string{"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13", "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==", "Origin": "http://evil.example"}
	if response, _ := e.ask("GET", "/stable-x?reconnectionToken=x&reconnection=false&skipWebSocketFrames=false", nil, cookies, upgrade); response.StatusCode != 403 {
		e.t.Errorf("a websocket of another site's page gives %s", response.Status)
	}
	if response, text := e.ask("GET", "/?folder=/var/lib/inmanta/server", nil, cookies, page); response.StatusCode != 200 || !strings.Contains(text, "vscode") {
		e.t.Errorf("with a login the editor gives %s\n%.300s", response.Status, text)
	}
	e.ask("POST", "/logout", url.Values{}, cookies, nil)
	if response, _ := e.ask("GET", "/", nil, cookies, nil); response.StatusCode != 401 {
		e.t.Errorf("after logging out the editor gives %s", response.Status)
	}
}

// strangersOfCode tries many passwords: whoever was logged in before goes on, and
// logs in again. Here everybody comes from one address, the engine's gateway.
func strangersOfCode(e *codeSidecar) {
	cookies := e.logsIn()
	refused := 0
	for range 30 {
		response, _ := e.ask("POST", "/login", url.Values{"password": {"guess"}}, nil, nil)
		switch response.StatusCode {
		case http.StatusTooManyRequests:
			refused++
			if response.Header.Get("Retry-After") == "" {
				e.t.Error("nobody is told how long to wait")
			}
		case http.StatusUnauthorized:
		default:
			e.t.Fatalf("a guess gives %s", response.Status)
		}
	}
	if refused == 0 {
		e.t.Error("30 guesses in a row are all tried")
	}
	if response, _ := e.ask("GET", "/?folder=/var/lib/inmanta/server", nil, cookies, nil); response.StatusCode != 200 {
		e.t.Errorf("strangers' guesses end a session: %s", response.Status)
	}
	response, text := e.ask("POST", "/login", url.Values{"password": {e.password}}, knownOnly(cookies), nil)
	if response.StatusCode != http.StatusSeeOther {
		e.t.Errorf("strangers' guesses keep out the owner: %s\n%s", response.Status, text)
	}
}

// knownOnly are the cookies of a browser that was logged in once.
func knownOnly(cookies []*http.Cookie) []*http.Cookie {
	var known []*http.Cookie
	for _, c := range cookies {
		if strings.Contains(c.Name, "known") {
			known = append(known, c)
		}
	}
	return known
}

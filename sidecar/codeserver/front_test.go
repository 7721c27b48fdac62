package codeserver

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// stand is a front on a real connection, with something in the editor's place
// that says what it was asked.
type stand struct {
	*front

	address string
	log     *record
	asked   chan *http.Request
}

// record is a log that can be read while it is written.
type record struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (r *record) Write(text []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.text.Write(text)
}

func (r *record) String() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.text.String()
}

const secretWord = "open sesame"

// newStand serves. The editor echoes what is written on a websocket's connection.
func newStand(t *testing.T, settings config) *stand {
	t.Helper()
	s := &stand{log: &record{}, asked: make(chan *http.Request, 100)}
	s.front = newFront(settings, nil, &journal{out: s.log})
	if !settings.open {
		word := newPassword(secretWord)
		s.secret = &word
	}
	socket := filepath.Join(t.TempDir(), "s")
	behind, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	editor := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		select {
		case s.asked <- r:
		default:
		}
		switch {
		case r.URL.Path == editorHealth:
		case r.Header.Get("Upgrade") != "":
			conn, buffered, err := w.(http.Hijacker).Hijack()
			if err != nil {
				t.Error(err)
				return
			}
			defer conn.Close()
			fmt.Fprint(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
			io.Copy(conn, buffered) //nolint:errcheck // until the other end is gone
		default:
			w.Header().Add("Set-Cookie", sessionCookie+"-80=planted")
			w.Header().Add("Set-Cookie", "own=1")
			fmt.Fprint(w, "the editor")
		}
	})}
	go editor.Serve(behind) //nolint:errcheck // until it is closed
	t.Cleanup(func() { editor.Close() })
	s.reach(transport(socket))
	s.ready.Store(true)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s.address = listener.Addr().String()
	server := newServer(s.front, nil)
	go server.Serve(listener) //nolint:errcheck // until it is closed
	t.Cleanup(func() { server.Close() })
	return s
}

// request sends one, with headers as NAME, VALUE; of a form the body is given.
func (s *stand) request(t *testing.T, method, path, body string, headers ...string) (*http.Response, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, "http://"+s.address+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if body != "" {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	for i := 0; i < len(headers); i += 2 {
		r.Header.Add(headers[i], headers[i+1])
		if headers[i] == "Host" {
			r.Host = headers[i+1]
		}
	}
	answer, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer, string(text)
}

// login is the cookies of somebody who has the password, as a header.
func (s *stand) login(t *testing.T) string {
	t.Helper()
	answer, text := s.request(t, "POST", "/login", url.Values{"password": {secretWord}}.Encode())
	if answer.StatusCode != http.StatusSeeOther {
		t.Fatalf("the password gives %s\n%s", answer.Status, text)
	}
	var cookies []string
	for _, c := range answer.Cookies() {
		cookies = append(cookies, c.Name+"="+c.Value)
	}
	return strings.Join(cookies, "; ")
}

func TestWhoIsServed(t *testing.T) {
	t.Parallel()
	s := newStand(t, config{names: []string{"code.example.com"}})
	cookies := s.login(t)
	own := "http://" + s.address
	for _, c := range []struct {
		name, method, path string
		headers            []string
		code               int
	}{
		{"nobody, a page", "GET", "/", []string{"Accept", "text/html"}, 303},
		{"nobody, a browser's page", "GET", "/", []string{"Sec-Fetch-Mode", "navigate"}, 303},
		{"nobody, a file", "GET", "/x", nil, 401},
		{"nobody, a script's request for HTML", "GET", "/", []string{"Accept", "text/html", "Sec-Fetch-Mode", "cors"}, 401},
		{"nobody, something sent", "POST", "/", []string{"Accept", "text/html"}, 401},
		{"nobody, a websocket", "GET", "/", []string{"Connection", "Upgrade", "Upgrade", "websocket", "Accept", "text/html"}, 401},
		{"a made-up session", "GET", "/", []string{"Cookie", sessionCookie + "-1=" + newToken()}, 401},
		{"an empty session", "GET", "/", []string{"Cookie", sessionCookie + "-1="}, 401},
		{"somebody", "GET", "/", []string{"Cookie", cookies}, 200},
		{"somebody by a name", "GET", "/", []string{"Cookie", cookies, "Host", "code.example.com"}, 401}, // another host's cookies have another name
		{"nobody by a name", "GET", "/login", []string{"Host", "Code.Example.Com.:1"}, 200},
		{"another name", "GET", "/", []string{"Cookie", cookies, "Host", "evil.example"}, 421},
		{"a name that ends alike", "GET", "/", []string{"Cookie", cookies, "Host", "evil.code.example.com"}, 421},
		{"an address in a name", "GET", "/", []string{"Cookie", cookies, "Host", "127.0.0.1.evil.example"}, 421},
		{"paths around the login", "GET", "//login/../x", nil, 401},
		{"paths around the login, encoded", "GET", "/%2e%2e/login", nil, 401},
		{"the login, encoded", "GET", "/%6cogin", nil, 200},
		{"health", "GET", "/healthz", nil, 200},
		{"health of another path", "GET", "/healthz/", nil, 401},
		{"a page elsewhere sends a form", "POST", "/x", []string{"Cookie", cookies, "Origin", "http://evil.example"}, 403},
		{"a page on another port sends a form", "POST", "/x", []string{"Cookie", cookies, "Origin", "http://127.0.0.1:1"}, 403},
		{"a page in a sandbox sends a form", "POST", "/x", []string{"Cookie", cookies, "Origin", "null"}, 403},
		{"a page of its own", "POST", "/x", []string{"Cookie", cookies, "Origin", own}, 200},
		{"two origins", "POST", "/x", []string{"Cookie", cookies, "Origin", own, "Origin", "http://evil.example"}, 403},
		{"a script elsewhere", "GET", "/x", []string{"Cookie", cookies, "Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "no-cors"}, 403},
		{"a script on another port", "GET", "/x", []string{"Cookie", cookies, "Sec-Fetch-Site", "same-site", "Sec-Fetch-Mode", "no-cors"}, 403},
		{"a link elsewhere", "GET", "/x", []string{"Cookie", cookies, "Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "navigate"}, 200},
		{"a form elsewhere", "POST", "/x", []string{"Cookie", cookies, "Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "navigate"}, 403},
		{"a websocket of a page elsewhere", "GET", "/", []string{"Cookie", cookies, "Connection", "Upgrade", "Upgrade", "websocket", "Origin", "http://evil.example"}, 403},
		{"a websocket that says it navigates", "GET", "/", []string{"Cookie", cookies, "Connection", "Upgrade", "Upgrade", "websocket", "Sec-Fetch-Mode", "navigate", "Origin", "http://evil.example"}, 403},
		{"a trace", "TRACE", "/", []string{"Cookie", cookies}, 400},
		{"a login that is elsewhere's", "POST", "/login", []string{"Origin", "http://evil.example"}, 403},
		{"another method of the login", "PUT", "/login", nil, 405},
	} {
		answer, text := s.request(t, c.method, c.path, "", c.headers...)
		if answer.StatusCode != c.code {
			t.Errorf("%s: %s, want %d\n%s", c.name, answer.Status, c.code, text)
		}
		if c.code != 200 && strings.Contains(text, "the editor") {
			t.Errorf("%s: the editor's own answer", c.name)
		}
	}
}

func TestWhatTheEditorIsTold(t *testing.T) {
	t.Parallel()
	s := newStand(t, config{})
	cookies := s.login(t)
	answer, text := s.request(t, "GET", "/a%2Fb?x=1;y&z", "", "Cookie", "theirs=1; "+cookies, "X-Forwarded-Host", "evil.example",
		"Forwarded", "host=evil.example", "X-Forwarded-For", "192.0.2.7", "Connection", "X-Gone", "X-Gone", "1")
	if answer.StatusCode != http.StatusOK || text != "the editor" {
		t.Fatalf("%s, %q", answer.Status, text)
	}
	r := <-s.asked
	if r.Host != s.address || r.URL.RequestURI() != "/a%2Fb?x=1;y&z" {
		t.Errorf("it is asked for %s at %s", r.URL.RequestURI(), r.Host)
	}
	for _, name := range []string{"X-Forwarded-Host", "Forwarded", "X-Forwarded-For", "X-Gone"} {
		if r.Header.Get(name) != "" {
			t.Errorf("it is told %s: %s", name, r.Header.Get(name))
		}
	}
	if got := r.Header.Get("Cookie"); got != "theirs=1" {
		t.Errorf("it gets the cookies %q", got)
	}
	if got := answer.Header.Values("Set-Cookie"); len(got) != 1 || got[0] != "own=1" {
		t.Errorf("it sets the cookies %q", got)
	}
	if got := answer.Header.Get("Content-Security-Policy"); got != "frame-ancestors 'self'" {
		t.Errorf("its pages have the policy %q", got)
	}
}

func TestLogin(t *testing.T) {
	t.Parallel()
	s := newStand(t, config{})
	form := func(password, to string) string {
		return url.Values{"password": {password}, "to": {to}}.Encode()
	}
	for to, want := range map[string]string{
		"/?folder=/x": "/?folder=/x", "//evil.example": "/", "/\\evil.example": "/", "http://evil.example": "/", "": "/", "javascript:x": "/",
		"/\tx": "/", "/%2F/evil.example": "/", "///x": "/", "/" + strings.Repeat("x", longestPath): "/", "/x#y": "/x#y",
	} {
		answer, _ := s.request(t, "POST", "/login", form(secretWord, to))
		if got := answer.Header.Get("Location"); answer.StatusCode != 303 || got != want {
			t.Errorf("to %q it goes on at %q (%s), want %q", to, got, answer.Status, want)
		}
	}
	for name, c := range map[string]struct {
		body    string
		headers []string
		code    int
	}{
		"wrong":              {form("x", "/"), nil, 401},
		"none":               {"a=b", nil, 401},
		"in the address":     {"", []string{"Content-Type", "application/x-www-form-urlencoded"}, 401},
		"right, and a byte":  {form(secretWord+"\x00", "/"), nil, 401},
		"two, wrong first":   {"password=x&" + form(secretWord, "/"), nil, 401},
		"no form":            {"password=" + secretWord, []string{"Content-Type", "text/plain"}, 415},
		"too much":           {form(strings.Repeat("x", largestForm), "/"), nil, 400},
		"what does not read": {"password=%zz", nil, 400},
	} {
		r, err := http.NewRequestWithContext(t.Context(), "POST", "http://"+s.address+"/login?password="+url.QueryEscape(secretWord), strings.NewReader(c.body))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		for i := 0; i < len(c.headers); i += 2 {
			r.Header.Set(c.headers[i], c.headers[i+1])
		}
		answer, err := http.DefaultTransport.RoundTrip(r)
		if err != nil {
			t.Fatal(err)
		}
		answer.Body.Close()
		if answer.StatusCode != c.code || len(answer.Cookies()) > 0 {
			t.Errorf("%s: %s, with cookies %v; want %d", name, answer.Status, answer.Cookies(), c.code)
		}
	}
	answer, _ := s.request(t, "POST", "/login", form(secretWord, "/"))
	if got := answer.Cookies(); len(got) != 2 {
		t.Errorf("a login gives the cookies %v", got)
	}
	for _, c := range answer.Cookies() {
		if !c.HttpOnly || c.SameSite != http.SameSiteStrictMode || c.Path != "/" || c.Domain != "" || c.Secure {
			t.Errorf("the cookie is %v", c)
		}
	}
	if strings.Contains(s.log.String(), secretWord) {
		t.Errorf("the log has the password:\n%s", s.log)
	}
	answer, text := s.request(t, "GET", `/login?to=/"><script>x</script>`, "")
	if strings.Contains(text, "<script>") || !strings.HasPrefix(answer.Header.Get("Content-Security-Policy"), "default-src 'none'") {
		t.Errorf("what an address says is part of the page:\n%s", text)
	}
}

func TestWebsocketEndsWithItsSession(t *testing.T) {
	t.Parallel()
	s := newStand(t, config{})
	cookies := s.login(t)
	conn, err := net.Dial("tcp", s.address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(time.Minute))
	fmt.Fprintf(conn, "GET / HTTP/1.1\r\nHost: %s\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nOrigin: http://%s\r\nCookie: %s\r\n\r\n", s.address, s.address, cookies)
	reader := bufio.NewReader(conn)
	answer, err := http.ReadResponse(reader, nil)
	if err != nil || answer.StatusCode != http.StatusSwitchingProtocols {
		t.Fatalf("%v, %v", answer, err)
	}
	fmt.Fprint(conn, "hello\n")
	if line, err := reader.ReadString('\n'); err != nil || line != "hello\n" {
		t.Fatalf("%q, %v", line, err)
	}
	if answer, _ := s.request(t, "POST", "/logout", "", "Cookie", cookies); answer.StatusCode != http.StatusSeeOther {
		t.Errorf("logging out gives %s", answer.Status)
	}
	if left, err := io.ReadAll(reader); len(left) != 0 || isTimeout(err) {
		t.Errorf("after logging out the websocket goes on: %q, %v", left, err)
	}
	if answer, _ := s.request(t, "GET", "/", "", "Cookie", cookies); answer.StatusCode != http.StatusUnauthorized {
		t.Errorf("after logging out the session gives %s", answer.Status)
	}
}

func isTimeout(err error) bool {
	timeout, ok := err.(net.Error) //nolint:errorlint // straight from the connection
	return ok && timeout.Timeout()
}

// What is written by hand, as clients that mean no good do.
func TestHostileRequests(t *testing.T) {
	t.Parallel()
	s := newStand(t, config{})
	cookies := s.login(t)
	head := "Host: " + s.address + "\r\n"
	for name, c := range map[string]struct{ text, want string }{
		"two lengths":             {"POST /login HTTP/1.1\r\n" + head + "Content-Length: 5\r\nContent-Length: 6\r\n\r\nabcdef", "400"},
		"a length and chunks":     {"POST /x HTTP/1.1\r\n" + head + "Cookie: " + cookies + "\r\nTransfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\n", ""},
		"another encoding":        {"POST /x HTTP/1.1\r\n" + head + "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", "501"},
		"no host":                 {"GET / HTTP/1.1\r\n\r\n", "400"},
		"two hosts":               {"GET / HTTP/1.1\r\n" + head + "Host: evil.example\r\n\r\n", "400"},
		"another host's address":  {"GET http://evil.example/ HTTP/1.1\r\n" + head + "Cookie: " + cookies + "\r\n\r\n", "421"},
		"a tunnel":                {"CONNECT 127.0.0.1:22 HTTP/1.1\r\n" + head + "Cookie: " + cookies + "\r\n\r\n", "400"},
		"no path":                 {"OPTIONS * HTTP/1.1\r\n" + head + "\r\n", ""},
		"huge cookies":            {"GET / HTTP/1.1\r\n" + head + "Cookie: " + strings.Repeat("x", 2*largestHeader) + "\r\n\r\n", "431"},
		"a space before a colon":  {"GET / HTTP/1.1\r\n" + head + "Cookie : x\r\n\r\n", "400"},
		"a folded line":           {"GET / HTTP/1.1\r\n" + head + "X: a\r\n b\r\n\r\n", "401"},
		"a NUL":                   {"GET /\x00 HTTP/1.1\r\n" + head + "\r\n", "400"},
		"not HTTP":                {"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", "400"},
		"HTTP of another version": {"GET / HTTP/3.0\r\n" + head + "\r\n", "505"},
	} {
		conn, err := net.Dial("tcp", s.address)
		if err != nil {
			t.Fatal(err)
		}
		_ = conn.SetDeadline(time.Now().Add(20 * time.Second))
		fmt.Fprint(conn, c.text)
		line, err := bufio.NewReader(conn).ReadString('\n')
		conn.Close()
		if err != nil || !strings.Contains(line, " "+c.want) {
			t.Errorf("%s: %q (%v), want %s", name, line, err, c.want)
		}
		for drained := false; !drained; {
			select {
			case r := <-s.asked:
				if name != "a length and chunks" {
					t.Errorf("%s: the editor is asked %s %s", name, r.Method, r.URL)
				} else if r.ContentLength != 0 && r.ContentLength != -1 {
					t.Errorf("%s: the editor is told of %d bytes", name, r.ContentLength)
				}
			default:
				drained = true
			}
		}
	}
	if answer, _ := s.request(t, "GET", "/", "", "Cookie", cookies); answer.StatusCode != http.StatusOK {
		t.Errorf("after all that the editor gives %s", answer.Status)
	}
}

// Clients that say nothing, or little, take each other's places and nobody else's.
func TestSlowStrangers(t *testing.T) {
	t.Parallel()
	s := newStand(t, config{})
	cookies := s.login(t)
	mine, err := net.Dial("tcp", s.address)
	if err != nil {
		t.Fatal(err)
	}
	defer mine.Close()
	_ = mine.SetDeadline(time.Now().Add(time.Minute))
	reader := bufio.NewReader(mine)
	get := func() {
		t.Helper()
		fmt.Fprintf(mine, "GET / HTTP/1.1\r\nHost: %s\r\nCookie: %s\r\n\r\n", s.address, cookies)
		answer, err := http.ReadResponse(reader, nil)
		if err != nil || answer.StatusCode != http.StatusOK {
			t.Fatalf("%v, %v", answer, err)
		}
		_, _ = io.Copy(io.Discard, answer.Body)
	}
	get() // known to be logged in from here on
	first, err := net.Dial("tcp", s.address)
	if err != nil {
		t.Fatal(err)
	}
	defer first.Close()
	fmt.Fprintf(first, "POST /login HTTP/1.1\r\nHost: %s\r\nContent-Length: 100\r\nContent-Type: application/x-www-form-urlencoded\r\n\r\npass", s.address)
	for range mostStrangers + 20 {
		conn, err := net.Dial("tcp", s.address)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		fmt.Fprint(conn, "GET / HT")
	}
	_ = first.SetDeadline(time.Now().Add(30 * time.Second))
	if _, err := io.ReadAll(first); isTimeout(err) {
		t.Error("a client that sends half a form is waited for")
	}
	get()
	if answer, _ := s.request(t, "GET", "/login", ""); answer.StatusCode != http.StatusOK {
		t.Errorf("somebody new gets %s", answer.Status)
	}
}

func TestWithoutLogin(t *testing.T) {
	t.Parallel()
	s := newStand(t, config{open: true})
	for host, code := range map[string]int{s.address: 200, "localhost:1": 200, "[::1]:8080": 200, "a.localhost": 200, "192.0.2.7": 421, "evil.example": 421, "localhost.evil.example": 421} {
		if answer, _ := s.request(t, "GET", "/", "", "Host", host); answer.StatusCode != code {
			t.Errorf("asked for as %s: %s, want %d", host, answer.Status, code)
		}
	}
	if answer, _ := s.request(t, "POST", "/", "", "Origin", "http://evil.example"); answer.StatusCode != http.StatusForbidden {
		t.Errorf("a page elsewhere: %s", answer.Status)
	}
	if answer, _ := s.request(t, "GET", "/login?to=/x", ""); answer.StatusCode != http.StatusSeeOther || answer.Header.Get("Location") != "/x" {
		t.Errorf("the login: %s to %s", answer.Status, answer.Header.Get("Location"))
	}
}

func TestNotReady(t *testing.T) {
	t.Parallel()
	s := newStand(t, config{})
	s.ready.Store(false)
	cookies := s.login(t)
	if answer, text := s.request(t, "GET", "/", "", "Cookie", cookies); answer.StatusCode != 503 || answer.Header.Get("Refresh") == "" || !strings.Contains(text, "starting") {
		t.Errorf("%s\n%s", answer.Status, text)
	}
	s.healthy = func(*http.Request) error { return context.DeadlineExceeded }
	if answer, _ := s.request(t, "GET", "/healthz", ""); answer.StatusCode != 503 {
		t.Errorf("health of what is not there: %s", answer.Status)
	}
}

func FuzzLocalPath(f *testing.F) {
	for _, seed := range []string{"/x", "//x", "//@", "/\\x", "http://x", "/%2fx", "/?a=//b", ""} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, to string) {
		got := localPath(to)
		at, err := url.Parse("http://here/")
		if err != nil {
			t.Fatal(err)
		}
		there, err := at.Parse(got)
		if err != nil || there.Host != "here" || there.Scheme != "http" || strings.ContainsAny(got, "\r\n\\") || !strings.HasPrefix(got, "/") {
			t.Errorf("%q leads to %q", to, got)
		}
	})
}

func FuzzHosts(f *testing.F) {
	for _, seed := range []string{"127.0.0.1:8080", "[::1]", "localhost", "evil.example", "127.0.0.1.evil.example", "localhost.", "::1", "[::1", "a.localhost:x"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, host string) {
		h := hosts{loopback: true}
		name := hostName(host)
		if h.allow(host) && name != "localhost" && !strings.HasSuffix(name, ".localhost") && !strings.HasPrefix(name, "127.") && !strings.Contains(name, ":") {
			t.Errorf("%q is one of this machine's", host)
		}
	})
}

func FuzzForeign(f *testing.F) {
	f.Add("http://127.0.0.1:80", "127.0.0.1")
	f.Add("https://a:443", "a")
	f.Add("null", "null")
	f.Fuzz(func(t *testing.T, origin, host string) {
		r := httptest.NewRequest("POST", "/", nil)
		r.Host = host
		r.Header.Set("Origin", origin)
		if foreign(r) {
			return
		}
		from, err := url.Parse(origin)
		if err != nil || hostName(from.Host) != hostName(host) {
			t.Errorf("%q is at home on %q", origin, host)
		}
	})
}

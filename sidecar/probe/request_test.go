package probe

import "testing"

func TestRequest(t *testing.T) {
	for _, c := range []struct{ url, address, start string }{
		{"http://localhost", "localhost:80", "GET / HTTP/1.1\r\nHost: localhost\r\n"},
		{"http://127.0.0.1:8080/healthz", "127.0.0.1:8080", "GET /healthz HTTP/1.1\r\nHost: 127.0.0.1:8080\r\n"},
		{"http://[::1]:8888/a%20b?c=d#e", "[::1]:8888", "GET /a%20b?c=d HTTP/1.1\r\nHost: [::1]:8888\r\n"},
		{"http://host?q", "host:80", "GET /?q HTTP/1.1\r\nHost: host\r\n"},
	} {
		got, err := parse(c.url)
		if err != nil {
			t.Errorf("%s: %v", c.url, err)
			continue
		}
		if got.address != c.address {
			t.Errorf("%s: connects to %s, want %s", c.url, got.address, c.address)
		}
		if request := got.request(); len(request) < len(c.start) || request[:len(c.start)] != c.start {
			t.Errorf("%s: asks %q, want %q at its start", c.url, request, c.start)
		}
	}
}

// A URL comes from a compose file; whatever it holds must not add lines to the request.
func FuzzRequestHasFiveLines(f *testing.F) {
	for _, seed := range []string{"http://host/path", "http://h/\r\nX: y", "http://h?a\nb", "http://[::1%25eth0]/", "http://u:p@h/"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, rawURL string) {
		target, err := parse(rawURL)
		if err != nil {
			return
		}
		lines := 0
		for _, b := range []byte(target.request()) {
			if b == '\n' {
				lines++
			}
		}
		if lines != 5 {
			t.Errorf("%q makes %d lines: %q", rawURL, lines, target.request())
		}
	})
}

func FuzzStatusLine(f *testing.F) {
	for _, seed := range []string{"HTTP/1.1 200 OK\r\n", "HTTP/1.1 200", "HTTP/ 200", "", " ", "HTTP/1.1  200"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, line string) {
		_, code, err := parseStatusLine(line)
		if err == nil && (code < 0 || code > 999) {
			t.Errorf("%q has the status %d", line, code)
		}
	})
}

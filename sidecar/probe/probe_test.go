package probe_test

import (
	"io"
	"net"
	"strings"
	"testing"

	"github.com/inmanta/inmanta-docker/sidecar/probe"
)

// serve answers every connection at the address it returns with answer, and closes it.
func serve(t *testing.T, answer string) (address string) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	go func() {
		for {
			connection, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				defer connection.Close()
				// Closing with the request unread would reset the connection.
				request := make([]byte, 4096)
				if _, err := connection.Read(request); err != nil {
					return
				}
				io.WriteString(connection, answer)
			}()
		}
	}()
	return listener.Addr().String()
}

// refusing is an address where nothing listens.
func refusing(t *testing.T) (address string) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	return listener.Addr().String()
}

func check(t *testing.T, err error, want string) {
	t.Helper()
	switch {
	case want == "" && err != nil:
		t.Errorf("got %q, want success", err)
	case want != "" && err == nil:
		t.Errorf("got success, want %q", want)
	case want != "" && !strings.Contains(err.Error(), want):
		t.Errorf("got %q, want %q in it", err, want)
	}
}

func TestHTTPJudgesTheStatusLine(t *testing.T) {
	for _, c := range []struct{ name, answer, want string }{
		{"200", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", ""},
		{"204 without a reason", "HTTP/1.1 204\r\n\r\n", ""},
		{"an unfinished line", "HTTP/1.0 200 OK", ""},
		{"299, bare newlines", "HTTP/1.0 299 Odd\n\n", ""},
		{"a redirect", "HTTP/1.1 302 Found\r\nLocation: /login\r\n\r\n", "answers 302 Found"},
		{"a failure", "HTTP/1.1 503 Service Unavailable\r\n\r\n", "answers 503 Service Unavailable"},
		{"nothing", "", "does not answer the request: it closes the connection"},
		{"another protocol", "SSH-2.0-Go\r\n", `does not speak HTTP: its answer starts with "SSH-2.0-Go\r\n"`},
		{"a status of four digits", "HTTP/1.1 2000 OK\r\n", "does not speak HTTP"},
		{"a signed status", "HTTP/1.1 +20 OK\r\n", "does not speak HTTP"},
		{"an endless line", strings.Repeat("x", 1<<16), "does not speak HTTP"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			check(t, probe.HTTP("http://"+serve(t, c.answer)+"/health"), c.want)
		})
	}
}

func TestHTTPRefusesWhatItCannotAsk(t *testing.T) {
	for _, rawURL := range []string{"", "localhost:8888", "https://127.0.0.1/", "http://", "http:///path", "http://127.0.0.1:port/", "http://a b/"} {
		t.Run(rawURL, func(t *testing.T) {
			check(t, probe.HTTP(rawURL), " is no ")
		})
	}
}

func TestNobodyListens(t *testing.T) {
	address := refusing(t)
	want := "nothing accepts connections at " + address + ": connect: connection refused"
	check(t, probe.TCP(address), want)
	check(t, probe.HTTP("http://"+address), want)
}

func TestTCP(t *testing.T) {
	check(t, probe.TCP(serve(t, "")), "")
	check(t, probe.TCP("127.0.0.1"), `"127.0.0.1" is no address: write HOST:PORT`)
}

func TestSilenceEndsWithASentence(t *testing.T) {
	t.Parallel()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	// The kernel completes the connection; nobody ever accepts it.
	check(t, probe.HTTP("http://"+listener.Addr().String()), "no answer within 3s")
}

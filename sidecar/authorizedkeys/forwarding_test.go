package authorizedkeys

import (
	"strings"
	"testing"
)

// forwards are options and what one request to forward gets with them.
var forwards = []struct {
	options string
	request string // "connect" or "listen"
	host    string
	port    uint32
	want    bool
}{
	{"no-pty", "connect", "192.0.2.1", 80, true},
	{"no-pty", "listen", "localhost", 8080, true},
	{"no-pty", "listen", "", 0, true},
	{"no-pty", "connect", "192.0.2.1", 65536, false},
	{"no-pty", "listen", strings.Repeat("a", longestHost+1), 80, false},
	{"restrict", "connect", "192.0.2.1", 80, false},
	{"restrict", "listen", "localhost", 8080, false},
	{"no-port-forwarding", "connect", "127.0.0.1", 80, false},

	{`permitopen="127.0.0.1:9"`, "connect", "127.0.0.1", 9, true},
	{`permitopen="127.0.0.1:9"`, "connect", "127.0.0.1", 10, false},
	{`permitopen="127.0.0.1:9"`, "connect", "localhost", 9, false},
	{`permitopen="localhost:9"`, "connect", "127.0.0.1", 9, false},
	{`permitopen="localhost:9"`, "connect", "localhost", 9, true},
	{`permitopen="localhost:9"`, "connect", "LOCALHOST", 9, false},
	{`permitopen="localhost:9"`, "connect", "localhost.", 9, false},
	{`permitopen="127.0.0.1:9"`, "connect", "", 9, false},
	{`permitopen="127.0.0.1:09"`, "connect", "127.0.0.1", 9, true},
	{`permitopen="[::1]:9"`, "connect", "::1", 9, true},
	{`permitopen="[::1]:9"`, "connect", "0:0:0:0:0:0:0:1", 9, false},
	{`permitopen="127.0.0.1:*"`, "connect", "127.0.0.1", 9, true},
	{`permitopen="127.0.0.1:*"`, "connect", "127.0.0.2", 9, false},
	{`permitopen="*:9"`, "connect", "127.0.0.2", 9, true},
	{`permitopen="*:9"`, "connect", "127.0.0.2", 10, false},
	{`permitopen="*:*"`, "connect", "127.0.0.2", 10, true},
	{`permitopen="127.0.0.1:9",permitopen="127.0.0.1:10"`, "connect", "127.0.0.1", 10, true},
	{`permitopen="127.0.0.1:9"`, "listen", "localhost", 8080, true},

	{`permitlisten="8089"`, "listen", "localhost", 8089, true},
	{`permitlisten="8089"`, "listen", "127.0.0.1", 8089, true},
	{`permitlisten="8089"`, "listen", "", 8089, true},
	{`permitlisten="8089"`, "listen", "localhost", 8090, false},
	{`permitlisten="8089"`, "listen", "localhost", 0, false},
	{`permitlisten="*"`, "listen", "localhost", 0, true},
	{`permitlisten="*"`, "listen", "localhost", 8089, true},
	{`permitlisten="localhost:8089"`, "listen", "localhost", 8089, true},
	{`permitlisten="localhost:8089"`, "listen", "LOCALHOST", 8089, true},
	{`permitlisten="localhost:8089"`, "listen", "127.0.0.1", 8089, false},
	{`permitlisten="localhost:8089"`, "listen", "", 8089, false},
	{`permitlisten="localhost:8089"`, "listen", "*", 8089, false},
	{`permitlisten=":8089"`, "listen", "", 8089, true},
	{`permitlisten=":8089"`, "listen", "localhost", 8089, false},
	{`permitlisten="127.0.0.?:8089"`, "listen", "127.0.0.1", 8089, true},
	{`permitlisten="[::1]:8089"`, "listen", "::1", 8089, true},
	{`permitlisten="8089"`, "connect", "127.0.0.1", 9, true},
}

func TestForwards(t *testing.T) {
	t.Parallel()
	for _, one := range forwards {
		grant, err := Decide(must(t, one.options+" "+written(alice.PublicKey())), account, from(alice.PublicKey(), "127.0.0.1"))
		if err != nil {
			t.Fatal(err)
		}
		got := grant.Open.Host(one.host, one.port)
		if one.request == "listen" {
			got = grant.Listen.Host(one.host, one.port)
		}
		if got != one.want {
			t.Errorf("%s: %s %s:%d is %t, want %t", one.options, one.request, one.host, one.port, got, one.want)
		}
	}
}

// sockets are options and whether Unix sockets may be connected to and listened
// on. sshd lets permitlisten be, whatever it says, and so lets every socket be
// made; here a rule that permits everything is needed, as with permitopen.
var sockets = []struct {
	options      string
	open, listen bool
}{
	{"no-pty", true, true},
	{"no-port-forwarding", false, false},
	{"restrict", false, false},
	{"restrict,port-forwarding", true, true},
	{`permitopen="a:1"`, false, true},
	{`permitopen="*:1"`, false, true},
	{`permitopen="*:*"`, true, true},
	{`permitopen="a:1",permitopen="*:*"`, true, true},
	{`permitlisten="1"`, true, false},
	{`permitlisten="*"`, true, true},
	{`permitlisten="localhost:*"`, true, false},
}

func TestSockets(t *testing.T) {
	t.Parallel()
	for _, one := range sockets {
		grant, err := Decide(must(t, one.options+" "+written(alice.PublicKey())), account, from(alice.PublicKey(), "127.0.0.1"))
		if err != nil {
			t.Fatal(err)
		}
		if open, listen := grant.Open.Socket(), grant.Listen.Socket(); open != one.open || listen != one.listen {
			t.Errorf("%s: connecting is %t and listening %t, want %t and %t", one.options, open, listen, one.open, one.listen)
		}
	}
}

func TestNothingIsForwardedWithoutAGrant(t *testing.T) {
	t.Parallel()
	var none Grant
	if none.Open.Host("localhost", 80) || none.Open.Socket() || none.Listen.Host("localhost", 80) || none.Listen.Socket() {
		t.Error("the zero grant forwards")
	}
}

func TestGlobs(t *testing.T) {
	t.Parallel()
	for _, one := range []struct {
		pattern, text string
		want          bool
	}{
		{"", "", true},
		{"", "a", false},
		{"a", "", false},
		{"*", "", true},
		{"**", "", true},
		{"?", "", false},
		{"a*c", "abbc", true},
		{"a*c", "abbcd", false},
		{"a*b*c", "axbxbxc", true},
		{"*ab", "aab", true},
		{"a?c", "abc", true},
		{"a?c", "ac", false},
		{"*?", "a", true},
		{"[a]", "a", false},
		{strings.Repeat("*a", 1000) + "b", strings.Repeat("a", 1024), false}, // would never end if it tried all
	} {
		if got := globs(one.pattern, one.text); got != one.want {
			t.Errorf("%.20q globs %.20q is %t, want %t", one.pattern, one.text, got, one.want)
		}
	}
}

package filelog

import (
	"bufio"
	"encoding/json"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// longEnough is how long what has to happen may take.
const longEnough = 20 * time.Second

func TestReportsArriveByThemselves(t *testing.T) {
	t.Parallel()
	socket := filepath.Join(t.TempDir(), "s")
	listener, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	here, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	accepted := make(chan net.Conn, 1)
	go func() {
		defer close(accepted)
		if conn, err := listener.Accept(); err == nil {
			Welcome(conn)
			accepted <- conn
		}
	}()
	r := Connect(socket)
	server, ok := <-accepted
	if !ok {
		t.Fatal("nobody connects")
	}
	defer server.Close()
	_ = server.SetReadDeadline(time.Now().Add(longEnough))
	lines := bufio.NewReader(server)
	for given, want := range map[Event]Event{
		{Operation: Transfer, Path: "/a/b", Read: 3}:               {Operation: Transfer, Path: "/a/b", Read: 3},
		{Operation: Transfer, Path: "x/../y", Written: 4}:          {Operation: Transfer, Path: here + "/y", Written: 4},
		{Operation: Remove, Path: "/line\nbreak"}:                  {Operation: Remove, Path: "/line\nbreak"},
		{Operation: Rename, Path: "/a", To: "/b"}:                  {Operation: Rename, Path: "/a", To: "/b"},
		{Operation: Transfer, Path: "/cut", Written: 1, Cut: true}: {Operation: Transfer, Path: "/cut", Written: 1, Cut: true},
	} {
		r.Add(given) // and nothing more is done for it
		line, err := lines.ReadBytes('\n')
		var got Event
		if err == nil {
			err = json.Unmarshal(line, &got)
		}
		if err != nil || got != want {
			t.Errorf("%+v arrives as %s (%v)", given, line, err)
		}
	}
}

// Whoever transfers files does not care whether anybody hears of it.
func TestNobodyListens(t *testing.T) {
	t.Parallel()
	socket := filepath.Join(t.TempDir(), "s")
	listener, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		for welcomes := true; ; welcomes = false {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			if welcomes {
				Welcome(conn)
			}
			_ = conn.Close()
		}
	}()
	left, refused := Connect(socket), Connect(socket)
	if err := listener.Close(); err != nil {
		t.Fatal(err)
	}
	for _, r := range []*Reporter{left, refused, Connect(socket), Connect("@inmanta-docker-no-such-socket")} {
		began := time.Now()
		for range 10_000 {
			r.Add(Event{Operation: Transfer, Path: "/a"})
		}
		r.Deliver()
		if took := time.Since(began); took > patience {
			t.Errorf("it takes %s", took)
		}
	}
}

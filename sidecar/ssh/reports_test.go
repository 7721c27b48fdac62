package ssh

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"testing"

	"golang.org/x/crypto/ssh"

	"github.com/inmanta/inmanta-docker/sidecar/filelog"
)

// tell tells the server at a socket of a file, and waits for its input to end.
func tell(socket, path string) error {
	r := filelog.Connect(socket)
	r.Add(filelog.Event{Operation: filelog.Transfer, Path: path, Written: 7})
	r.Deliver()
	_, err := io.Copy(io.Discard, os.Stdin)
	return err
}

// hears has the server hear of files, and is the line of shell that tells it of
// one whose path follows.
func (s *stand) hears(t *testing.T) (socket, line string) {
	t.Helper()
	socket = s.home("files")
	listener, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	heard := make(chan error, 1)
	go func() { heard <- s.server.hearOfFiles(ctx, listener) }()
	t.Cleanup(func() {
		cancel()
		if err := <-heard; err != nil {
			t.Error(err)
		}
	})
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return socket, self + " tell " + socket + " "
}

func file(path string) func(Event) bool {
	return func(e Event) bool { return e.Event == EventFile && e.Path == path }
}

func TestFilesOfProgramsAreLogged(t *testing.T) {
	t.Parallel()
	s, key := serveOne(t, "")
	socket, tells := s.hears(t)
	client := s.dial(t, key)
	other := s.dial(t, key)
	for _, c := range []struct {
		by            *ssh.Client
		command, path string
	}{
		{client, tells + "/first < /dev/null", "/first"},
		{other, "(true; " + tells + "/second < /dev/null)", "/second"},
		{client, "exec " + tells + "'/a b\"\n{}' < /dev/null", "/a b\"\n{}"},
	} {
		says(t, c.by, c.command, "")
		e := s.log.await(t, "the file of "+c.command, file(c.path))
		session := s.log.await(t, "its session", func(e Event) bool { return e.Event == EventSessionStart && e.Command == c.command })
		if e.Connection != session.Connection || e.Session != session.Session || e.BytesIn != 7 || e.Action != "transfer" {
			t.Errorf("of %s is logged %+v, and of its session %+v", c.path, e, session)
		}
	}
	// Whoever is of no session is not heard.
	if err := tellAndSee(socket); err != nil {
		t.Error(err)
	}
	says(t, client, "setsid -w "+tells+"/left < /dev/null", "")
	says(t, client, tells+"/last < /dev/null", "")
	s.log.await(t, "the last file", file("/last"))
	if n := s.log.count(kind(EventFile)); n != 4 {
		t.Errorf("%d files are logged, want 4", n)
	}
	unharmed(t, client)
}

// tellAndSee tells of a file and sees that nobody wants to know.
func tellAndSee(socket string) error {
	conn, err := net.Dial("unix", socket)
	if err != nil {
		return err
	}
	defer conn.Close()
	_, _ = io.WriteString(conn, `{"operation":"transfer","path":"/outside"}`+"\n")
	if n, err := conn.Read(make([]byte, 1)); n > 0 || err == nil {
		return fmt.Errorf("the server says something")
	}
	return nil
}

// More programs than may report at once do what they do, and are not logged; with
// their session the server is done with those it leaves behind.
func TestReportsAreLimited(t *testing.T) {
	s, key := serveOne(t, "")
	_, tells := s.hears(t)
	before := s.dial(t, key)
	unharmed(t, before)
	rest := resting(t)
	client := s.dial(t, key)
	session := open(t, client)
	input, err := session.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	const many = mostReports + 10
	if err := session.Start(fmt.Sprintf("exec 5<&0; for i in $(seq %d); do %s/$i <&5 & done; wait", many, tells)); err != nil {
		t.Fatal(err)
	}
	eventually(t, "as many as may are logged", func() bool { return s.log.count(kind(EventFile)) == mostReports })
	unharmed(t, client)
	unharmed(t, before)
	if n := s.log.count(kind(EventFile)); n != mostReports {
		t.Errorf("%d are logged, want %d", n, mostReports)
	}
	_ = input.Close()
	if err := session.Wait(); err != nil {
		t.Error(err)
	}
	// They are free again.
	says(t, client, tells+"/again < /dev/null", "")
	s.log.await(t, "one more", file("/again"))
	// What has gone to the background with its input open is left to itself.
	leaving := open(t, client)
	if input, err = leaving.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	if err := leaving.Start("{ sleep 30 | " + tells + "/behind; } > /dev/null 2>&1 & exec cat"); err != nil {
		t.Fatal(err)
	}
	s.log.await(t, "who is left behind", file("/behind"))
	_ = input.Close()
	if err := leaving.Wait(); err != nil {
		t.Error(err)
	}
	_ = client.Close()
	returns(t, rest)
	if strings.Contains(s.log.text(), "defect") {
		t.Error("something went wrong")
	}
}

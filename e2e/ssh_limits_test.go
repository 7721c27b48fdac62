package e2e

import (
	"encoding/binary"
	"fmt"
	"io"
	"strings"

	"golang.org/x/crypto/ssh"
)

// What the sidecar's own tests ask of its file servers by themselves is asked
// here of the container's, which have its limits, while somebody else is at work.

// openFiles is an sftp client that opens more than it may.
func openFiles(s *sidecar) {
	bystander := s.works()
	_, remote := s.room()
	session, err := s.dial().NewSession()
	if err != nil {
		s.t.Fatal(err)
	}
	defer session.Close()
	in, err := session.StdinPipe()
	if err != nil {
		s.t.Fatal(err)
	}
	out, err := session.StdoutPipe()
	if err == nil {
		err = session.RequestSubsystem("sftp")
	}
	wire := sftpWire{in, out}
	if err == nil {
		_, _, err = wire.ask(sftpInit, struct{ Version uint32 }{3})
	}
	if err != nil {
		s.t.Fatal(err)
	}
	const readCreate = 0x01 | 0x02 | 0x08
	open := func(i int) (kind byte, body []byte) {
		s.t.Helper()
		kind, body, err := wire.ask(sftpOpen, struct {
			ID           uint32
			Path         string
			Flags, Attrs uint32
		}{uint32(i), fmt.Sprintf("%s/%d", remote, i%2000), readCreate, 0})
		if err != nil {
			s.t.Fatalf("open %d: %v", i, err)
		}
		return kind, body
	}
	const most = 1000
	var first string
	for i := range 5000 {
		kind, body := open(i)
		if want := map[bool]byte{true: sftpHandle, false: sftpStatus}[i < most]; kind != want {
			s.t.Fatalf("open %d is answered with %d, want %d: %q", i, kind, want, body)
		}
		if i == 0 {
			first = string(body[8:]) // behind the number and a length
		}
		if i%most == 0 {
			bystander()
		}
	}
	// One that is given back may be had again.
	if err := wire.send(sftpClose, struct {
		ID     uint32
		Handle string
	}{1, first}); err != nil {
		s.t.Fatal(err)
	}
	if err := wire.succeeded(); err != nil {
		s.t.Errorf("closing: %v", err)
	}
	for i, want := range []byte{sftpHandle, sftpStatus} {
		if kind, _ := open(i); kind != want {
			s.t.Errorf("with one place free, open %d is answered with %d, want %d", i+1, kind, want)
		}
	}
	bystander()
	s.prints("ssh sidecar 'ls "+remote+" | wc -l'", fmt.Sprint(most))
}

// hostileNames is a client of scp's old protocol whose names lead elsewhere.
func hostileNames(s *sidecar) {
	bystander, own := s.works(), s.ownSCP()
	_, remote := s.room()
	client := s.dial()
	for i, line := range []string{
		"C0644 1 ../x", "C0644 1 ..", "C0644 1 /tmp/x", "C0644 1 a/b", "C0644 1 a\x1b[2Jb", "C0644 1 a\x00b",
		"C0644 99999999999999999999 x", "C0644 -1 x", "D0755 0 ../d", "D0755 0 ..",
	} {
		session, err := client.NewSession()
		if err != nil {
			s.t.Fatal(err)
		}
		session.Stdin = strings.NewReader(line + "\nx\x00")
		out, err := session.StdoutPipe()
		if err == nil {
			err = session.Start(fmt.Sprintf("mkdir -p %s/in/%d && exec %s/scp -rt %[1]s/in/%[2]d", remote, i, own))
		}
		if err != nil {
			s.t.Fatal(err)
		}
		said, err := io.ReadAll(out)
		if err != nil || !strings.HasPrefix(string(said), "\x00\x01scp: ") || strings.ContainsAny(string(said[2:]), "\x00\x1b") {
			s.t.Errorf("%q is answered with %q (%v)", line, said, err)
		}
		if exit, is := session.Wait().(*ssh.ExitError); !is || exit.ExitStatus() != 1 {
			s.t.Errorf("%q ends with %v, want exit code 1", line, exit)
		}
		bystander()
	}
	s.prints("ssh sidecar 'find "+remote+" -not -type d; find "+remote+" -mindepth 1 -maxdepth 1'", remote+"/in")
}

// works is somebody in a shell, who goes on working while others do what they do.
func (s *sidecar) works() (goesOn func()) {
	s.t.Helper()
	session, err := s.dial().NewSession()
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { session.Close() })
	in, err := session.StdinPipe()
	if err != nil {
		s.t.Fatal(err)
	}
	out, err := session.StdoutPipe()
	if err == nil {
		err = session.Start("cat")
	}
	if err != nil {
		s.t.Fatal(err)
	}
	turn := uint32(0)
	return func() {
		s.t.Helper()
		turn++
		sent := binary.BigEndian.AppendUint32(nil, turn)
		got := make([]byte, len(sent))
		_, err := in.Write(sent)
		if err == nil {
			_, err = io.ReadFull(out, got)
		}
		if err != nil || string(got) != string(sent) {
			s.t.Fatalf("whoever was there before gets %v for %v (%v)", got, sent, err)
		}
	}
}

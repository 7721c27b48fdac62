package e2e

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/crypto/ssh"
)

func vscode(s *sidecar)    { s.replay("vscode.txt") }
func jetbrains(s *sidecar) { s.replay("jetbrains.txt") }

// editor replays what an editor asks, from a file of testdata/ssh in the form
// that the head of vscode.txt explains.
type editor struct {
	s      *sidecar
	client *ssh.Client
	at     string // the step, for whoever reads of its failure
	named  map[string]string

	session *ssh.Session
	stdin   io.WriteCloser
	output  *shown
}

// shown is what a session has printed, both streams together.
type shown struct {
	sync.Mutex
	text bytes.Buffer
	read int
}

func (o *shown) Write(p []byte) (int, error) {
	o.Lock()
	defer o.Unlock()
	return o.text.Write(p)
}

func (s *sidecar) replay(file string) {
	s.t.Helper()
	text, err := os.ReadFile("testdata/ssh/" + file)
	if err != nil {
		s.t.Fatal(err)
	}
	e := &editor{s: s, named: map[string]string{}}
	for number, line := range strings.Split(string(text), "\n") {
		e.at = fmt.Sprintf("%s:%d: %s", file, number+1, line)
		if input, ok := strings.CutPrefix(line, "\t"); ok {
			_, err = io.WriteString(e.stdin, input+"\n")
		} else if line != "" && !strings.HasPrefix(line, "#") {
			verb, argument, _ := strings.Cut(line, " ")
			for name, value := range e.named {
				argument = strings.ReplaceAll(argument, "${"+name+"}", value)
			}
			err = e.step(verb, argument)
		}
		if err != nil {
			s.t.Fatalf("%s: %v", e.at, err)
		}
	}
}

func (e *editor) step(verb, argument string) error {
	switch verb {
	case "connect":
		e.client = e.s.dial()
		return nil
	case "disconnect":
		return e.client.Close()
	case "exec":
		return e.exec(argument)
	case "eof":
		return e.stdin.Close()
	case "says":
		return e.says(argument)
	case "exits":
		return e.exits(argument)
	case "many":
		return e.many(argument)
	case "upload":
		return e.upload(argument)
	case "tcp", "unix":
		return e.echoes(verb, argument)
	case "listen":
		return e.listen(argument)
	case "ask":
		_, _, err := e.client.SendRequest(argument, true, nil)
		return err
	}
	return errors.New("no such verb")
}

// listen asks for a port, by name, which the library would look up here first.
func (e *editor) listen(address string) error {
	host, number, _ := strings.Cut(address, ":")
	port, err := strconv.Atoi(number)
	if err != nil {
		return err
	}
	type bind struct {
		Host string
		Port uint32
	}
	ok, answer, err := e.client.SendRequest("tcpip-forward", true, ssh.Marshal(bind{host, uint32(port)}))
	var chosen struct{ Port uint32 }
	if err == nil && ok && port == 0 {
		err = ssh.Unmarshal(answer, &chosen)
		port = int(chosen.Port)
	}
	if err != nil || !ok || port == 0 {
		return fmt.Errorf("granted %v, port %d, %v", ok, port, err)
	}
	if ok, _, err := e.client.SendRequest("cancel-tcpip-forward", true, ssh.Marshal(bind{host, uint32(port)})); err != nil || !ok {
		return fmt.Errorf("taking it back: %v, %v", ok, err)
	}
	return nil
}

func (e *editor) exec(command string) (err error) {
	if e.session, err = e.client.NewSession(); err != nil {
		return err
	}
	e.output = &shown{}
	e.session.Stdout, e.session.Stderr = e.output, e.output
	if e.stdin, err = e.session.StdinPipe(); err != nil {
		return err
	}
	return e.session.Start(command)
}

func (e *editor) says(expression string) error {
	wanted, err := regexp.Compile(expression)
	if err != nil {
		return err
	}
	// The library copies from the channel by itself: nothing announces what it wrote.
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		e.output.Lock()
		text := e.output.text.String()[e.output.read:]
		found := wanted.FindStringSubmatchIndex(text)
		if found != nil {
			e.output.read += found[1]
		}
		e.output.Unlock()
		if found == nil {
			continue
		}
		for i, name := range wanted.SubexpNames() {
			if name != "" {
				e.named[name] = text[found[2*i]:found[2*i+1]]
			}
		}
		return nil
	}
	e.output.Lock()
	defer e.output.Unlock()
	return fmt.Errorf("within a minute the session says only %q", e.output.text.String())
}

func (e *editor) exits(code string) error {
	want, err := strconv.Atoi(code)
	if err != nil {
		return err
	}
	got := 0
	var exit *ssh.ExitError
	switch err := e.session.Wait(); {
	case errors.As(err, &exit):
		got = exit.ExitStatus()
	case err != nil:
		return err
	}
	if got != want {
		return fmt.Errorf("the session ends with %d and says %q", got, e.output.text.String())
	}
	return nil
}

func (e *editor) many(argument string) error {
	number, command, _ := strings.Cut(argument, " ")
	count, err := strconv.Atoi(number)
	if err != nil {
		return err
	}
	failed := make(chan error, count)
	// As many at once as a pool of that library's threads would have.
	at := make(chan struct{}, 10)
	for range count {
		go func() {
			at <- struct{}{}
			defer func() { <-at }()
			session, err := e.client.NewSession()
			if err == nil {
				err = session.Run(command)
				session.Close()
			}
			failed <- err
		}()
	}
	for range count {
		err = errors.Join(err, <-failed)
	}
	return err
}

// echoes opens a channel to something that says back what it hears.
func (e *editor) echoes(network, address string) error {
	// A name goes as it is: which address that is, is for the far side to say.
	c, err := e.client.Dial(network, address)
	if err != nil {
		return err
	}
	defer c.Close()
	sent := make([]byte, 300_000)
	if _, err := rand.Read(sent); err != nil {
		return err
	}
	received := make([]byte, len(sent))
	go c.Write(sent) //nolint:errcheck // what did not go out does not come back
	if _, err := io.ReadFull(c, received); err != nil {
		return fmt.Errorf("reading what was sent: %w", err)
	}
	if !bytes.Equal(sent, received) {
		return errors.New("something else came back than was sent")
	}
	return nil
}

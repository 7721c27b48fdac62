package ssh

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/crypto/ssh"
	"golang.org/x/sys/unix"
)

// session is one channel of kind "session" (RFC 4254, section 6): first the
// client says what it wants around a program, then which, then it runs.
type session struct {
	connection *connection
	channel    ssh.Channel
	id         uint64
	began      time.Time

	// Written by the goroutine that answers requests, before the program starts.
	environment []string
	terminal    *terminal
	forwards    bool // the client's agent is asked for

	// over is done when the session has ended, and reporting how many of its
	// programs report of files.
	over      context.Context
	end       context.CancelFunc
	reporting atomic.Int32

	mu      sync.Mutex
	program *program // once it runs
	kind    string
}

// Messages of RFC 4254, sections 6.2 to 6.10.
type (
	ptyRequest struct {
		Term                         string
		Columns, Rows, Width, Height uint32
		Modes                        string
	}
	windowChange  struct{ Columns, Rows, Width, Height uint32 }
	setenvRequest struct{ Name, Value string }
	execRequest   struct{ Command string }
	signalRequest struct{ Signal string }
	exitStatus    struct{ Status uint32 }
	exitSignal    struct {
		Signal     string
		CoreDumped bool
		Message    string
		Language   string
	}
)

func (c *connection) openSession(asked ssh.NewChannel) {
	s := &session{connection: c, id: c.session.Add(1), began: time.Now()}
	s.over, s.end = context.WithCancel(c.ctx)
	defer s.end()
	if !c.begin(s) {
		_ = asked.Reject(ssh.ResourceShortage, fmt.Sprintf("this connection has %d sessions open, which is the limit", c.server.config.Limits.Sessions))
		return
	}
	defer c.finish(s)
	channel, requests, err := asked.Accept()
	if err != nil {
		return
	}
	s.channel = inTurns(takenChannel{channel, &c.taken})
	defer channel.Close()
	defer func() {
		if s.terminal != nil {
			s.terminal.close()
		}
	}()
	s.answer(requests)
}

func (c *connection) begin(s *session) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.sessions) >= c.server.config.Limits.Sessions {
		return false
	}
	c.sessions[s] = struct{}{}
	return true
}

func (c *connection) finish(s *session) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.sessions, s)
}

// answer answers the client's requests until the channel is closed, which the
// program's end leads to. It waits for nothing but the next request: the
// connection stands still while one is not taken.
func (s *session) answer(requests <-chan *ssh.Request) {
	var running sync.WaitGroup
	defer running.Wait()
	for request := range requests {
		ok := false
		switch request.Type {
		case "shell", "exec", "subsystem":
			s.start(request, &running)
			continue // which answers
		case "pty-req":
			ok = s.allocate(request.Payload)
		case "env":
			ok = s.setenv(request.Payload)
		case "window-change":
			ok = s.resize(request.Payload)
		case "signal":
			ok = s.signal(request.Payload)
		case "auth-agent-req@openssh.com":
			ok = s.askAgent()
		case "eow@openssh.com":
			s.hearNoMore()
		}
		if request.WantReply {
			_ = request.Reply(ok, nil)
		}
	}
	// The client has closed the channel, or is gone.
	s.hangUp()
}

func (s *session) started() *program {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.program
}

func (s *session) allocate(payload []byte) bool {
	var asked ptyRequest
	if s.started() != nil || s.terminal != nil || !s.connection.grant.PTY || ssh.Unmarshal(payload, &asked) != nil {
		return false
	}
	terminal, err := openTerminal(asked)
	if err != nil {
		s.log(Event{Event: EventProblem, Problem: "no terminal for a session: " + err.Error()})
		return false
	}
	s.terminal = terminal
	if name := asked.Term; name != "" && acceptable("TERM", name) {
		s.environment = append(s.environment, "TERM="+name)
	}
	return true
}

func (s *session) setenv(payload []byte) bool {
	var asked setenvRequest
	if s.started() != nil || ssh.Unmarshal(payload, &asked) != nil || len(s.environment) >= mostVariables || !acceptable(asked.Name, asked.Value) {
		return false
	}
	s.environment = append(s.environment, asked.Name+"="+asked.Value)
	return true
}

func (s *session) resize(payload []byte) bool {
	var asked windowChange
	if s.terminal == nil || ssh.Unmarshal(payload, &asked) != nil {
		return false
	}
	return s.terminal.resize(asked.Columns, asked.Rows, asked.Width, asked.Height) == nil
}

// signals are those of RFC 4254, section 6.10, that a client may send.
var signals = map[string]unix.Signal{
	"ABRT": unix.SIGABRT, "ALRM": unix.SIGALRM, "HUP": unix.SIGHUP, "INT": unix.SIGINT, "KILL": unix.SIGKILL,
	"PIPE": unix.SIGPIPE, "QUIT": unix.SIGQUIT, "TERM": unix.SIGTERM, "USR1": unix.SIGUSR1, "USR2": unix.SIGUSR2,
}

func (s *session) signal(payload []byte) bool {
	var asked signalRequest
	program := s.started()
	// A forced command is not the client's to interrupt.
	if program == nil || s.connection.grant.ForcedCommand != "" || ssh.Unmarshal(payload, &asked) != nil {
		return false
	}
	number, known := signals[asked.Signal]
	return known && program.signal(number) == nil
}

func (s *session) askAgent() bool {
	if s.started() != nil || !s.connection.grant.AgentForwarding {
		return false
	}
	s.forwards = true
	return true
}

// hearNoMore is told when what reads the output at the client has ended, as in
// `ssh HOST yes | head -n 1`: the client goes on, and takes what it then drops.
func (s *session) hearNoMore() {
	switch p := s.started(); {
	case p == nil:
	case p.terminal != nil:
		p.hangUp()
	default:
		p.stopListening(p.out)
	}
}

// start runs what was asked for, and answers. One session runs one program.
func (s *session) start(request *ssh.Request, running *sync.WaitGroup) {
	program, wanted, err := s.prepare(request)
	if err != nil {
		s.log(Event{Event: EventProblem, Problem: "a session's program does not start: " + err.Error()})
	}
	// Answered before the program's first words are carried.
	if request.WantReply {
		_ = request.Reply(program != nil, nil)
	}
	if program == nil {
		return
	}
	s.log(Event{Event: EventSessionStart, Kind: wanted.kind, Command: wanted.asked, Forced: wanted.forced, PTY: s.terminal != nil})
	running.Go(func() { s.connection.guard(func() { s.converse(program) }) })
}

// prepare starts the program that a request asks for; there is none where the
// request is not to be granted.
func (s *session) prepare(request *ssh.Request) (*program, wanted, error) {
	wanted, ok := s.connection.wanted(request)
	if !ok || s.started() != nil {
		return nil, wanted, nil
	}
	starts := &s.connection.server.starts
	starts.RLock()
	defer starts.RUnlock()
	program, err := s.run(wanted)
	if program != nil {
		s.mu.Lock()
		s.program, s.kind = program, wanted.kind
		s.mu.Unlock()
	}
	return program, wanted, err
}

// wanted is what a request asks to run, and what runs for it.
type wanted struct {
	kind string // shell, exec or subsystem
	// asked is the command or the subsystem, forced what the key's line or the
	// certificate has in its place.
	asked, forced string
	path          string
	argv          []string
}

// wanted reads a request. It is not ok when there is no such thing to run.
func (c *connection) wanted(request *ssh.Request) (wanted, bool) {
	account := c.server.config.Account
	w := wanted{kind: request.Type, path: account.Shell}
	base := account.Shell[strings.LastIndexByte(account.Shell, '/')+1:]
	if request.Type != "shell" {
		var asked execRequest // a subsystem's name is laid out like a command
		if ssh.Unmarshal(request.Payload, &asked) != nil || strings.ContainsRune(asked.Command, 0) {
			return w, false
		}
		w.asked = asked.Command
	}
	switch {
	case c.grant.ForcedCommand != "":
		w.forced = c.grant.ForcedCommand
		if w.forced == internalSFTP {
			return c.sftp(w), true
		}
		w.argv = []string{base, "-c", w.forced}
	case request.Type == "shell":
		w.argv = []string{"-" + base} // which makes it a login shell
	case request.Type == "exec":
		w.argv = []string{base, "-c", w.asked}
	case w.asked == "sftp":
		w = c.sftp(w)
	default:
		return w, false
	}
	return w, true
}

// internalSFTP is how OpenSSH's command= names the server's own file server.
const internalSFTP = "internal-sftp"

func (c *connection) sftp(w wanted) wanted {
	w.path, w.argv = c.server.config.SFTP[0], c.server.config.SFTP
	return w
}

// converse carries what the program and the client say to each other, and tells
// the client how the program ended.
func (s *session) converse(p *program) {
	e := Event{Event: EventSessionEnd}
	in, out := p.carry(s.channel)
	if ending, ended := p.wait(); ended {
		// First how it ended, then what is left of the output, then the end:
		// some clients take an end without a status for success.
		ending.tell(s.channel)
		p.drain()
		p.settle()
		_ = s.channel.CloseWrite()
		if e.Signal = ending.signal; e.Signal == "" {
			e.ExitCode = &ending.code
		}
	} else {
		e.Reason = "the client is gone"
	}
	p.release()
	_ = s.channel.Close()
	e.Seconds, e.BytesIn, e.BytesOut = time.Since(s.began).Seconds(), in.Load(), out.Load()
	s.log(e)
}

// log writes events of this session.
func (s *session) log(events ...Event) {
	for i := range events {
		events[i].Session = s.id
	}
	s.connection.log(events...)
}

// hangUp ends what the session runs, when nobody listens to it any more.
func (s *session) hangUp() {
	if p := s.started(); p != nil {
		p.hangUp()
	}
}

// notify tells the person or program at the other end something.
func (s *session) notify(text string) {
	s.mu.Lock()
	p, kind := s.program, s.kind
	s.mu.Unlock()
	switch {
	case p == nil || kind == "subsystem":
		// What is not a text is not interrupted by one.
	case s.terminal != nil:
		_, _ = io.WriteString(s.channel, "\r\n"+text+"\r\n")
	default:
		_, _ = io.WriteString(s.channel.Stderr(), text+"\n")
	}
}

// ending is how a program ended.
type ending struct {
	code   int
	signal string // without SIG; "" when it exited
	dumped bool
}

func (e ending) tell(channel ssh.Channel) {
	// Where it cannot be told, the client is gone.
	if e.signal != "" {
		_, _ = channel.SendRequest("exit-signal", false, ssh.Marshal(exitSignal{Signal: e.signal, CoreDumped: e.dumped}))
	} else {
		_, _ = channel.SendRequest("exit-status", false, ssh.Marshal(exitStatus{Status: uint32(e.code)}))
	}
}

// endingOf reads what the kernel says of an ended process.
func endingOf(state *os.ProcessState) ending {
	if state == nil {
		return ending{code: 255}
	}
	status, ok := state.Sys().(syscall.WaitStatus)
	if !ok || !status.Signaled() {
		return ending{code: state.ExitCode()}
	}
	name := strings.TrimPrefix(unix.SignalName(status.Signal()), "SIG")
	if name == "" {
		// One of the real-time signals: names that RFC 4254 does not have end in a domain.
		name = fmt.Sprintf("SIG%d@inmanta.com", status.Signal())
	}
	return ending{signal: name, dumped: status.CoreDump()}
}

package ssh

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/crypto/ssh"
	"golang.org/x/sys/unix"

	"github.com/inmanta/inmanta-docker/sidecar/process"
)

// program is what a session runs.
type program struct {
	command  *exec.Cmd
	terminal *terminal // nil without one
	// Our ends of its pipes; with a terminal, its master, and no errors.
	in, out, errors *os.File
	carrying        sync.WaitGroup // of what it says

	ended  chan struct{} // closed once ending is known
	ending ending

	leave sync.Once
	left  chan struct{} // closed when nobody listens to it any more
}

// hangUpGrace is how long a program on a terminal that hung up may take to end.
const hangUpGrace = 5 * time.Second

// run starts what is wanted, in the account's home.
func (s *session) run(w wanted) (*program, error) {
	c := s.connection
	config := c.server.config
	argv := append(slices.Clone(config.Launcher), w.path)
	argv = append(argv, w.argv...)
	if len(config.Launcher) == 0 {
		argv = w.argv
	}
	command := &exec.Cmd{
		Path: append(slices.Clone(config.Launcher), w.path)[0], Args: argv,
		Dir: config.Account.Home, SysProcAttr: &syscall.SysProcAttr{Setsid: true},
	}
	if info, err := os.Stat(command.Dir); err != nil || !info.IsDir() {
		command.Dir = "/"
	}
	variables, err := s.variables(w)
	if err != nil {
		return nil, err
	}
	command.Env = with(config.Environment, variables...)
	p := &program{command: command, terminal: s.terminal, ended: make(chan struct{}), left: make(chan struct{})}
	theirs, err := p.connect()
	if err != nil {
		return nil, err
	}
	var reports *os.File
	if w.path == config.SFTP[0] && slices.Equal(w.argv, config.SFTP) {
		var their *os.File
		if reports, their, err = os.Pipe(); err != nil {
			return nil, errors.Join(err, closeAll(theirs), p.close())
		}
		command.ExtraFiles = []*os.File{their}
		theirs = append(theirs, their)
	}
	err = c.server.children.Start(command)
	_ = closeAll(theirs)
	if err != nil {
		if reports != nil {
			_ = reports.Close()
		}
		return nil, errors.Join(err, p.close())
	}
	if reports != nil {
		c.server.reports.Go(func() { s.report(reports) })
	}
	go func() {
		_ = c.server.children.Wait(command) // its ending is in the state
		p.ending = endingOf(command.ProcessState)
		if reports != nil {
			// Whatever the session has left behind may have the other end open still.
			_ = reports.SetReadDeadline(time.Now().Add(reportGrace))
		}
		close(p.ended)
	}()
	return p, nil
}

// variables are those of a session's environment that are its own.
func (s *session) variables(w wanted) ([]string, error) {
	c := s.connection
	variables := slices.Clone(s.environment)
	remoteHost, remotePort := hostPort(c.client.RemoteAddr())
	localHost, localPort := hostPort(c.client.LocalAddr())
	variables = append(variables,
		fmt.Sprintf("SSH_CLIENT=%s %s %s", remoteHost, remotePort, localPort),
		fmt.Sprintf("SSH_CONNECTION=%s %s %s %s", remoteHost, remotePort, localHost, localPort),
	)
	if s.terminal != nil {
		variables = append(variables, "SSH_TTY="+s.terminal.slave.Name())
	}
	if w.forced != "" && w.kind != "shell" {
		variables = append(variables, "SSH_ORIGINAL_COMMAND="+w.asked)
	}
	if s.forwards {
		socket, err := c.agentAt()
		if err != nil {
			return nil, err
		}
		variables = append(variables, "SSH_AUTH_SOCK="+socket)
	}
	return variables, nil
}

func hostPort(address net.Addr) (host, port string) {
	host, port, err := net.SplitHostPort(address.String())
	if err != nil {
		return "UNKNOWN", "0"
	}
	return host, port
}

// connect connects the program to a terminal, or to pipes, and returns those
// ends of them that are the program's alone once it runs.
func (p *program) connect() ([]*os.File, error) {
	if t := p.terminal; t != nil {
		p.command.Stdin, p.command.Stdout, p.command.Stderr = t.slave, t.slave, t.slave
		p.command.SysProcAttr.Setctty = true
		p.in, p.out = t.master, t.master
		return []*os.File{t.slave}, nil
	}
	// Not the pipes of os/exec: Wait would close them over unread output.
	var theirs []*os.File
	for _, end := range []struct {
		ours, theirs **os.File
		reads        bool
	}{{&p.in, new(*os.File), true}, {&p.out, new(*os.File), false}, {&p.errors, new(*os.File), false}} {
		read, write, err := os.Pipe()
		if err != nil {
			return nil, errors.Join(err, closeAll(theirs), p.close())
		}
		widen(write)
		*end.ours, *end.theirs = read, write
		if end.reads {
			*end.ours, *end.theirs = write, read
		}
		theirs = append(theirs, *end.theirs)
	}
	p.command.Stdin, p.command.Stdout, p.command.Stderr = theirs[0], theirs[1], theirs[2]
	return theirs, nil
}

// pipeSize is what a pipe may hold, in bytes: the larger, the less often reader
// and writer wait for each other. The kernel refuses it to who has many; they
// keep the usual 64 KiB.
const pipeSize = 256 << 10

func widen(pipe *os.File) {
	_, _ = unix.FcntlInt(pipe.Fd(), unix.F_SETPIPE_SZ, pipeSize)
	_ = syscall.SetNonblock(int(pipe.Fd()), true) // which Fd undoes
}

func closeAll(files []*os.File) error {
	var all error
	for _, file := range files {
		all = errors.Join(all, file.Close())
	}
	return all
}

// carry begins to carry what the client and the program say, and counts it.
func (p *program) carry(channel ssh.Channel) (in, out *atomic.Int64) {
	in, out = new(atomic.Int64), new(atomic.Int64)
	go func() {
		if err := pour(p.in, channel, in); err != nil {
			// The program reads no more. The client is told, and what it has
			// sent meanwhile is let through to nowhere, or it would wait for room.
			_, _ = channel.SendRequest("eow@openssh.com", false, nil)
			_, _ = io.Copy(io.Discard, channel)
			return
		}
		if p.terminal == nil {
			_ = p.in.Close()
		}
	}()
	p.carrying.Go(func() {
		// A terminal that nobody holds any more says EIO.
		_ = pour(channel, p.out, out)
		// The client takes no more: the program learns it as it would at a pipe.
		p.stopListening(p.out)
	})
	if p.errors != nil {
		p.carrying.Go(func() {
			_ = pour(channel.Stderr(), p.errors, out)
			p.stopListening(p.errors)
		})
	}
	return in, out
}

// stopListening closes a pipe of the program's output; a terminal stays.
func (p *program) stopListening(pipe *os.File) {
	if p.terminal == nil {
		_ = pipe.Close()
	}
}

// wait waits until the program ends; it has not when nobody listens any more.
func (p *program) wait() (ending, bool) {
	select {
	case <-p.ended:
		return p.ending, true
	case <-p.left:
		select {
		case <-p.ended:
			return p.ending, true
		default:
			return ending{}, false
		}
	}
}

// drain waits until all that the program, and what it left behind, says has
// been carried, or nobody listens any more.
func (p *program) drain() {
	all := make(chan struct{})
	go func() {
		p.carrying.Wait()
		close(all)
	}()
	select {
	case <-all:
	case <-p.left:
	}
}

// settle says that there is nobody left to hang up on: the client may keep the
// channel for as long as it likes, and by then the program's number may be
// another's.
func (p *program) settle() {
	p.leave.Do(func() { close(p.left) })
}

// release lets go of the program's pipes, or of its terminal.
func (p *program) release() {
	if p.terminal != nil {
		p.terminal.close()
		return
	}
	_ = p.close()
}

func (p *program) close() error {
	var all error
	for _, file := range []*os.File{p.in, p.out, p.errors} {
		if file != nil && p.terminal == nil {
			if err := file.Close(); !errors.Is(err, os.ErrClosed) {
				all = errors.Join(all, err)
			}
		}
	}
	return all
}

// signal signals the program and what it started in its process group.
func (p *program) signal(number unix.Signal) error {
	select {
	case <-p.ended:
		return os.ErrProcessDone // its number may be another's by now
	default:
		return unix.Kill(-p.command.Process.Pid, number)
	}
}

// hangUp says that nobody listens any more. On a terminal that is what a modem
// did: all of its session hears of it, and who stays is killed. Without one the
// program finds its pipes closed, and may go on, as with OpenSSH: a command
// that a network failure cut off is not cut short half way.
func (p *program) hangUp() {
	p.leave.Do(func() {
		close(p.left)
		if p.terminal == nil {
			p.release()
			return
		}
		for _, pid := range process.InSession(p.command.Process.Pid) {
			_ = unix.Kill(pid, unix.SIGHUP)
		}
		p.release()
		kill := time.AfterFunc(hangUpGrace, func() { _ = p.signal(unix.SIGKILL) })
		go func() {
			<-p.ended
			kill.Stop()
		}()
	})
}

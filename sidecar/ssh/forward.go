package ssh

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/crypto/ssh"
)

// dialPatience is how long a forward may take to reach its goal.
const dialPatience = 10 * time.Second

// Messages of RFC 4254, section 7.2, and of OpenSSH's PROTOCOL, section 2.4.
type (
	directTCP struct {
		Host       string
		Port       uint32
		OriginHost string
		OriginPort uint32
	}
	directSocket struct {
		Path     string
		Reserved string
		Unused   uint32
	}
)

// openForward connects a channel to where the client wants it: -L, -D and -W.
func (c *connection) openForward(asked ssh.NewChannel) {
	network, to, err := c.goal(asked)
	if err != nil {
		c.log(Event{Event: EventForward, Kind: asked.ChannelType(), To: to, Reason: err.Error()})
		_ = asked.Reject(ssh.Prohibited, err.Error())
		return
	}
	dialer := net.Dialer{Timeout: dialPatience}
	goal, err := dialer.DialContext(c.ctx, network, to)
	if err != nil {
		c.log(Event{Event: EventForward, Kind: asked.ChannelType(), To: to, Reason: err.Error()})
		_ = asked.Reject(ssh.ConnectionFailed, reasonOf(err))
		return
	}
	c.bridge(asked, goal.(halfCloser), Event{Event: EventForward, Kind: asked.ChannelType(), To: to})
}

// bridge accepts a channel and joins it with what it leads to.
func (c *connection) bridge(asked ssh.NewChannel, goal halfCloser, e Event) {
	defer goal.Close()
	channel, requests, err := asked.Accept()
	if err != nil {
		return
	}
	c.carry(channel, requests, goal, e)
}

// carry joins a channel with what it leads to, until both have ended or the
// connection has, and logs it. It returns when the client has closed the channel:
// until then it may go on sending into it.
func (c *connection) carry(channel ssh.Channel, requests <-chan *ssh.Request, goal halfCloser, e Event) {
	began := time.Now()
	closed := make(chan struct{})
	go func() {
		defer close(closed)
		ssh.DiscardRequests(requests)
	}()
	stop := context.AfterFunc(c.ctx, func() { _ = goal.Close() }) // so that what reads from it learns of the end
	e.BytesIn, e.BytesOut = join(takenChannel{channel, &c.taken}, goal)
	e.Seconds = time.Since(began).Seconds()
	c.log(e)
	stop()
	_ = goal.Close()
	_ = channel.Close()
	_, _ = io.Copy(io.Discard, channel)
	<-closed
}

// goal is where a channel is to lead, if the client may.
func (c *connection) goal(asked ssh.NewChannel) (network, to string, err error) {
	if asked.ChannelType() != "direct-tcpip" {
		var m directSocket
		if err := ssh.Unmarshal(asked.ExtraData(), &m); err != nil {
			return "", "", errors.New("not a request for a forward")
		}
		if !c.grant.Open.Socket() {
			return "", m.Path, errors.New("this key may not forward sockets")
		}
		return "unix", m.Path, checkSocket(m.Path)
	}
	var m directTCP
	if err := ssh.Unmarshal(asked.ExtraData(), &m); err != nil || m.Port == 0 || m.Port > 65535 {
		return "", "", errors.New("not a request for a forward")
	}
	to = net.JoinHostPort(m.Host, strconv.Itoa(int(m.Port)))
	if !c.grant.Open.Host(m.Host, m.Port) {
		return "", to, fmt.Errorf("this key may not forward to %s", to)
	}
	return "tcp", to, nil
}

// longestSocketPath is what the kernel takes, unix(7).
const longestSocketPath = 107

// checkSocket says what is wrong with a socket's path. A link could lead
// anywhere by the time it is followed.
func checkSocket(path string) error {
	switch {
	case !filepath.IsAbs(path), strings.ContainsRune(path, 0), len(path) > longestSocketPath:
		return fmt.Errorf("a socket's path is absolute and has at most %d bytes", longestSocketPath)
	}
	info, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return errors.New(reasonOf(err))
	}
	if info.Mode().Type() != fs.ModeSocket {
		return errors.New("there is something at that path that is not a socket")
	}
	return nil
}

// reasonOf is the innermost of an error, without addresses that the client knows.
func reasonOf(err error) string {
	for inner := errors.Unwrap(err); inner != nil; inner = errors.Unwrap(inner) {
		err = inner
	}
	return err.Error()
}

package modelinit

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"time"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"
)

// The token and the key stay in the memory of this process, which the user's
// own processes cannot read (package privilege). While git runs, and only then,
// it gets what it needs of them over two sockets: from an agent that signs with
// the key and never gives it away, and from a helper that git itself asks for
// the credentials of one host.

// defaultUser goes with a token where the URL names nobody: hosts that look at
// tokens alone take any.
const defaultUser = "oauth2"

// credential is what the helper may tell git, and for which host.
type credential struct {
	Protocol, Host, User, Password string
}

// open serves the token and the key, until close is called.
func (j *job) open() (close func(), err error) {
	var listeners []net.Listener
	close = func() {
		for _, l := range listeners {
			_ = l.Close() // which removes the socket, too
		}
	}
	serve := func(path string, answer func(net.Conn)) error {
		l, err := net.Listen("unix", path)
		if err != nil {
			return fmt.Errorf("offering credentials to git: %w", err)
		}
		listeners = append(listeners, l)
		go func() {
			for {
				c, err := l.Accept()
				if err != nil {
					return // it is closed
				}
				go func() { defer c.Close(); answer(c) }()
			}
		}()
		return os.Chmod(path, 0o600)
	}
	if r := j.config.Repository; j.config.Token != "" {
		known := credential{Protocol: string(r.Transport), Host: r.Host, User: r.User, Password: j.config.Token}
		if known.User == "" {
			known.User = defaultUser
		}
		if err := serve(j.tokenSocket(), func(c net.Conn) { _ = json.NewEncoder(c).Encode(known) }); err != nil {
			close()
			return nil, err
		}
	}
	if j.config.Key != "" {
		key, err := ssh.ParseRawPrivateKey([]byte(j.config.Key))
		if err != nil {
			close()
			return nil, fmt.Errorf("reading the repository's key: %w", err)
		}
		keyring := agent.NewKeyring()
		if err := keyring.Add(agent.AddedKey{PrivateKey: key}); err != nil {
			close()
			return nil, fmt.Errorf("using the repository's key: %w", err)
		}
		if err := serve(j.agentSocket(), func(c net.Conn) { _ = agent.ServeAgent(keyring, c) }); err != nil {
			close()
			return nil, err
		}
	}
	return close, nil
}

// Credential is git's credential helper: see gitcredentials(7). It answers for
// the repository's own host and no other, wherever a redirect may lead.
func Credential(args []string, in io.Reader, out io.Writer) error {
	if len(args) != 2 {
		return errors.New("init credential takes a socket and git's word; git calls it")
	}
	if args[1] != "get" {
		return nil // there is nothing to store or to forget
	}
	asked, err := readCredential(in)
	if err != nil {
		return err
	}
	c, err := net.DialTimeout("unix", args[0], 5*time.Second)
	if err != nil {
		return fmt.Errorf("asking for the token: %w", err)
	}
	defer c.Close()
	var known credential
	if err := json.NewDecoder(c).Decode(&known); err != nil {
		return fmt.Errorf("asking for the token: %w", err)
	}
	if asked.Protocol != known.Protocol || asked.Host != known.Host {
		return nil
	}
	if asked.User == "" {
		asked.User = known.User
	}
	_, err = fmt.Fprintf(out, "username=%s\npassword=%s\n", asked.User, known.Password)
	return err
}

// readCredential reads what git asks about, NAME=value a line.
func readCredential(in io.Reader) (credential, error) {
	var c credential
	lines := bufio.NewScanner(in)
	for lines.Scan() && lines.Text() != "" {
		name, v, _ := strings.Cut(lines.Text(), "=")
		switch name {
		case "protocol":
			c.Protocol = v
		case "host":
			c.Host = v
		case "username":
			c.User = v
		}
	}
	if err := lines.Err(); err != nil {
		return credential{}, fmt.Errorf("reading what git asks: %w", err)
	}
	return c, nil
}

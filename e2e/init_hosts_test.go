package e2e

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os/exec"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/knownhosts"
)

// selfSigned is a certificate for that address, which is its own authority.
func selfSigned(t *testing.T, address string) (tls.Certificate, []byte) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.ParseIP(address)}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
	}
	text, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{text}, PrivateKey: key}, text
}

// sshHost is a git host over ssh that lets one key in, to read one repository.
type sshHost struct {
	address string
	// clientKey is the private key that it lets in, and known the line of a
	// known_hosts file for it.
	clientKey, known string
}

func (s sshHost) url() string { return "ssh://git@" + s.address + "/hello.git" }

func newSSHHost(t *testing.T, m *module) sshHost {
	t.Helper()
	_, hostKey, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	hostSigner, err := ssh.NewSignerFromKey(hostKey)
	if err != nil {
		t.Fatal(err)
	}
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	block, err := ssh.MarshalPrivateKey(private, "deploy")
	if err != nil {
		t.Fatal(err)
	}
	allowed, err := ssh.NewPublicKey(public)
	if err != nil {
		t.Fatal(err)
	}
	config := &ssh.ServerConfig{PublicKeyCallback: func(_ ssh.ConnMetadata, key ssh.PublicKey) (*ssh.Permissions, error) {
		if string(key.Marshal()) != string(allowed.Marshal()) {
			return nil, fmt.Errorf("nobody knows this key")
		}
		return nil, nil
	}}
	config.AddHostKey(hostSigner)
	l := listen(t)
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go m.overSSH(c, config)
		}
	}()
	return sshHost{
		address: l.Addr().String(), clientKey: string(pem.EncodeToMemory(block)),
		known: knownhosts.Line([]string{knownhosts.Normalize(l.Addr().String())}, hostSigner.PublicKey()) + "\n",
	}
}

// overSSH serves one connection: whatever it asks for, it gets this repository
// to read.
func (m *module) overSSH(c net.Conn, config *ssh.ServerConfig) {
	defer c.Close()
	_, channels, requests, err := ssh.NewServerConn(c, config)
	if err != nil {
		return
	}
	go ssh.DiscardRequests(requests)
	for offered := range channels {
		channel, asked, err := offered.Accept()
		if err != nil {
			return
		}
		go func() {
			defer channel.Close()
			for r := range asked {
				_ = r.Reply(r.Type == "exec" || r.Type == "env", nil)
				if r.Type != "exec" || !strings.Contains(string(r.Payload), "git-upload-pack") {
					continue
				}
				git := exec.Command("git", "-c", "safe.directory=*", "upload-pack", m.bare)
				git.Stdin, git.Stdout, git.Stderr = channel, channel, channel.Stderr()
				status := struct{ Code uint32 }{}
				if git.Run() != nil {
					status.Code = 1
				}
				_, _ = channel.SendRequest("exit-status", false, ssh.Marshal(status))
				return
			}
		}()
	}
}

package ssh

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/crypto/ssh"
)

// hostKeyKind is one kind of host key: the name of its file, how it is made,
// and what it signs with.
type hostKeyKind struct {
	name       string
	generate   func() (crypto.Signer, error)
	algorithms []string
}

// hostKeyKinds are in the order in which they are offered.
var hostKeyKinds = []hostKeyKind{
	{
		"ed25519",
		func() (crypto.Signer, error) {
			_, key, err := ed25519.GenerateKey(rand.Reader)
			return key, err
		},
		[]string{ssh.KeyAlgoED25519},
	},
	{
		"ecdsa",
		func() (crypto.Signer, error) { return ecdsa.GenerateKey(elliptic.P256(), rand.Reader) },
		[]string{ssh.KeyAlgoECDSA256},
	},
	{
		"rsa",
		func() (crypto.Signer, error) { return rsa.GenerateKey(rand.Reader, rsaBits) },
		// Not ssh-rsa, which signs with SHA-1.
		[]string{ssh.KeyAlgoRSASHA512, ssh.KeyAlgoRSASHA256},
	},
}

// rsaBits is as strong as the 128 bits of the other kinds (NIST SP 800-57).
const rsaBits = 3072

// HostKeys are the server's keys of each kind, kept in folder: made where one
// is missing, and never replaced. Only root can read them. It is safe to call
// from several processes at once: they end up with the same keys.
func HostKeys(folder string) ([]ssh.Signer, error) {
	info, err := os.Stat(folder)
	if err != nil {
		return nil, fmt.Errorf("the host keys' folder: %w", err)
	}
	if info.Mode().Perm() != 0o700 {
		if err := os.Chmod(folder, 0o700); err != nil {
			return nil, fmt.Errorf("closing the host keys' folder to others: %w", err)
		}
	}
	var keys []ssh.Signer
	for _, kind := range hostKeyKinds {
		key, err := kind.keep(filepath.Join(folder, "ssh_host_"+kind.name+"_key"))
		if err != nil {
			return nil, err
		}
		keys = append(keys, key)
	}
	return keys, nil
}

// keep is the key of the file, which is made if it is not there.
func (k hostKeyKind) keep(path string) (ssh.Signer, error) {
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		if err := k.make(path); err != nil {
			return nil, fmt.Errorf("making host key %s: %w", path, err)
		}
		// Perhaps another's, who was faster.
		text, err = os.ReadFile(path)
	}
	if err != nil {
		return nil, fmt.Errorf("reading host key: %w", err)
	}
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("reading host key: %w", err)
	}
	if info.Mode().Perm()&0o077 != 0 {
		return nil, fmt.Errorf("host key %s can be read by others (mode %04o), so it may be known to them: remove it, and its .pub, for a new one to be made; clients will then ask", path, info.Mode().Perm())
	}
	key, err := ssh.ParsePrivateKey(text)
	if err != nil {
		return nil, fmt.Errorf("host key %s is not a private key (%d bytes: %w): put back the one it was, or remove it, and its .pub, for a new one to be made; clients will then ask", path, len(text), err)
	}
	signer, ok := key.(ssh.AlgorithmSigner)
	if !ok {
		return nil, fmt.Errorf("host key %s cannot choose how it signs", path)
	}
	limited, err := ssh.NewSignerWithAlgorithms(signer, k.algorithms)
	if err != nil {
		return nil, fmt.Errorf("host key %s is of another kind than its name says: %w", path, err)
	}
	return limited, k.publish(path, key.PublicKey())
}

// make writes a new key to path, all of it or nothing, unless one is there by then.
func (k hostKeyKind) make(path string) error {
	key, err := k.generate()
	if err != nil {
		return err
	}
	block, err := ssh.MarshalPrivateKey(key, "")
	if err != nil {
		return err
	}
	draft, err := drafted(path, pem.EncodeToMemory(block), 0o600)
	if err != nil {
		return err
	}
	defer os.Remove(draft)
	// Unlike rename, link does not take the place of a key that is in use.
	if err := os.Link(draft, path); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return nil
}

// publish writes the public half beside the key, for those who ask for it.
func (k hostKeyKind) publish(path string, key ssh.PublicKey) error {
	line := string(ssh.MarshalAuthorizedKey(key))
	if there, err := os.ReadFile(path + ".pub"); err == nil && string(there) == line {
		return nil
	}
	draft, err := drafted(path, []byte(line), 0o644)
	if err == nil {
		err = os.Rename(draft, path+".pub")
	}
	if err != nil {
		return fmt.Errorf("writing the public half of host key %s: %w", path, err)
	}
	return nil
}

// drafted writes a file beside path, under a name that no other process has, and
// returns that.
func drafted(path string, text []byte, mode fs.FileMode) (string, error) {
	draft, err := os.CreateTemp(filepath.Dir(path), ".new-*")
	if err != nil {
		return "", err
	}
	_, err = draft.Write(text)
	if err = errors.Join(err, draft.Chmod(mode), draft.Sync(), draft.Close()); err != nil {
		return "", errors.Join(err, os.Remove(draft.Name()))
	}
	return draft.Name(), nil
}

// PublicHostKeys are the lines of the host keys' public halves, in the order in
// which they are offered. It is an error when there are none yet.
func PublicHostKeys(folder string) ([]string, error) {
	var lines []string
	for _, kind := range hostKeyKinds {
		text, err := os.ReadFile(filepath.Join(folder, "ssh_host_"+kind.name+"_key.pub"))
		if err != nil {
			return nil, fmt.Errorf("reading the host keys, which the sidecar makes when it first starts: %w", err)
		}
		lines = append(lines, strings.TrimSpace(string(text)))
	}
	return lines, nil
}

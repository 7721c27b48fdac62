// Package certificates makes what the databases of a pair on two machines prove
// themselves by: one authority for the deployment, and a certificate for each
// node. All of it is plain PEM, so that an operator's own can take its place.
package certificates

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/inmanta/inmanta-docker/problem"
)

const (
	// authorityLife is how long the authority is good: rotating it takes both
	// machines at once.
	authorityLife = 10 * 365 * 24 * time.Hour
	// nodeLife is how long a node's certificate is good: the longest that clients
	// in general still take (CA/Browser Forum, before 2020-09).
	nodeLife = 825 * 24 * time.Hour
)

// Folder is where the compose files mount them from, beside themselves.
const Folder = "tls"

// Node is who a certificate is for, and by what names and addresses it is reached.
type Node struct {
	Name  string
	Hosts []string
}

// Made is what was written, by file name, and what was there and stays.
type Made struct{ Written, Kept []string }

// Make writes ca.crt, ca.key, and NODE.crt and NODE.key of each node into the
// folder, which it makes. An authority that is there is kept, and signs the
// rest: what was made before goes on being trusted. Nodes' certificates are
// made anew each time.
func Make(folder string, nodes []Node, now time.Time) (Made, error) {
	var made Made
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return made, err
	}
	authority, key, err := readAuthority(folder, now)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		if authority, key, err = newAuthority(folder, now); err != nil {
			return made, err
		}
		made.Written = append(made.Written, "ca.crt", "ca.key")
	case err != nil:
		return made, err
	default:
		made.Kept = append(made.Kept, "ca.crt", "ca.key")
	}
	for _, node := range nodes {
		if err := newNode(folder, node, authority, key, now); err != nil {
			return made, fmt.Errorf("the certificate of %s: %w", node.Name, err)
		}
		made.Written = append(made.Written, node.Name+".crt", node.Name+".key")
	}
	return made, nil
}

// readAuthority reads the one that is there; fs.ErrNotExist where there is none.
func readAuthority(folder string, now time.Time) (*x509.Certificate, crypto.Signer, error) {
	fail := func(what string) (*x509.Certificate, crypto.Signer, error) {
		return nil, nil, problem.Problem{
			ID: "certificate-authority", Where: folder, What: what,
			Fix: "put the right ca.crt and ca.key there, or move both away: new ones are then made, which takes new certificates on both machines",
		}
	}
	authority, err := Read(folder, "ca")
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, nil, err
	case err != nil:
		return fail(err.Error())
	}
	keyText, err := os.ReadFile(filepath.Join(folder, "ca.key"))
	if err != nil {
		return fail("ca.key, which belongs to ca.crt, cannot be read (" + err.Error() + ")")
	}
	keyBlock, _ := pem.Decode(keyText)
	if keyBlock == nil {
		return fail("ca.key is no key")
	}
	parsed, err := x509.ParsePKCS8PrivateKey(keyBlock.Bytes)
	if err != nil {
		return fail("ca.key is damaged (" + err.Error() + ")")
	}
	key, ok := parsed.(crypto.Signer)
	own, same := authority.PublicKey.(interface{ Equal(crypto.PublicKey) bool })
	switch {
	case !ok || !same || !own.Equal(key.Public()):
		return fail("ca.key does not belong to ca.crt")
	case !authority.IsCA:
		return fail("ca.crt is not an authority's")
	case now.Add(nodeLife / 10).After(authority.NotAfter):
		return fail("ca.crt ends on " + authority.NotAfter.Format(time.DateOnly) + ": it is too old")
	}
	return authority, key, nil
}

func newAuthority(folder string, now time.Time) (*x509.Certificate, crypto.Signer, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	template := &x509.Certificate{
		Subject: pkix.Name{CommonName: "inmanta-docker databases, " + now.Format(time.DateOnly)},
		// An hour ago: the other machine's clock may be behind.
		NotBefore: now.Add(-time.Hour), NotAfter: now.Add(authorityLife),
		IsCA: true, BasicConstraintsValid: true, MaxPathLenZero: true,
		KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	}
	authority, err := write(folder, "ca", template, template, key, key)
	return authority, key, err
}

func newNode(folder string, node Node, authority *x509.Certificate, signer crypto.Signer, now time.Time) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	end := now.Add(nodeLife)
	if end.After(authority.NotAfter) {
		end = authority.NotAfter
	}
	template := &x509.Certificate{
		Subject: pkix.Name{CommonName: node.Name}, NotBefore: now.Add(-time.Hour), NotAfter: end,
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	for _, host := range append([]string{node.Name}, node.Hosts...) {
		if address := net.ParseIP(host); address != nil {
			template.IPAddresses = append(template.IPAddresses, address)
		} else if !slices.Contains(template.DNSNames, host) {
			template.DNSNames = append(template.DNSNames, host)
		}
	}
	_, err = write(folder, node.Name, template, authority, key, signer)
	return err
}

// write signs a certificate and writes it and its key, the key for its owner alone.
func write(folder, name string, template, parent *x509.Certificate, key, signer crypto.Signer) (*x509.Certificate, error) {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return nil, err
	}
	template.SerialNumber = serial
	signed, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), signer)
	if err != nil {
		return nil, err
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	// The key first: a certificate without one is worth nothing.
	if err := replace(filepath.Join(folder, name+".key"), &pem.Block{Type: "PRIVATE KEY", Bytes: secret}, 0o600); err != nil {
		return nil, err
	}
	if err := replace(filepath.Join(folder, name+".crt"), &pem.Block{Type: "CERTIFICATE", Bytes: signed}, 0o644); err != nil {
		return nil, err
	}
	return x509.ParseCertificate(signed)
}

func replace(path string, block *pem.Block, mode os.FileMode) error {
	temporary := path + ".new"
	if err := os.WriteFile(temporary, pem.EncodeToMemory(block), mode); err != nil {
		return err
	}
	return os.Rename(temporary, path)
}

package certificates

import (
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// Read is the certificate of a node, or of the authority ("ca"), in a folder: the
// first of its file. The error is fs.ErrNotExist where there is none.
func Read(folder, name string) (*x509.Certificate, error) {
	file := name + ".crt"
	text, err := os.ReadFile(filepath.Join(folder, file))
	if err != nil {
		return nil, err
	}
	read, err := Parse(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	return read, nil
}

// Parse is the first certificate of a text in PEM.
func Parse(text []byte) (*x509.Certificate, error) {
	block, _ := pem.Decode(text)
	if block == nil || block.Type != "CERTIFICATE" {
		return nil, errors.New("it is no certificate")
	}
	read, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("it is damaged: %w", err)
	}
	return read, nil
}

// Hosts are the names and addresses that a certificate is good for, besides its
// node's own name.
func Hosts(of *x509.Certificate) []string {
	var hosts []string
	for _, name := range of.DNSNames {
		if name != of.Subject.CommonName {
			hosts = append(hosts, name)
		}
	}
	for _, address := range of.IPAddresses {
		hosts = append(hosts, address.String())
	}
	return hosts
}

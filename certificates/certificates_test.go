package certificates

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

var now = time.Date(2026, 11, 27, 12, 0, 0, 0, time.UTC)

// load reads a node's certificate and its authority's.
func load(t *testing.T, folder, name string) (*x509.Certificate, *x509.CertPool) {
	t.Helper()
	pair, err := tls.LoadX509KeyPair(filepath.Join(folder, name+".crt"), filepath.Join(folder, name+".key"))
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(folder, "ca.crt"))
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(text) {
		t.Fatal("ca.crt holds no certificate")
	}
	return pair.Leaf, pool
}

func TestMake(t *testing.T) {
	t.Parallel()
	folder := filepath.Join(t.TempDir(), "tls")
	nodes := []Node{{"db", []string{"10.0.0.1", "one.example"}}, {"db-replica", []string{"fd00::2"}}}
	made, err := Make(folder, nodes, now)
	if err != nil || len(made.Written) != 6 || len(made.Kept) != 0 {
		t.Fatalf("%+v %v", made, err)
	}
	for name, hosts := range map[string][]string{"db": {"db", "10.0.0.1", "one.example"}, "db-replica": {"db-replica", "fd00::2"}} {
		leaf, pool := load(t, folder, name)
		for _, host := range hosts {
			if err := leaf.VerifyHostname(host); err != nil {
				t.Error(err)
			}
		}
		if leaf.VerifyHostname("10.0.0.9") == nil {
			t.Error("it is good for anybody")
		}
		if _, err := leaf.Verify(x509.VerifyOptions{Roots: pool, CurrentTime: now.Add(nodeLife - time.Hour)}); err != nil {
			t.Error(err)
		}
		if _, err := leaf.Verify(x509.VerifyOptions{Roots: pool, CurrentTime: now.Add(nodeLife + time.Hour)}); err == nil {
			t.Error("it never ends")
		}
		if info, err := os.Stat(filepath.Join(folder, name+".key")); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("the key: %v %v", info.Mode(), err)
		}
	}

	replica, err := Read(folder, "db-replica")
	if err != nil || !slices.Equal(Hosts(replica), nodes[1].Hosts) {
		t.Errorf("its hosts are %v, want %v (%v)", Hosts(replica), nodes[1].Hosts, err)
	}
	before, _ := load(t, folder, "db")
	again, err := Make(folder, nodes[:1], now.Add(24*time.Hour))
	if err != nil || len(again.Kept) != 2 || len(again.Written) != 2 {
		t.Fatalf("%+v %v", again, err)
	}
	after, pool := load(t, folder, "db")
	if before.SerialNumber.Cmp(after.SerialNumber) == 0 {
		t.Error("the certificate was not renewed")
	}
	if _, err := before.Verify(x509.VerifyOptions{Roots: pool, CurrentTime: now}); err != nil {
		t.Errorf("what was made before is not trusted any more: %v", err)
	}
}

func TestAuthorityThatCannotSign(t *testing.T) {
	t.Parallel()
	for name, damage := range map[string]func(folder string) error{
		"cannot be read":       func(f string) error { return os.Remove(filepath.Join(f, "ca.key")) },
		"it is no certificate": func(f string) error { return os.WriteFile(filepath.Join(f, "ca.crt"), []byte("x"), 0o600) },
		"is no key":            func(f string) error { return os.WriteFile(filepath.Join(f, "ca.key"), []byte("x"), 0o600) },
		"does not belong":      func(f string) error { return copyFile(f, "db.key", "ca.key") },
		"is not an authority's": func(f string) error {
			return errors.Join(copyFile(f, "db.key", "ca.key"), copyFile(f, "db.crt", "ca.crt"))
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			folder := t.TempDir()
			nodes := []Node{{Name: "db"}}
			if _, err := Make(folder, nodes, now); err != nil {
				t.Fatal(err)
			}
			if err := damage(folder); err != nil {
				t.Fatal(err)
			}
			before, _ := os.ReadFile(filepath.Join(folder, "db.crt"))
			if _, err := Make(folder, nodes, now); err == nil || !strings.Contains(err.Error(), name) {
				t.Errorf("%v, want %q", err, name)
			}
			if after, _ := os.ReadFile(filepath.Join(folder, "db.crt")); string(after) != string(before) {
				t.Error("something was written all the same")
			}
		})
	}
	folder := t.TempDir()
	if _, err := Make(folder, nil, now.Add(-authorityLife)); err != nil {
		t.Fatal(err)
	}
	if _, err := Make(folder, nil, now); err == nil || !strings.Contains(err.Error(), "too old") {
		t.Errorf("an authority at its end: %v", err)
	}
}

func copyFile(folder, from, to string) error {
	text, err := os.ReadFile(filepath.Join(folder, from))
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(folder, to), text, 0o600)
}

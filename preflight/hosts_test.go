package preflight

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/inmanta/inmanta-docker/certificates"
)

const (
	firstEnv  = "INMANTA_DATABASE_IP=10.0.0.1\nINMANTA_DATABASE_PEER_HOST=10.0.0.2\nINMANTA_DATABASE_REPLICATION_PASSWORD=secret\n"
	secondEnv = "INMANTA_DATABASE_IP=10.0.0.2\nINMANTA_DATABASE_PEER_HOST=10.0.0.1\nINMANTA_DATABASE_REPLICATION_PASSWORD=secret\n"
)

// first and second are the files of two machines.
func (l *lab) first() *lab { return l.with("docker-compose.db-primary.yml") }

func (l *lab) second() *lab {
	l.request.Files = []string{"docker-compose.db-standby.yml"}
	return l
}

func TestWhatAMachineIsToldOfTheOther(t *testing.T) {
	for name, c := range map[string]struct {
		env                string
		second             bool
		problems, warnings []want
	}{
		"the first":  {env: firstEnv},
		"the second": {env: secondEnv, second: true},
		"nothing": {
			problems: []want{
				{"peer-missing", "INMANTA_DATABASE_PEER_HOST", "not said where", "echo INMANTA_DATABASE_PEER_HOST="},
				{"replication-password", "INMANTA_DATABASE_REPLICATION_PASSWORD (default)", "everybody knows", "the same on both"},
			},
			warnings: []want{{"peer-shut-out", "INMANTA_DATABASE_IP (default)", "db is published on 127.0.0.1", "set INMANTA_DATABASE_IP"}},
		},
		"the password of the examples": {
			env: strings.Replace(secondEnv, "secret", "inmanta", 1), second: true,
			problems: []want{{"replication-password", ".env:3", "everybody knows", "set INMANTA_DATABASE_REPLICATION_PASSWORD"}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			l := newLab(t).write(map[string]string{".env": c.env})
			if c.second {
				l.second()
			} else {
				l.first()
			}
			problems, warnings := Static(l.open())
			l.expect("problem", problems, c.problems...)
			l.expect("warning", warnings, c.warnings...)
		})
	}
}

func TestCertificatesOfTwoMachines(t *testing.T) {
	now := time.Now()
	both := []certificates.Node{{Name: "db", Hosts: []string{"10.0.0.1"}}, {Name: "db-replica", Hosts: []string{"10.0.0.2"}}}
	remove := func(names ...string) func(folder string) error {
		return func(folder string) error {
			for _, name := range names {
				if err := os.Remove(filepath.Join(folder, name)); err != nil {
					return err
				}
			}
			return nil
		}
	}
	for name, c := range map[string]struct {
		env                string
		second             bool
		nodes              []certificates.Node
		made               time.Duration // ago
		damage             func(folder string) error
		problems, warnings []want
	}{
		"the first":  {nodes: both},
		"the second": {nodes: both, second: true, damage: remove("ca.key", "db.crt", "db.key")},
		"a name instead": {
			env:   strings.Replace(firstEnv, "=10.0.0.2", "=second.example.com", 1),
			nodes: []certificates.Node{{Name: "db", Hosts: []string{"first.example.com"}}, {Name: "db-replica", Hosts: []string{"second.example.com"}}},
		},
		"of other addresses": {
			nodes: []certificates.Node{{Name: "db", Hosts: []string{"10.0.0.8"}}, {Name: "db-replica", Hosts: []string{"10.0.0.9"}}},
			problems: []want{
				{"certificate", "tls/db.crt", "not good for 10.0.0.1, by which db is reached: it has db, 10.0.0.8", "db certificates --host"},
				{"certificate", "tls/db-replica.crt", "not good for 10.0.0.2, by which db-replica is reached", "db certificates"},
			},
		},
		"none for the orchestrator": {
			nodes: both, damage: func(folder string) error {
				return os.WriteFile(filepath.Join(folder, "db.crt"), nil, 0o600)
			},
			problems: []want{{"certificate", "tls", "the certificates cannot be used: db.crt and db.key", ""}},
		},
		"ends soon": {
			nodes: both, made: 800 * 24 * time.Hour,
			warnings: []want{{"certificate-ends", "tls/db.crt", "nobody believes db from then on", "db certificates"}, {"certificate-ends", "tls/db-replica.crt", "ends on", ""}},
		},
		"has ended": {
			nodes: both, made: 826 * 24 * time.Hour, second: true, damage: remove("db.crt", "db.key"),
			problems: []want{{"certificate", "tls/db-replica.crt", "it proves nothing: x509: certificate has expired", "db certificates"}},
		},
		"another authority's": {
			nodes: both, second: true, damage: func(folder string) error {
				other := t.TempDir()
				if _, err := certificates.Make(other, nil, now); err != nil {
					return err
				}
				return os.Rename(filepath.Join(other, "ca.crt"), filepath.Join(folder, "ca.crt"))
			},
			problems: []want{
				{"certificate", "tls/db-replica.crt", "it proves nothing: x509: certificate signed by unknown authority", ""},
				{"certificate", "tls/db.crt", "unknown authority", ""},
			},
		},
		"one is missing": {
			nodes: both, second: true, damage: remove("db-replica.key"),
			problems: []want{{"certificate", "tls", "db-replica.key: no such file", "db certificates"}},
		},
		"another one's key": {
			nodes: both, damage: func(folder string) error {
				return os.Rename(filepath.Join(folder, "db-replica.key"), filepath.Join(folder, "db.key"))
			},
			problems: []want{{"certificate", "tls", "private key does not match public key", ""}},
		},
		"none at all": {
			problems: []want{
				{"mount-missing", "tls", "it is not there", "db certificates"},
				{"mount-missing", "tls/ca.crt", "it is not there", "db certificates"},
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			l := newLab(t).write(map[string]string{"inmanta-sidecar": ""})
			env, open := firstEnv, l.first
			if c.second {
				env, open = secondEnv, l.second
			}
			if c.env != "" {
				env = c.env
			}
			l.write(map[string]string{".env": env})
			folder := filepath.Join(l.dir, certificates.Folder)
			if c.nodes != nil {
				if _, err := certificates.Make(folder, c.nodes, now.Add(-c.made)); err != nil {
					t.Fatal(err)
				}
			}
			if c.damage != nil {
				if err := c.damage(folder); err != nil {
					t.Fatal(err)
				}
			}
			d, s := open().open()
			g := gathering{project: s.Project, deployment: d, local: true}
			g.files()
			f := fine(s)
			f.Now, f.Certificates, f.Absent = g.facts.Now, g.facts.Certificates, g.facts.Absent
			problems, warnings := Check(d, s, f)
			l.expect("problem", problems, c.problems...)
			l.expect("warning", warnings, c.warnings...)
		})
	}
}

package preflight

import (
	"io/fs"
	"path/filepath"
	"testing"

	"github.com/inmanta/inmanta-docker/deployment"
	"github.com/inmanta/inmanta-docker/topology"
)

func TestSettings(t *testing.T) {
	for name, c := range map[string]struct {
		env      string
		files    map[string]string
		with     []string
		flags    []string
		shell    []string
		problems []want
		warnings []want
	}{
		"bad values, wherever they come from": {
			env:   "# comment\nINMANTA_ORCHESTRATOR_IP=localhost\nINMANTA_DATABASE_PASSWORD='two \t words'\n",
			flags: []string{"INMANTA_ORCHESTRATOR_PORT=70000"},
			shell: []string{"POSTGRESQL_VERSION=latest"},
			problems: []want{
				{"setting-invalid", ".env:2", `INMANTA_ORCHESTRATOR_IP: "localhost" is not an IP address`, "127.0.0.1"},
				{"setting-invalid", "--env INMANTA_ORCHESTRATOR_PORT", "port 70000 does not exist", "from 1 to 65535"},
				{"setting-invalid", "the shell's POSTGRESQL_VERSION", `"latest" is not a PostgreSQL version`, "16"},
				{"setting-invalid", ".env:3", "INMANTA_DATABASE_PASSWORD: the password contains", "init"},
			},
		},
		"empty means the default": {env: "INMANTA_ORCHESTRATOR_PORT=\n"},
		"misspelt in the file, and in the shell only by our prefix": {
			env:   "INMANTA_ORCHESTRATOR_PROT=1\ninmanta_orchestrator_ip=::1\n",
			flags: []string{"POSTGRES_VERSION=17"},
			shell: []string{"INMANTA_NAMES=x", "POSTGRES_IMAGE=x", "MY_INMANTA_NAME=x"},
			problems: []want{
				{"setting-unknown", "the shell's INMANTA_NAMES", "no setting INMANTA_NAMES", "INMANTA_NAME"},
				{"setting-unknown", ".env:1", "INMANTA_ORCHESTRATOR_PORT is meant", "write INMANTA_ORCHESTRATOR_PORT instead"},
				{"setting-unknown", "--env POSTGRES_VERSION", "no setting POSTGRES_VERSION", "POSTGRESQL_VERSION"},
				{"setting-unknown", ".env:2", "INMANTA_ORCHESTRATOR_IP is meant", ""},
			},
		},
		"a variable that a compose file uses is not misspelt": {
			env:   "INMANTA_ORCHESTRATOR_PROT=1\n",
			files: map[string]string{"own.yml": "services:\n  server:\n    environment:\n      X: ${INMANTA_ORCHESTRATOR_PROT}\n"},
			with:  []string{"own.yml"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			l := newLab(t).write(c.files).write(map[string]string{".env": c.env}).with(c.with...)
			l.request.Env, l.request.Environ = c.flags, c.shell
			d, err := deployment.Open(l.request)
			if err != nil {
				t.Fatal(err)
			}
			// Such values may keep the files from being composed: judged without.
			s := topology.Stack{}
			if len(c.with) > 0 {
				d, s = l.open()
			}
			problems, warnings := Static(d, s)
			l.expect("problem", problems, c.problems...)
			l.expect("warning", warnings, c.warnings...)
		})
	}
}

func TestSecretsForEverybodyToRead(t *testing.T) {
	l := newLab(t).write(map[string]string{".env": "INMANTA_NAME=x\nINMANTA_DATABASE_PASSWORD=y\n"})
	d, s := l.open()
	for mode, warned := range map[fs.FileMode]bool{0o600: false, 0o400: false, 0o640: true, 0o604: true, 0o644: true} {
		f := fine(s)
		f.EnvModes = map[string]fs.FileMode{filepath.Join(l.dir, ".env"): mode}
		problems, warnings := Check(d, s, f)
		l.expect("problem", problems)
		if warned {
			l.expect("warning", warnings, want{"secret-readable", ".env:2", "INMANTA_DATABASE_PASSWORD", "chmod 600"})
		} else {
			l.expect("warning", warnings)
		}
	}
	d, s = newLab(t).write(map[string]string{".env": "INMANTA_NAME=x\n"}).open()
	f := fine(s)
	f.EnvModes = map[string]fs.FileMode{d.EnvFiles[0].Path: 0o644}
	_, warnings := Check(d, s, f)
	l.expect("warning", warnings)
}

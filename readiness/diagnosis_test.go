package readiness

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// The files of testdata/logs are what the real programs wrote: inmanta 2027.2,
// PostgreSQL 17, the images built here, and Docker Engine 20.10. Two are quoted
// from elsewhere: db-18-layout.txt and db-no-password.txt, the official image's.
func logged(t testing.TB, name string) []string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", "logs", name+".txt"))
	if err != nil {
		t.Fatal(err)
	}
	return strings.Split(strings.TrimRight(string(text), "\n"), "\n")
}

const daemon = "Error response from daemon: "

var diagnoses = []struct {
	name string
	// log and needed are files of testdata/logs; line is one more line of the container's own.
	log, needed, line string
	container         Container
	engine            string
	id                string
	says              []string // in what or fix
}{
	{name: "password, in the database's log", log: "server-wrong-password", needed: "db-refuses-password", id: "database-password", says: []string{`"inmanta"`, "INMANTA_DATABASE_PASSWORD"}},
	{name: "password, in the orchestrator's log file", log: "server-wrong-password-file", id: "database-password", says: []string{`"inmanta"`}},
	{name: "no such database", log: "server-no-such-database", needed: "db-no-such-database", id: "database-missing", says: []string{`the database "nope"`}},
	{name: "no such database, in the log file", log: "server-no-such-database-file", id: "database-missing", says: []string{`the database "nope"`}},
	{name: "database down", log: "server-database-down", id: "database-unreachable"},
	{name: "no such host", log: "server-no-such-host", id: "database-unreachable", says: []string{"INMANTA_DATABASE_HOST"}},
	{name: "database lost", log: "server-database-lost", id: "database-lost"},
	{name: "no web console", log: "server-no-web-console", id: "web-console", says: []string{"in /usr/share/inmanta/web-console", "INMANTA_SERVER_ENABLED_EXTENSIONS"}},
	{name: "no such extension", log: "server-no-such-extension", id: "extension", says: []string{"extension lsm "}},
	{name: "other major version", log: "db-other-version", id: "database-version", says: []string{"PostgreSQL 15, and the image is PostgreSQL 17", "POSTGRESQL_VERSION=15"}},
	{name: "other major version, the image built here", log: "db-other-version-local-image", id: "database-version", says: []string{"PostgreSQL 15, and the image is PostgreSQL 17"}},
	{name: "the layout of 18", log: "db-18-layout", id: "database-layout", says: []string{"PostgreSQL 18 and later"}},
	{name: "no password, official image", log: "db-no-password", id: "database-password-missing"},
	{name: "no password, the image built here", log: "db-no-password-local-image", id: "database-password-missing"},
	{name: "disk full", log: "db-full", id: "disk-full"},
	{name: "disk full in a new cluster", log: "db-full-while-new", id: "disk-full"},
	{name: "the database's disk, seen from the server", log: "server-database-down", needed: "db-full", id: "disk-full", says: []string{"under the database"}},
	{name: "permissions", log: "db-permissions", id: "permission", says: []string{"/var/lib/postgresql/data"}},
	{name: "owner", log: "db-permissions-no-caps", id: "permission"},
	{name: "foreign CPU", log: "exec-format", id: "foreign-cpu"},
	{name: "out of memory", container: Container{State: "exited", OOMKilled: true, ExitCode: 137}, id: "out-of-memory"},
	{name: "killed", container: Container{State: "exited", ExitCode: 137}, id: "killed", says: []string{"dmesg"}},
	{name: "stopped", container: Container{State: "exited", restarted: true}, id: "stopped", says: []string{"inmanta-docker up"}},
	{name: "killed once, and running", container: Container{State: "running", ExitCode: 137}, id: "unknown"},
	{name: "port of another container", engine: daemon + "driver failed programming external connectivity on endpoint rdy-pt (9fb6): Bind for 127.0.0.1:18890 failed: port is already allocated", id: "port-taken", says: []string{"127.0.0.1:18890 is"}},
	{name: "port of another process", container: Container{State: "created", Error: "driver failed programming external connectivity on endpoint rdy-pt (ece7): Error starting userland proxy: listen tcp4 127.0.0.1:18999: bind: address already in use"}, id: "port-taken", says: []string{"127.0.0.1:18999 is"}},
	{name: "port, newer engine", engine: daemon + "failed to set up container networking: driver failed programming external connectivity on endpoint x (9f): failed to bind host port 127.0.0.1:8888/tcp: address already in use", id: "port-taken", says: []string{"127.0.0.1:8888 is"}},
	{name: "address of another host", engine: daemon + "driver failed programming external connectivity on endpoint rdy-pt (e8c7): Error starting userland proxy: listen tcp4 10.99.99.1:18999: bind: cannot assign requested address", id: "address-missing", says: []string{"10.99.99.1 is no address"}},
	{name: "name", engine: daemon + `Conflict. The container name "/inmanta-db" is already in use by container "d5".`, id: "name-taken", says: []string{"inmanta-db"}},
	{name: "no licence folder", engine: daemon + `invalid mount config for type "bind": bind source path does not exist: /srv/x/license`, id: "file-missing", says: []string{"/srv/x/license"}},
	{name: "no image", engine: daemon + "No such image: ghcr.io/inmanta/orchestrator:latest", id: "image-missing", says: []string{"ghcr.io/inmanta/orchestrator:latest", "image build"}},
	{name: "engine's disk", engine: daemon + "mkdir /var/lib/docker/overlay2/x: no space left on device", id: "disk-full"},
	{name: "a healthy database", log: "db-healthy", id: "unknown"},
	{name: "a healthy orchestrator", log: "server-healthy-file", id: "unknown"},
	{name: "nothing", id: "unknown"},
	// The ssh sidecar's log and the engine's words about it, as they were seen.
	{name: "no key", log: "ssh-no-key", id: "keys-missing", says: []string{"INMANTA_AUTHORIZED_KEYS"}},
	{name: "only broken keys", log: "ssh-broken-keys", id: "keys-missing"},
	{name: "not an orchestrator's image", log: "ssh-other-image", id: "image-foreign", says: []string{"no user inmanta", "INMANTA_ORCHESTRATOR_IMAGE"}},
	{name: "sidecar for another CPU", line: "exec /usr/local/bin/inmanta-sidecar: exec format error", id: "sidecar-platform", says: []string{"release archive"}},
	{name: "no sidecar binary", engine: daemon + `invalid mount config for type "bind": bind source path does not exist: /srv/x/inmanta-sidecar`, id: "sidecar-missing", says: []string{"/srv/x/inmanta-sidecar", "make build"}},
	{name: "sidecar binary not executable", container: Container{State: "created", ExitCode: 126, Error: `failed to create shim task: OCI runtime create failed: runc create failed: unable to start container process: exec: "/usr/local/bin/inmanta-sidecar": permission denied: unknown`}, id: "sidecar-permission", says: []string{"mode 755"}},
	{name: "sidecar without its capabilities", line: "giving up root, without which nothing is served: giving up capability 0 for good: operation not permitted", id: "sidecar-capabilities", says: []string{"capability 0", "its overlay"}},
	{name: "log rotation without its capabilities", line: "giving up root, without which nothing is rotated: giving up capability 0 for good: operation not permitted", id: "sidecar-capabilities", says: []string{"capability 0"}},
	{name: "host key for everybody to read", line: "host key /etc/inmanta-sidecar/host-keys/ssh_host_rsa_key can be read by others (mode 0644), so it may be known to them: remove it", id: "host-keys", says: []string{"ssh_host_rsa_key", "inmanta-ssh-host-keys"}},
	{name: "what a later sidecar says of itself", line: `{"time":"2026-03-01T00:00:00Z","event":"problem","problem":"there is no \"logrotate\" here","fix":"mount it"}`, id: "sidecar", says: []string{`no "logrotate" here`, "mount it"}},
	{name: "what clients make a sidecar log", log: "ssh-hostile", id: "unknown"},
	// Words of the programs' sources.
	{name: "damaged", line: "PANIC:  could not locate a valid checkpoint record at 0/1536198", id: "database-damaged"},
	{name: "shared memory", line: `ERROR:  could not resize shared memory segment "/PostgreSQL.1" to 8388608 bytes: No space left on device`, id: "shared-memory", says: []string{"shm_size"}},
	{name: "PostgreSQL too old", line: "inmanta.server.protocol.ServerStartFailure: The database at db is using PostgreSQL version 13.4. This version is not supported by this version of the Inmanta orchestrator.", id: "database-too-old", says: []string{"than 13.4"}},
	{name: "standby", line: "The database at db:5432 is a read-only standby. The Inmanta server must connect to the primary.", id: "database-standby", says: []string{"db:5432"}},
	{name: "second orchestrator", line: "Another Inmanta server is already active on database 'inmanta' at db:5432: could not acquire the database singleton lock within 30 seconds.", id: "second-orchestrator"},
	{name: "no memory to start with", line: "FATAL:  could not map anonymous shared memory: Cannot allocate memory", id: "out-of-memory"},
	{name: "port inside the container", line: "OSError: [Errno 98] Address already in use", id: "port-taken"},
	{name: "licence", line: "FileNotFoundError: [Errno 2] No such file or directory: '/etc/inmanta/license/example.com.license'", id: "licence"},
	{name: "file of another user", line: "PermissionError: [Errno 13] Permission denied: '/var/lib/inmanta/server'", id: "permission", says: []string{"/var/lib/inmanta/server"}},
}

func TestDiagnose(t *testing.T) {
	t.Parallel()
	known := map[string]bool{"sidecar": false}
	for _, r := range rules() {
		known[r.id] = false
	}
	for _, test := range diagnoses {
		known[test.id] = true
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			e := Evidence{Container: test.container, Engine: test.engine}
			if test.log != "" {
				e.Log = logged(t, test.log)
			}
			if test.line != "" {
				e.Log = append(e.Log, test.line)
			}
			if test.needed != "" {
				e.Needed = logged(t, test.needed)
			}
			c := Diagnose(e)
			if c.ID != test.id {
				t.Fatalf("%+v, want %s", c, test.id)
			}
			if c.ID != unknown && (c.What == "" || c.Fix == "") {
				t.Errorf("%+v says nothing", c)
			}
			for _, want := range test.says {
				if !strings.Contains(c.What+" "+c.Fix, want) {
					t.Errorf("%q / %q do not say %q", c.What, c.Fix, want)
				}
			}
		})
	}
	for id, tried := range known {
		if !tried {
			t.Errorf("no case leads to %s", id)
		}
	}
}

// Words for a licence that is refused could not be seen here: these are likely ones.
func TestLicence(t *testing.T) {
	t.Parallel()
	for line, want := range map[string]string{
		"FileNotFoundError: [Errno 2] No such file or directory: '/etc/inmanta/license/example.com.license'": "licence",
		"ERROR    inmanta.license The entitlement file is invalid":                                           "licence",
		"Exception: License expired on 2025-01-01":                                                           "licence",
		"INFO     inmanta.license License loaded":                                                            unknown,
	} {
		if c := Diagnose(Evidence{Log: []string{line}}); c.ID != want {
			t.Errorf("%q: %s, want %s", line, c.ID, want)
		}
	}
}

func TestOverhear(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"db-healthy", "server-healthy-file", "server-database-down", "server-database-lost"} {
		for _, line := range logged(t, name) {
			if c, ok := overhear(line); ok {
				t.Errorf("%s: nothing is lost at %q: %+v", name, line, c)
			}
		}
	}
	for name, client := range map[string]bool{
		"db-refuses-password": true, "db-other-version": false, "server-no-web-console": false, "exec-format": false, "db-full": false,
	} {
		heard := false
		for _, line := range logged(t, name) {
			c, ok := overhear(line)
			if ok && c.client != client {
				t.Errorf("%s: %q is about a client: %t", name, line, c.client)
			}
			heard = heard || ok
		}
		if !heard {
			t.Errorf("%s: nothing was overheard", name)
		}
	}
}

func FuzzDiagnose(f *testing.F) {
	files, err := filepath.Glob("testdata/logs/*.txt")
	if err != nil {
		f.Fatal(err)
	}
	for _, file := range files {
		name, _ := strings.CutSuffix(filepath.Base(file), ".txt")
		f.Add(strings.Join(logged(f, name), "\n"), "", "")
		f.Add("", strings.Join(logged(f, name), "\n"), "Error response from daemon: x")
	}
	f.Fuzz(func(t *testing.T, own, needed, engine string) {
		c := Diagnose(Evidence{Log: strings.Split(own, "\n"), Needed: strings.Split(needed, "\n"), Engine: engine})
		if (c.ID == unknown) != (c.What == "") {
			t.Errorf("%+v", c)
		}
		if _, err := json.Marshal(c); err != nil {
			t.Error(err)
		}
		for line := range strings.SplitSeq(own, "\n") {
			if c, ok := overhear(line); ok && !c.hopeless {
				t.Errorf("%q: %+v", line, c)
			}
		}
	})
}

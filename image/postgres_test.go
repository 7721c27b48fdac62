package image

import (
	"encoding/base64"
	"fmt"
	"strings"
	"testing"

	"github.com/moby/moby/api/types/container"
)

const dataPath = "/var/lib/postgresql/data"

// server is a container of the PostgreSQL image.
func server(t *testing.T, environment []string, binds ...string) box {
	t.Helper()
	_, ref := images(t)
	return start(t, engineOf(t), container.Config{Image: ref, Env: environment}, binds...)
}

// serves waits until a database takes connections over the network.
func (b box) serves() { b.until("pg_isready", "--quiet", "--host=127.0.0.1") }

// refuses waits for its end, which has to be a failure that says why.
func (b box) refuses(sentence string) {
	b.t.Helper()
	if code := b.exit(); code != 1 {
		b.t.Errorf("exit code %d, want 1", code)
	}
	if logs := b.logs(); !strings.Contains(logs, sentence) {
		b.t.Errorf("it does not say %q, but\n%s", sentence, logs)
	}
}

// fill puts files into a volume, by the commands of a shell script.
func fill(t *testing.T, volume, text string) string {
	t.Helper()
	_, ref := images(t)
	return script(t, engineOf(t), ref, "0", text, volume+":/volume")
}

// scripts are of every kind that an initialisation runs, each leaving a row.
// The last proves that they ran in order.
const scripts = `
	cd /volume
	echo "CREATE TABLE rows (name text);" >10-table.sql
	echo "INSERT INTO rows VALUES ('sql');" >20.sql
	echo "INSERT INTO rows VALUES ('gz');" | gzip >30.sql.gz
	echo "INSERT INTO rows VALUES ('xz');" | xz >40.sql.xz
	echo "INSERT INTO rows VALUES ('zst');" | zstd -q >50.sql.zst
	echo "docker_process_sql -c \"INSERT INTO rows VALUES ('sourced by \$POSTGRES_USER')\"" >60.sh
	printf '%s\n' '#!/bin/bash' 'psql -U "$POSTGRES_USER" -d "$POSTGRES_DB" -c "INSERT INTO rows SELECT '"'run after '"' || count(*) FROM rows"' >70.sh
	chmod 755 70.sh
	echo "not for psql" >README
	echo "it's a \"pass\" word" >password`

const rowsWanted = "sql\ngz\nxz\nzst\nsourced by inmanta\nrun after 5"

var rowsQuery = []string{"psql", "-U", "inmanta", "-d", "orders", "-Atc", "SELECT name FROM rows"}

func TestPostgreSQLInitialises(t *testing.T) {
	t.Parallel()
	cli := engineOf(t)
	_, ref := images(t)
	given, data := volume(t, cli), volume(t, cli)
	fill(t, given, scripts)
	settings := []string{
		"POSTGRES_USER=inmanta", "POSTGRES_PASSWORD_FILE=/docker-entrypoint-initdb.d/password", "POSTGRES_DB=orders",
		"POSTGRES_INITDB_ARGS=--data-checksums --set 'work_mem=5 MB'",
	}
	binds := []string{given + ":/docker-entrypoint-initdb.d:ro", data + ":" + dataPath}
	first := server(t, settings, binds...)
	first.serves()
	equal(t, "the scripts' table", first.do(rowsQuery...), rowsWanted)
	if logs := first.logs(); !strings.Contains(logs, "not running /docker-entrypoint-initdb.d/README") {
		t.Errorf("nothing is said of a file that is no script:\n%s", logs)
	}
	equal(t, "the server's settings", first.do("psql", "-U", "inmanta", "-d", "orders", "-Atc",
		"SELECT string_agg(current_setting(name), ' ' ORDER BY name) FROM (VALUES ('data_checksums'), ('lc_collate_is'), ('listen_addresses'), ('password_encryption'), ('server_encoding'), ('work_mem')) AS s (name) WHERE name <> 'lc_collate_is'"),
		"on * scram-sha-256 UTF8 5MB")
	equal(t, "its locale", first.do("psql", "-U", "inmanta", "-d", "orders", "-Atc",
		"SELECT datcollate FROM pg_database WHERE datname = 'orders'"), "en_US.utf8")

	t.Run("over the network only with the password", func(t *testing.T) {
		client := func(password string) box {
			return start(t, cli, container.Config{
				Image: ref, Entrypoint: []string{"psql"},
				Cmd: []string{"-h", first.address(), "-U", "inmanta", "-d", "orders", "-Atc", "SELECT count(*) FROM rows"},
				Env: []string{"PGPASSWORD=" + password},
			})
		}
		for password, code := range map[string]int64{`it's a "pass" word`: 0, "wrong": 2, "": 2} {
			if got := client(password).exit(); got != code {
				t.Errorf("with password %q psql ends with %d, want %d", password, got, code)
			}
		}
	})
	t.Run("as postgres, with no capability, and without the password", func(t *testing.T) {
		// PGDATA is readable to postgres only, and so are the server's own files in /proc.
		status := first.do("setpriv", "--reuid=999", "--regid=999", "--clear-groups", "cat", "/proc/1/status", "/proc/1/environ")
		for _, line := range []string{"Uid:\t999\t999\t999\t999", "Gid:\t999\t999\t999\t999", "CapEff:\t0000000000000000", "CapPrm:\t0000000000000000", "CapAmb:\t0000000000000000"} {
			if !strings.Contains(status, line) {
				t.Errorf("the server's process has not %q:\n%s", line, status)
			}
		}
		if strings.Contains(status, "POSTGRES_") {
			t.Errorf("the server's environment keeps what the initialisation was told:\n%s", status)
		}
	})
	t.Run("an existing cluster starts untouched", func(t *testing.T) {
		if code := first.stop(); code != 0 {
			t.Fatalf("a stop ends with %d", code)
		}
		mark := fill(t, data, "cd /volume; echo '# mine' >>pg_hba.conf; stat -c '%i %Y' PG_VERSION pg_hba.conf")
		// Without a password: none is needed where nothing is initialised.
		again := server(t, []string{"POSTGRES_USER=other"}, binds...)
		again.serves()
		equal(t, "the scripts' table", again.do(rowsQuery...), rowsWanted)
		equal(t, "the volume", again.do("sh", "-c", "cd "+dataPath+"; stat -c '%i %Y' PG_VERSION pg_hba.conf"), mark)
		if logs := again.logs(); strings.Contains(logs, "initdb") || strings.Contains(logs, "docker-entrypoint:") {
			t.Errorf("it does something beside starting:\n%s", logs)
		}
	})
}

// The user may be given from outside, as Kubernetes and rootless setups do.
func TestPostgreSQLStartsAsItsOwnUser(t *testing.T) {
	t.Parallel()
	cli := engineOf(t)
	_, ref := images(t)
	data := volume(t, cli)
	as := func(user string) box {
		return start(t, cli, container.Config{Image: ref, User: user, Env: []string{"POSTGRES_PASSWORD=x"}}, data+":"+dataPath)
	}
	as("1234").refuses("uid 1234 has no name in /etc/passwd")
	b := as("999:999")
	b.serves()
	equal(t, "the directory", b.do("stat", "-c", "%U %a", dataPath), "postgres 700")
}

func TestPostgreSQLTakesItsArguments(t *testing.T) {
	t.Parallel()
	cli := engineOf(t)
	_, ref := images(t)
	for name, test := range map[string]struct {
		command []string
		says    string
	}{
		"a version":       {[]string{"postgres", "--version"}, "postgres (PostgreSQL) 17"},
		"an option only":  {[]string{"--version"}, "postgres (PostgreSQL) 17"},
		"another program": {[]string{"bash", "-c", "id -un"}, "root"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := start(t, cli, container.Config{Image: ref, Cmd: test.command, NetworkDisabled: true})
			if code := b.exit(); code != 0 || !strings.Contains(b.logs(), test.says) {
				t.Errorf("exit code %d, and\n%s", code, b.logs())
			}
		})
	}
	t.Run("the server's settings, while initialising too", func(t *testing.T) {
		t.Parallel()
		b := start(t, cli, container.Config{
			Image: ref, Env: []string{"POSTGRES_HOST_AUTH_METHOD=trust"},
			Cmd: []string{"postgres", "-c", "jit=off", "-c", "application_name=it's \"two words\" $HOME"},
		})
		b.serves()
		equal(t, "jit", b.do("psql", "-U", "postgres", "-Atc", "SHOW jit"), "off")
		equal(t, "a value with quotes", b.do("psql", "-U", "postgres", "-Atc",
			"SELECT boot_val IS DISTINCT FROM reset_val FROM pg_settings WHERE name = 'jit'"), "t")
		if logs := b.logs(); !strings.Contains(logs, "without a password") {
			t.Errorf("nothing is said of trust:\n%s", logs)
		}
	})
}

func TestPostgreSQLRefuses(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		volume      string
		user        string
		environment []string
		says        string
	}{
		"data of another major version": {
			volume: "echo 16 >PG_VERSION; mkdir base; chown -R 999:999 .",
			says:   "was made by PostgreSQL 16 and this is PostgreSQL 17",
		},
		"something that is no cluster": {
			volume: "echo precious >photo.jpg",
			says:   "is not empty and holds no database cluster: photo.jpg",
		},
		"no password": {
			environment: []string{"POSTGRES_USER=inmanta"},
			says:        "no password for the superuser inmanta: set POSTGRES_PASSWORD or POSTGRES_PASSWORD_FILE",
		},
		"two passwords": {
			environment: []string{"POSTGRES_PASSWORD=x", "POSTGRES_PASSWORD_FILE=/etc/hostname"},
			says:        "POSTGRES_PASSWORD and POSTGRES_PASSWORD_FILE are both set",
		},
		"a password file that is not there": {
			environment: []string{"POSTGRES_PASSWORD_FILE=/run/secrets/gone"},
			says:        "POSTGRES_PASSWORD_FILE: /run/secrets/gone cannot be read by root",
		},
		"a directory of somebody else": {
			volume: "echo x >f; chmod 755 .; chown 1234 .", user: "999",
			environment: []string{"POSTGRES_PASSWORD=x"},
			says:        dataPath + " cannot be written by postgres (uid 999)",
		},
		"arguments initdb does not know": {
			environment: []string{"POSTGRES_PASSWORD=x", "POSTGRES_INITDB_ARGS=--no-such-thing"},
			says:        "initialising /var/lib/postgresql/data failed; the lines above say why",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cli := engineOf(t)
			data := volume(t, cli)
			const inventory = "find . -type f -exec md5sum {} + | sort"
			before := ""
			if test.volume != "" {
				before = fill(t, data, "cd /volume\n"+test.volume+"\n"+inventory)
			}
			_, ref := images(t)
			start(t, cli, container.Config{Image: ref, User: test.user, Env: test.environment}, data+":"+dataPath).refuses(test.says)
			if test.volume == "" {
				return
			}
			if after := fill(t, data, "cd /volume\n"+inventory); after != before {
				t.Errorf("the volume held\n%s\nand now holds\n%s", before, after)
			}
		})
	}
}

// Each way an initialisation can be cut short, and that the next start makes
// a whole cluster of it.
func TestPostgreSQLSurvivesACutInitialisation(t *testing.T) {
	t.Parallel()
	settings := []string{"POSTGRES_USER=inmanta", "POSTGRES_PASSWORD=x", "POSTGRES_DB=orders"}
	// Stops in the middle for as long as there is no file "go".
	const gated = `
		echo 'while [ ! -e /docker-entrypoint-initdb.d/go ]; do echo "held up"; sleep 1; done' >/volume/15-gate.sh
		rm -f /volume/password`
	whole := func(t *testing.T, b box) {
		t.Helper()
		b.serves()
		equal(t, "the scripts' table", b.do(rowsQuery...), rowsWanted)
		equal(t, "the mark of what is unfinished", b.do("find", dataPath, "-name", ".initializing"), "")
	}

	for how, end := range map[string]func(box) int64{"killed": box.kill, "stopped": box.stop} {
		t.Run(how+" in its scripts", func(t *testing.T) {
			t.Parallel()
			cli := engineOf(t)
			given, data := volume(t, cli), volume(t, cli)
			fill(t, given, scripts+gated)
			b := server(t, settings, given+":/docker-entrypoint-initdb.d", data+":"+dataPath)
			b.says("held up")
			equal(t, "a version while unfinished", b.do("cat", dataPath+"/PG_VERSION"), "17")
			if _, code := b.try("pg_isready", "--quiet", "--host=127.0.0.1"); code == 0 {
				t.Error("clients can connect to a cluster that is not finished")
			}
			// 128 and the signal: 9, and 15 for a stop that did not have to be enforced.
			equal(t, "its exit code", end(b), map[string]int64{"killed": 137, "stopped": 143}[how])
			fill(t, given, "touch /volume/go")
			b.start()
			b.says("the last initialisation did not finish; starting over")
			whole(t, b)
		})
	}
	t.Run("a script fails", func(t *testing.T) {
		t.Parallel()
		cli := engineOf(t)
		given, data := volume(t, cli), volume(t, cli)
		fill(t, given, scripts+"\nrm password; echo 'SELECT nonsense;' >80.sql")
		b := server(t, settings, given+":/docker-entrypoint-initdb.d", data+":"+dataPath)
		b.refuses(`column "nonsense" does not exist`)
		fill(t, given, "rm /volume/80.sql")
		b.start()
		whole(t, b)
	})
	// The states that a kill leaves at moments too short to hit, made by hand
	// from the directory of a finished cluster.
	cli := engineOf(t)
	finished, given := volume(t, cli), volume(t, cli)
	fill(t, given, scripts+"\nrm password")
	b := server(t, settings, finished+":"+dataPath)
	b.serves()
	b.stop()
	for name, left := range map[string]string{
		"killed before initdb":                    "rm -rf * && mkdir .initializing",
		"killed in initdb":                        "mkdir -p .initializing/cluster && mv PG_VERSION base .initializing/cluster && rm -rf [a-zA-Z]*",
		"killed while moving":                     "mkdir -p .initializing/cluster && mv global .initializing/cluster && rm postmaster.opts",
		"killed before the first start":           "mkdir .initializing && rm -f postmaster.opts",
		"killed in the first start":               "mkdir .initializing && : >postmaster.opts && rm postmaster.opts && touch postmaster.pid",
		"killed after the last script":            "mkdir .initializing && echo '/usr/lib/postgresql/17/bin/postgres \"-c\" \"cluster_name=docker-entrypoint-initializing\"' >postmaster.opts",
		"killed while starting over the 2nd time": "mkdir -p .initializing/cluster/base && rm -rf base global PG_VERSION postmaster.opts",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cli := engineOf(t)
			data := volume(t, cli)
			_, ref := images(t)
			script(t, cli, ref, "0", "cd /volume; cp -a /finished/. .; "+left+"; chown -R 999:999 .initializing",
				data+":/volume", finished+":/finished:ro")
			b := server(t, settings, given+":/docker-entrypoint-initdb.d:ro", data+":"+dataPath)
			b.says("the last initialisation did not finish; starting over")
			whole(t, b)
		})
	}
	// Another image does not know the mark, and may have served from it since.
	t.Run("used by another image since", func(t *testing.T) {
		t.Parallel()
		cli := engineOf(t)
		data := volume(t, cli)
		b := server(t, settings, data+":"+dataPath)
		b.serves()
		b.do("psql", "-U", "inmanta", "-d", "orders", "-c", "CREATE TABLE precious ()")
		b.stop()
		fill(t, data, "mkdir /volume/.initializing; chown 999 /volume/.initializing")
		b.start()
		b.refuses("another server has been started on it since")
		fill(t, data, "rmdir /volume/.initializing")
		b.start()
		b.serves()
		b.do("psql", "-U", "inmanta", "-d", "orders", "-c", "TABLE precious")
	})
}

// The write-ahead log may have a volume of its own; what was cut short leaves it too.
func TestPostgreSQLPutsItsLogElsewhere(t *testing.T) {
	t.Parallel()
	cli := engineOf(t)
	data, log := volume(t, cli), volume(t, cli)
	b := server(t, []string{"POSTGRES_PASSWORD=x", "POSTGRES_INITDB_WALDIR=/wal"}, data+":"+dataPath, log+":/wal")
	b.serves()
	equal(t, "pg_wal", b.do("readlink", dataPath+"/pg_wal"), "/wal")
	b.stop()
	fill(t, data, "cd /volume; mkdir .initializing; rm postmaster.opts; chown 999 .initializing")
	b.start()
	b.serves()
	equal(t, "pg_wal", b.do("readlink", dataPath+"/pg_wal"), "/wal")
}

// Passwords reach initdb and psql as they are, whatever is in them.
func FuzzPassword(f *testing.F) {
	for _, seed := range []string{`a'b"c\d$e%s`, "-$(id)`id`", " ü:x "} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, password string) {
		if password == "" || strings.ContainsAny(password, "\x00\n\r") {
			return // no environment, and no file of passwords, can hold it
		}
		t.Parallel()
		encoded := base64.StdEncoding.EncodeToString([]byte(password))
		b := server(t, []string{"POSTGRES_PASSWORD=" + password})
		b.serves()
		b.do("bash", "-c", fmt.Sprintf("PGPASSWORD=$(base64 -d <<<%s) psql -h 127.0.0.1 -U postgres -c 'SELECT 1'", encoded))
	})
}

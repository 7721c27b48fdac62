package e2e

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v4"
)

// databaseCheck is the health check of the database, as the compose file has it.
func databaseCheck(t *testing.T) []string {
	t.Helper()
	text, err := os.ReadFile("../docker-compose.yml")
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		Services map[string]struct {
			Healthcheck struct{ Test []string }
		}
	}
	if err := yaml.Unmarshal(text, &file); err != nil {
		t.Fatal(err)
	}
	test := file.Services["db"].Healthcheck.Test
	if len(test) < 2 || test[0] != "CMD" {
		t.Fatalf("the check of db is %q", test)
	}
	for i := range test {
		test[i] = strings.ReplaceAll(test[i], "$$", "$")
	}
	return test[1:]
}

// A server is healthy exactly when pg_isready says that it takes connections,
// however its clients prove who they are; and that it was asked is in no log.
func TestDatabaseCheckSaysWhatPgIsreadySays(t *testing.T) {
	t.Parallel()
	check := databaseCheck(t)
	const (
		accepting = 0
		rejecting = 1
		silent    = 2
	)
	const standby = "touch $PGDATA/standby.signal\n"
	for name, c := range map[string]struct {
		options []string
		// first is what the first start of the cluster runs.
		first   string
		command []string
		ready   int
	}{
		"scram":    {ready: accepting},
		"md5":      {options: []string{"--env=POSTGRES_HOST_AUTH_METHOD=md5"}, first: "psql -U inmanta -c \"set password_encryption = md5; alter role inmanta password 'x'\"\n", ready: accepting},
		"password": {options: []string{"--env=POSTGRES_HOST_AUTH_METHOD=password"}, ready: accepting},
		"trust":    {options: []string{"--env=POSTGRES_HOST_AUTH_METHOD=trust"}, ready: accepting},
		"starting": {first: standby, command: []string{"postgres", "-c", "hot_standby=off"}, ready: rejecting},
		"begun":    {first: "sleep 3600\n", ready: silent},
		"frozen":   {ready: silent},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := database{t, "e2e-databasecheck-" + name}
			exclusive(t, d.name)
			d.remove()
			t.Cleanup(d.remove)
			image := tools.images["POSTGRESQL_IMAGE"]
			if image == "" {
				image = "postgres:16"
			}
			create := append([]string{"create", "--name", d.name, "--env=POSTGRES_USER=inmanta", "--env=POSTGRES_PASSWORD=x"}, c.options...)
			d.must("", append(append(create, image), c.command...)...)
			if c.first != "" {
				d.must(archive(t, "first.sh", c.first), "cp", "-", d.name+":/docker-entrypoint-initdb.d/")
			}
			d.must("", "start", d.name)
			ready := c.ready
			if name == "frozen" {
				ready = accepting
			}
			d.eventually(ready)
			if name == "frozen" {
				d.must("", "kill", "--signal=STOP", d.name)
				d.eventually(silent)
			}

			if c.ready != accepting {
				if d.exec(check...) == 0 {
					t.Errorf("pg_isready ends with %d, and the check with 0", c.ready)
				}
				return
			}
			before := d.logs()
			for range 3 {
				if code := d.exec(check...); code != 0 {
					t.Errorf("pg_isready ends with 0, and the check with %d", code)
				}
			}
			d.must("", "stop", d.name) // by then it has written what it has to say
			for line := range strings.Lines(strings.TrimPrefix(d.logs(), before)) {
				for _, word := range []string{"client", "FATAL", "authentication", "packet"} {
					if strings.Contains(line, word) {
						t.Errorf("the check is in the log: %s", line)
					}
				}
			}
		})
	}
}

// database is a PostgreSQL of a test's own.
type database struct {
	t    *testing.T
	name string
}

func (d database) docker(in string, args ...string) (string, int) {
	d.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "docker", args...)
	cmd.Stdin = strings.NewReader(in)
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		d.t.Fatal(err)
	}
	return string(out), cmd.ProcessState.ExitCode()
}

func (d database) must(in string, args ...string) string {
	d.t.Helper()
	out, code := d.docker(in, args...)
	if code != 0 {
		d.t.Fatalf("docker %v: %d: %s", args, code, out)
	}
	return out
}

func (d database) exec(command ...string) int {
	d.t.Helper()
	_, code := d.docker("", append([]string{"exec", d.name}, command...)...)
	return code
}

func (d database) logs() string { return d.must("", "logs", d.name) }

func (d database) remove() { d.docker("", "rm", "--force", "--volumes", d.name) }

// eventually waits until pg_isready ends with that code.
func (d database) eventually(code int) {
	d.t.Helper()
	s := stack{t: d.t}
	s.eventually("pg_isready ends with it", func() bool {
		return d.exec("pg_isready", "--quiet", "--host=127.0.0.1", "--username=inmanta") == code
	})
}

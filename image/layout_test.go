package image

import (
	"archive/tar"
	"bytes"
	"encoding/pem"
	"errors"
	"io"
	"maps"
	"path"
	"reflect"
	"slices"
	"strings"
	"testing"

	dockerspec "github.com/moby/docker-image-spec/specs-go/v1"
)

// sizeLimit is of the orchestrator's image, in bytes.
const sizeLimit = 600_000_000

func TestOrchestratorIsLaidOutAsTheOfficialOne(t *testing.T) {
	t.Parallel()
	cli := engineOf(t)
	ref, _ := images(t)
	inspected, err := cli.ImageInspect(t.Context(), ref)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%s: %d MB", ref, inspected.Size/1_000_000)
	if inspected.Size > sizeLimit {
		t.Errorf("it takes %d bytes, more than %d", inspected.Size, sizeLimit)
	}
	config := inspected.Config
	equal(t, "user", config.User, "inmanta:inmanta")
	equal(t, "working directory", config.WorkingDir, "/var/lib/inmanta")
	equal(t, "entrypoint", config.Entrypoint, []string{"/usr/bin/tini", "--", "/usr/bin/inmanta"})
	equal(t, "command", config.Cmd, []string{
		"--log-file", "/var/log/inmanta/server.log", "--log-file-level", "INFO", "--timed-logs", "server", "--db-wait-time", "15",
	})
	equal(t, "volumes", slices.Sorted(maps.Keys(config.Volumes)), []string{"/var/lib/inmanta", "/var/log/inmanta"})
	equal(t, "ports", slices.Sorted(maps.Keys(config.ExposedPorts)), []string{"8888/tcp"})
	equal(t, "environment", environment(config), map[string]string{
		"PATH":                              "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
		"LANG":                              "C.UTF-8",
		"INMANTA_CONFIG_DEPLOY_INTERVAL":    "600",
		"INMANTA_CONFIG_REPAIR_INTERVAL":    "86400",
		"INMANTA_CONFIG_STATE_DIR":          "/var/lib/inmanta",
		"INMANTA_CONFIG_LOG_DIR":            "/var/log/inmanta",
		"INMANTA_SERVER_BIND_ADDRESS":       "0.0.0.0",
		"INMANTA_SERVER_BIND_PORT":          "8888",
		"INMANTA_SERVER_ENABLED_EXTENSIONS": "",
	})
	if config.Healthcheck == nil || config.Healthcheck.Test[0] != "CMD" {
		t.Errorf("health check is %+v", config.Healthcheck)
	}
	usual, err := Orchestrator("")
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "labels", config.Labels, map[string]string{
		contentLabel: usual.Digest(inspected.Architecture), unfinishedLabel: "", "com.inmanta.version": InmantaVersion,
	})

	got := script(t, cli, ref, "", `
		getent passwd inmanta | cut -d: -f1,3,4,6,7
		getent group 995
		stat -c '%n %U:%G %a' /var/lib/inmanta /var/log/inmanta /opt/inmanta /etc/inmanta/inmanta.d
		readlink /usr/bin/inmanta /usr/bin/inmanta-cli
		/opt/inmanta/bin/python -c 'import sys; print("python %d.%d" % sys.version_info[:2])'
		/opt/inmanta/bin/pip list --format=freeze | grep -E '^inmanta(-core)?=='
		for program in bash curl git openssl ps ssh tini; do command -v "$program" >/dev/null || echo "no $program"; done
		for program in gcc cargo sshd rsync sudo cron logrotate; do ! command -v "$program" >/dev/null || echo "has $program"; done
		. /etc/os-release; echo "$VERSION_CODENAME"
		env -i /opt/inmanta/bin/pip check`)
	want := strings.Join([]string{
		"inmanta:997:995:/var/lib/inmanta:/bin/bash",
		"inmanta:x:995:",
		"/var/lib/inmanta inmanta:inmanta 755",
		"/var/log/inmanta inmanta:inmanta 755",
		"/opt/inmanta root:root 755",
		"/etc/inmanta/inmanta.d root:root 755",
		"/opt/inmanta/bin/inmanta",
		"/opt/inmanta/bin/inmanta-cli",
		"python 3.13",
		"inmanta==2027.2",
		"inmanta-core==20.1.0",
		"trixie",
		"No broken requirements found.",
	}, "\n")
	if got != want {
		t.Errorf("inside it is\n%s\nwant\n%s", got, want)
	}
}

func TestPostgreSQLIsLaidOutAsTheOfficialOne(t *testing.T) {
	t.Parallel()
	cli := engineOf(t)
	_, ref := images(t)
	inspected, err := cli.ImageInspect(t.Context(), ref)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%s: %d MB", ref, inspected.Size/1_000_000)
	config := inspected.Config
	equal(t, "user", config.User, "")
	equal(t, "entrypoint", config.Entrypoint, []string{"docker-entrypoint.sh"})
	equal(t, "command", config.Cmd, []string{"postgres"})
	equal(t, "volumes", slices.Sorted(maps.Keys(config.Volumes)), []string{"/var/lib/postgresql/data"})
	equal(t, "ports", slices.Sorted(maps.Keys(config.ExposedPorts)), []string{"5432/tcp"})
	equal(t, "stop signal", config.StopSignal, "SIGINT")
	equal(t, "environment", environment(config), map[string]string{
		"PATH":     "/usr/lib/postgresql/17/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
		"LANG":     "en_US.utf8",
		"PG_MAJOR": "17",
		"PGDATA":   "/var/lib/postgresql/data",
	})
	equal(t, "labels", config.Labels, map[string]string{contentLabel: PostgreSQL().Digest(inspected.Architecture), unfinishedLabel: ""})

	got := script(t, cli, ref, "", `
		getent passwd postgres | cut -d: -f1,3,4,6,7
		getent group 999
		stat -c '%n %U:%G %a' /var/lib/postgresql /var/lib/postgresql/data /run/postgresql
		ls /docker-entrypoint-initdb.d
		postgres --version | cut -d. -f1
		command -v pg_isready
		head -c 4 "$(command -v pg_isready)" | tail -c 3
		echo; locale -a | grep en_US
		ls /etc/postgresql 2>&1 | head -n 1`)
	want := strings.Join([]string{
		"postgres:999:999:/var/lib/postgresql:/bin/bash",
		"postgres:x:999:",
		"/var/lib/postgresql postgres:postgres 1777",
		"/var/lib/postgresql/data postgres:postgres 1777",
		"/run/postgresql postgres:postgres 3777",
		"postgres (PostgreSQL) 17",
		"/usr/lib/postgresql/17/bin/pg_isready",
		"ELF",
		"en_US.utf8",
		"ls: cannot access '/etc/postgresql': No such file or directory",
	}, "\n")
	if got != want {
		t.Errorf("inside it is\n%s\nwant\n%s", got, want)
	}
}

func equal[T any](t *testing.T, what string, got, want T) {
	t.Helper()
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%s is %#v, want %#v", what, got, want)
	}
}

func environment(config *dockerspec.DockerOCIImageConfig) map[string]string {
	all := map[string]string{}
	for _, line := range config.Env {
		name, value, _ := strings.Cut(line, "=")
		all[name] = value
	}
	return all
}

// Nothing of the host that built an image, and nothing a build downloaded, is in it.
func TestImagesHoldNothingOfTheHost(t *testing.T) {
	t.Parallel()
	orchestrator, database := images(t)
	host, err := lookAround(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, ref := range []string{orchestrator, database} {
		t.Run(path.Base(ref), func(t *testing.T) {
			t.Parallel()
			cli := engineOf(t)
			files := map[string][]byte{}
			rootfs(t, cli, ref, func(archive io.Reader) {
				for in := tar.NewReader(archive); ; {
					header, err := in.Next()
					if errors.Is(err, io.EOF) {
						return
					}
					if err != nil {
						t.Fatal(err)
					}
					content, err := io.ReadAll(in)
					if err != nil {
						t.Fatal(err)
					}
					if header.Typeflag == tar.TypeReg {
						files["/"+header.Name] = content
					}
				}
			})
			own := ownCertificates(files)
			if len(own) < 100 {
				t.Fatalf("Debian's package of certificates has %d of them here", len(own))
			}
			if got := certificates(files["/etc/ssl/certs/ca-certificates.crt"]); len(got) != len(own) {
				t.Errorf("%d certificates are trusted, and Debian's package has %d", len(got), len(own))
			}
			var foreign [][]byte
			for text := range certificates(host.Certificates) {
				if !own[text] {
					foreign = append(foreign, []byte(text))
				}
			}
			t.Logf("%d files; %d certificates of the host are not Debian's", len(files), len(foreign))
			for name, content := range files {
				for _, forbidden := range []string{"/build/", "/tmp/", "/var/tmp/", "/root/.cache/", "/var/lib/apt/lists/", "/var/cache/apt/", "/usr/share/man/"} {
					if strings.HasPrefix(name, forbidden) {
						t.Errorf("%s is left", name)
					}
				}
				for _, certificate := range foreign {
					if bytes.Contains(content, certificate) {
						t.Errorf("%s holds a certificate that only this host trusts", name)
					}
				}
			}
			public := recipeFile(t, "recipe/base/debian.org.sources")
			if !bytes.Equal(files["/etc/apt/sources.list.d/debian.sources"], public) || files["/etc/apt/sources.list"] != nil {
				t.Error("apt does not use Debian's own archive")
			}
			history, err := cli.ImageHistory(t.Context(), ref)
			if err != nil {
				t.Fatal(err)
			}
			for _, layer := range history.Items {
				if strings.Contains(layer.CreatedBy, "BASE=") || strings.Contains(layer.CreatedBy, "RUN") {
					t.Errorf("its history tells how it was built: %s", layer.CreatedBy)
				}
			}
		})
	}
}

func recipeFile(t *testing.T, name string) []byte {
	t.Helper()
	content, err := recipeFiles.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return content
}

// certificates are those in PEM files, each as the first line of its text.
func certificates(content []byte) map[string]bool {
	found := map[string]bool{}
	for {
		block, rest := pem.Decode(content)
		if block == nil {
			return found
		}
		// Lines far enough in are different in every certificate.
		lines := strings.Split(string(pem.EncodeToMemory(block)), "\n")
		found[strings.Join(lines[5:8], "\n")] = true
		content = rest
	}
}

// ownCertificates are those of Debian's package ca-certificates.
func ownCertificates(files map[string][]byte) map[string]bool {
	own := map[string]bool{}
	for name, content := range files {
		if strings.HasPrefix(name, "/usr/share/ca-certificates/") {
			maps.Copy(own, certificates(content))
		}
	}
	return own
}

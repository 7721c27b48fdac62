package image

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/client"
)

// The image's own health check, as often as a test wants to hear of it.
func ownHealthcheck() *container.HealthConfig {
	return &container.HealthConfig{Interval: time.Second, Timeout: 3 * time.Second, Retries: 3, StartPeriod: patience}
}

func (b box) becomes(health container.HealthStatus) {
	b.t.Helper()
	for deadline := time.Now().Add(patience); ; time.Sleep(100 * time.Millisecond) {
		inspected, err := b.cli.ContainerInspect(b.t.Context(), b.id, client.ContainerInspectOptions{})
		if err != nil {
			b.t.Fatal(err)
		}
		state := inspected.Container.State
		if state.Health != nil && state.Health.Status == health {
			return
		}
		if time.Now().After(deadline) || !state.Running {
			b.t.Fatalf("container %.12s is not %s: %+v, %+v", b.id, health, state, state.Health)
		}
	}
}

func TestOrchestratorServes(t *testing.T) {
	t.Parallel()
	cli := engineOf(t)
	ref, _ := images(t)
	database := server(t, []string{"POSTGRES_USER=inmanta", "POSTGRES_PASSWORD=secret"})
	database.serves()
	b := start(t, cli, container.Config{
		Image: ref, Healthcheck: ownHealthcheck(),
		Env: []string{"INMANTA_DATABASE_HOST=" + database.address(), "INMANTA_DATABASE_USERNAME=inmanta", "INMANTA_DATABASE_PASSWORD=secret"},
	})
	b.becomes(container.Healthy)

	var status struct {
		Data struct {
			Edition    string
			Version    string
			Extensions []struct{ Name string }
			Slices     []struct {
				Name   string
				Status struct{ Connected bool }
			}
		}
	}
	answer := b.do("curl", "--silent", "--fail", "http://127.0.0.1:8888/api/v1/serverstatus")
	if err := json.Unmarshal([]byte(answer), &status); err != nil {
		t.Fatalf("%v in %s", err, answer)
	}
	equal(t, "version", status.Data.Version, InmantaVersion)
	equal(t, "edition", status.Data.Edition, "Open Source Edition")
	if len(status.Data.Extensions) != 1 || status.Data.Extensions[0].Name != "core" {
		t.Errorf("extensions are %+v", status.Data.Extensions)
	}
	equal(t, "who serves", b.do("stat", "-c", "%U:%G", "/proc/1"), "inmanta:inmanta")
	equal(t, "the log's file", b.do("stat", "-c", "%U:%G %a", "/var/log/inmanta/server.log"), "inmanta:inmanta 644")
	for _, log := range []string{b.logs(), b.do("cat", "/var/log/inmanta/server.log")} {
		if !strings.Contains(log, "Server startup complete") {
			t.Errorf("nothing of the start in the log:\n%s", log)
		}
	}
	// A project's virtual environment is made from this one, with its own pip.
	b.do("/opt/inmanta/bin/python", "-m", "venv", "/tmp/project")
	b.do("/tmp/project/bin/pip", "--version")

	t.Run("healthy only with its database", func(t *testing.T) {
		if _, err := cli.ContainerPause(t.Context(), database.id, client.ContainerPauseOptions{}); err != nil {
			t.Fatal(err)
		}
		defer func() {
			if _, err := cli.ContainerUnpause(t.Context(), database.id, client.ContainerUnpauseOptions{}); err != nil {
				t.Error(err)
			}
		}()
		if check, code := b.try("timeout", "3", "bash", "-c", healthCommand(t, ref)); code == 0 {
			t.Errorf("the health check passes without a database: %s", check)
		}
	})
	if code := b.stop(); code != 0 && code != 5 {
		// 5 when it noticed its database's absence before it was asked to stop.
		t.Errorf("a stop ends with %d", code)
	}
}

// healthCommand is what bash runs as the image's health check.
func healthCommand(t *testing.T, ref string) string {
	t.Helper()
	inspected, err := engineOf(t).ImageInspect(t.Context(), ref)
	if err != nil {
		t.Fatal(err)
	}
	return inspected.Config.Healthcheck.Test[3]
}

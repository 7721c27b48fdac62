package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/moby/moby/client"
)

// codePairs is how often the starts of the editor are compared.
const codePairs = 15

// editors are the code sidecar, and code-server started by hand as upstream
// starts it, from the same volume. Neither has a network: whatever fetched
// something would fail.
const editors = `services:
  code:
    network_mode: none
    networks: !reset null
    ports: !reset []
    healthcheck: {disable: true}
    restart: "no"
  by-hand:
    extends: {file: docker-compose.code.yml, service: code}
    network_mode: none
    networks: !reset null
    ports: !reset []
    healthcheck: {disable: true}
    restart: "no"
    container_name: "${INMANTA_NAME}-code-by-hand"
    user: inmanta
    entrypoint: [/usr/local/lib/code-server/current/files/bin/code-server, --bind-addr, "0.0.0.0:8080", --auth, none]
`

// editorStarts are the rows that compare the code sidecar with code-server alone,
// each from the start of its process until it answers its health check.
//
// code-server comes from where the shell's INMANTA_CODE_SERVER_TARBALL says.
func editorStarts(ctx context.Context, w *workshop, chosen choice) error {
	what := "process start to the first answer"
	if !chosen.has("code: " + what) {
		return nil
	}
	if err := os.WriteFile(filepath.Join(w.dir, "editors.yml"), []byte(editors), 0o644); err != nil {
		return err
	}
	err := errors.Join(w.editorRows(ctx, what), w.editorCompose(context.Background(), "down", "-v", "--timeout", "0"))
	if err != nil {
		return fmt.Errorf("code: %s: %w", what, err)
	}
	return nil
}

func (w *workshop) editorCompose(ctx context.Context, args ...string) error {
	_, err := w.command("docker-compose", append([]string{"-f", "docker-compose.yml", "-f", "docker-compose.code.yml", "-f", "editors.yml"}, args...)...)(ctx)
	return err
}

func (w *workshop) editorRows(ctx context.Context, what string) error {
	if _, err := w.command("inmanta-docker", "-f", "docker-compose.yml", "-f", "docker-compose.code.yml", "image", "ensure")(ctx); err != nil {
		return err
	}
	if err := w.editorCompose(ctx, "up", "--no-start", "--no-deps", "code", "by-hand"); err != nil {
		return err
	}
	var verified []float64
	ours := func(ctx context.Context) (sample, error) {
		s, log, err := w.editorStart(ctx, name+"-code-sidecar")
		if err == nil {
			var took float64
			took, err = inVerification(log)
			verified = append(verified, took)
		}
		return s, err
	}
	theirs := func(ctx context.Context) (sample, error) {
		s, _, err := w.editorStart(ctx, name+"-code-by-hand")
		return s, err
	}
	// The first start of each writes its settings.
	for _, first := range []func(context.Context) (sample, error){ours, theirs} {
		if _, err := first(ctx); err != nil {
			return err
		}
	}
	verified = nil
	a, b, err := interleave(ctx, codePairs, nil, ours, theirs)
	if err != nil {
		return err
	}
	header("code-server by hand")
	row(fmt.Sprintf("%s, without verifying (%d pairs)", what, codePairs), "≤ 1.05", without(seconds(a), verified), seconds(b), "s", 3)
	row(what+", with verifying", "", seconds(a), seconds(b), "s", 3)
	measuredHeader()
	fmt.Printf("| verifying: every byte of code-server is read and compared | %.3f s (%.3f–%.3f) | |\n",
		quantile(verified, 0.5), quantile(verified, 0.1), quantile(verified, 0.9))
	return nil
}

// editorStart starts a container, and times it from when the engine has started
// its process until it answers; then the container is stopped. log is what it
// wrote meanwhile.
func (w *workshop) editorStart(ctx context.Context, container string) (s sample, log []byte, err error) {
	api := w.engine.API()
	if _, err := api.ContainerStart(ctx, container, client.ContainerStartOptions{}); err != nil {
		return s, nil, err
	}
	found, err := api.ContainerInspect(ctx, container, client.ContainerInspectOptions{})
	if err != nil {
		return s, nil, err
	}
	state := found.Container.State
	began, err := time.Parse(time.RFC3339Nano, state.StartedAt)
	if err == nil {
		err = untilHealthy(ctx, server{name: container, pid: state.Pid})
	}
	s.took = time.Since(began)
	log, logErr := exec.CommandContext(ctx, "docker", "logs", "--since", state.StartedAt, container).CombinedOutput()
	if err != nil {
		err = fmt.Errorf("%s: %w\n%s", container, err, log)
	}
	now := 0
	_, stopErr := api.ContainerStop(context.Background(), container, client.ContainerStopOptions{Timeout: &now})
	return s, log, errors.Join(err, logErr, stopErr)
}

// untilHealthy waits until the editor of a container answers its health check.
// Asked more often, the sidecar, which takes connections before the editor does,
// would be kept busy with answers.
func untilHealthy(ctx context.Context, s server) error {
	ctx, cancel := context.WithTimeout(ctx, startPatience)
	defer cancel()
	return beside(s, func() error {
		tick := time.NewTicker(10 * time.Millisecond)
		defer tick.Stop()
		for {
			err := askHealth()
			if err == nil {
				return nil
			}
			select {
			case <-tick.C:
			case <-ctx.Done():
				return err
			}
		}
	})
}

// askHealth asks what listens on this thread's loopback: an http.Client would
// connect on another thread.
func askHealth() error {
	conn, err := net.Dial("tcp4", "127.0.0.1:8080")
	if err != nil {
		return err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(5 * time.Second)); err != nil {
		return err
	}
	request, err := http.NewRequest(http.MethodGet, "http://127.0.0.1:8080/healthz", nil)
	if err == nil {
		err = request.Write(conn)
	}
	if err != nil {
		return err
	}
	answer, err := http.ReadResponse(bufio.NewReader(conn), request)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return fmt.Errorf("its health check gives %s", answer.Status)
	}
	return nil
}

// inVerification is how long the sidecar's log says that it read code-server.
func inVerification(log []byte) (float64, error) {
	for line := range strings.Lines(string(log)) {
		var event struct {
			Event   string  `json:"event"`
			Seconds float64 `json:"seconds"`
		}
		if json.Unmarshal([]byte(line), &event) == nil && event.Event == "verified" {
			return event.Seconds, nil
		}
	}
	return 0, fmt.Errorf("the sidecar does not say that it verified code-server:\n%s", log)
}

package image

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/docker/cli/cli/config"
	"github.com/moby/moby/client"

	"github.com/inmanta/inmanta-docker/problem"
	"github.com/inmanta/inmanta-docker/progress"
)

// testRegistry is one that the real engine pulls from: an image of one file, and
// names for every way a pull can go wrong. It wants login ("USER:PASSWORD"),
// unless that is empty.
func testRegistry(t *testing.T, machine, login string) *httptest.Server {
	t.Helper()
	over := make(chan struct{})
	var layer bytes.Buffer
	zipped := gzip.NewWriter(&layer)
	var plain bytes.Buffer
	// Different for every test, so that no layer is there already.
	if err := archive(&plain, map[string][]byte{"name": []byte(testName())}); err != nil {
		t.Fatal(err)
	}
	if _, err := zipped.Write(plain.Bytes()); err != nil {
		t.Fatal(err)
	}
	if err := zipped.Close(); err != nil {
		t.Fatal(err)
	}
	sum := func(content []byte) string { return fmt.Sprintf("sha256:%x", sha256.Sum256(content)) }
	described := func(kind string, content []byte) map[string]any {
		return map[string]any{"mediaType": "application/vnd.docker." + kind, "size": len(content), "digest": sum(content)}
	}
	marshal := func(v any) []byte {
		content, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		return content
	}
	configuration := marshal(map[string]any{
		"architecture": machine, "os": "linux", "config": map[string]any{},
		"rootfs": map[string]any{"type": "layers", "diff_ids": []string{sum(plain.Bytes())}},
	})
	manifest := marshal(map[string]any{
		"schemaVersion": 2, "mediaType": "application/vnd.docker.distribution.manifest.v2+json",
		"config": described("container.image.v1+json", configuration),
		"layers": []any{described("image.rootfs.diff.tar.gzip", layer.Bytes())},
	})
	blobs := map[string][]byte{sum(configuration): configuration, sum(layer.Bytes()): layer.Bytes()}
	refuse := func(w http.ResponseWriter, status int, code, text string) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		fmt.Fprintf(w, `{"errors":[{"code":%q,"message":%q}]}`, code, text)
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		name, blob, isBlob := strings.Cut(strings.TrimPrefix(r.URL.Path, "/v2/"), "/blobs/")
		name, _, _ = strings.Cut(name, "/manifests/")
		user, password, _ := r.BasicAuth()
		switch {
		case login != "" && user+":"+password != login:
			w.Header().Set("WWW-Authenticate", `Basic realm="test"`)
			refuse(w, http.StatusUnauthorized, "UNAUTHORIZED", "authentication required")
		case name == "":
			w.Header().Set("Docker-Distribution-Api-Version", "registry/2.0")
		case name == "good":
			w.Header().Set("Content-Type", "application/vnd.docker.distribution.manifest.v2+json")
			content := manifest
			if isBlob {
				w.Header().Set("Content-Type", "application/octet-stream")
				content = blobs[blob]
			}
			w.Header().Set("Docker-Content-Digest", sum(content))
			_, _ = w.Write(content)
		case name == "missing":
			refuse(w, http.StatusNotFound, "MANIFEST_UNKNOWN", "manifest unknown")
		case name == "denied":
			refuse(w, http.StatusForbidden, "DENIED", "requested access to the resource is denied")
		case name == "limited":
			refuse(w, http.StatusTooManyRequests, "TOOMANYREQUESTS", "You have reached your pull rate limit")
		case name == "portal":
			w.WriteHeader(http.StatusForbidden)
			_, _ = w.Write([]byte("<html>Forbidden by the network's administrator</html>"))
		case name == "down":
			w.WriteHeader(http.StatusServiceUnavailable)
		case name == "silent":
			// The engine does not hang up when it is told to give up.
			<-over
		}
	}))
	t.Cleanup(server.Close)
	t.Cleanup(func() { close(over) })
	return server
}

func TestPullOnTheRealEngine(t *testing.T) {
	cli := engineOf(t)
	machine, err := ask(t.Context(), cli)
	if err != nil {
		t.Fatal(err)
	}
	server := testRegistry(t, machine.architecture, "")
	host := strings.TrimPrefix(server.URL, "http://")
	gone := httptest.NewServer(http.NotFoundHandler())
	gone.Close()
	var events []progress.Event
	report := func(event progress.Event) { events = append(events, event) }

	for name, want := range map[string]outcome{
		"good": pulled, "missing": notFound, "denied": denied, "limited": limited, "portal": unreachable, "down": unreachable,
	} {
		ref := host + "/" + name + ":1"
		err := Pull(t.Context(), cli, ref, report)
		if got := pullOutcome(err); got != want {
			t.Errorf("%s: %q (%v), want %q", name, got, err, want)
		}
		there, inspectErr := exists(t.Context(), cli, ref)
		if inspectErr != nil || there != (want == pulled) {
			t.Errorf("%s: on the engine: %t (%v)", name, there, inspectErr)
		}
	}
	defer func() {
		_, _ = cli.ImageRemove(context.Background(), host+"/good:1", client.ImageRemoveOptions{Force: true, PruneChildren: true})
	}()
	if len(events) == 0 || events[0].ID != "image "+host+"/good:1" && events[0].Status != progress.Working {
		t.Errorf("no progress: %+v", events)
	}
	err = Pull(t.Context(), cli, strings.TrimPrefix(gone.URL, "http://")+"/good:1", report)
	if got := pullOutcome(err); got != unreachable {
		t.Errorf("nobody there: %q (%v)", got, err)
	}
	err = pull(t.Context(), cli, host+"/silent:1", "", time.Second, report)
	if got := pullOutcome(err); got != unreachable || !strings.Contains(err.Error(), "1s") {
		t.Errorf("a silent registry: %q (%v)", got, err)
	}

	t.Run("with the credentials that were kept", func(t *testing.T) {
		before := config.Dir()
		defer config.SetDir(before)
		config.SetDir(t.TempDir())
		host := strings.TrimPrefix(testRegistry(t, machine.architecture, "somebody:secret").URL, "http://")
		ref := host + "/good:1"
		defer func() {
			_, _ = cli.ImageRemove(context.Background(), ref, client.ImageRemoveOptions{Force: true, PruneChildren: true})
		}()
		if got := pullOutcome(Pull(t.Context(), cli, ref, report)); got != denied {
			t.Errorf("without: %q", got)
		}
		kept := base64.StdEncoding.EncodeToString([]byte("somebody:secret"))
		writeFile(t, filepath.Join(config.Dir(), "config.json"), fmt.Sprintf(`{"auths":{%q:{"auth":%q}}}`, host, kept))
		if err := Pull(t.Context(), cli, ref, report); err != nil {
			t.Errorf("with: %v", err)
		}
	})
}

// How a registry that is down is told from the caller's own change of mind.
func TestPullIsCalledOff(t *testing.T) {
	t.Parallel()
	cli := engineOf(t)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		connection, err := listener.Accept()
		if err == nil {
			cancel()
			defer connection.Close()
			<-t.Context().Done()
		}
	}()
	err = Pull(ctx, cli, listener.Addr().String()+"/x:1", progress.Discard)
	if ctx.Err() == nil || err == nil || strings.Contains(err.Error(), errSilent.Error()) {
		t.Errorf("it ends with %v", err)
	}
}

// Ensure, with the real engine: what can be had is had, and what cannot is all
// said at once.
func TestEnsure(t *testing.T) {
	cli := engineOf(t)
	machine, err := ask(t.Context(), cli)
	if err != nil {
		t.Fatal(err)
	}
	orchestrator, database := images(t)
	host := strings.TrimPrefix(testRegistry(t, machine.architecture, "").URL, "http://")
	defer func() {
		_, _ = cli.ImageRemove(context.Background(), host+"/good:1", client.ImageRemoveOptions{Force: true, PruneChildren: true})
	}()

	list, err := List(t.Context(), cli, Wanted{Orchestrator: host + "/good:1", PostgreSQL: database})
	if err != nil {
		t.Fatal(err)
	}
	if list[0].Present || !list[1].Present || list[1].Outdated || list[1].Size == 0 || list[1].Created.IsZero() || list[1].ID == "" ||
		list[1].Recipe != PostgreSQL().Digest(machine.architecture) {
		t.Errorf("before: %+v", list)
	}
	stands, err := Ensure(t.Context(), cli, Wanted{Orchestrator: host + "/good:1", PostgreSQL: database}, progress.Discard)
	if err != nil || stands != (Stands{}) {
		t.Errorf("pulling one of them: %+v, %v", stands, err)
	}
	list, err = List(t.Context(), cli, Wanted{Orchestrator: host + "/good:1", PostgreSQL: "postgres:none-of-this"})
	if err != nil || !list[0].Present || list[0].Recipe != "" || list[1].Present {
		t.Errorf("after: %+v, %v", list, err)
	}
	stands, err = Ensure(t.Context(), cli, Wanted{Orchestrator: orchestrator, PostgreSQL: database, HasVolumes: true}, progress.Discard)
	if err != nil || stands != (Stands{}) {
		t.Errorf("what is there: %+v, %v", stands, err)
	}

	for name, test := range map[string]struct {
		wanted Wanted
		ids    string
	}{
		"refused":                {Wanted{Orchestrator: host + "/denied:1", PostgreSQL: host + "/missing:1"}, "image-denied image-not-found"},
		"not ours to build":      {Wanted{Orchestrator: "localhost/inmanta-docker/else:1", PostgreSQL: "localhost/inmanta-docker/postgres:16"}, "recipe-unknown recipe-unknown"},
		"malformed":              {Wanted{Orchestrator: "A B", PostgreSQL: host + "/down:1"}, "image-name-malformed"},
		"one there, one refused": {Wanted{Orchestrator: orchestrator, PostgreSQL: host + "/portal:1"}, "registry-unreachable"},
	} {
		stands, err := Ensure(t.Context(), cli, test.wanted, progress.Discard)
		var ids []string
		for _, p := range problem.In(err) {
			ids = append(ids, p.ID)
		}
		if got := strings.Join(ids, " "); got != test.ids || stands != (Stands{}) {
			t.Errorf("%s: %q, %+v, want %q", name, got, stands, test.ids)
		}
	}
}

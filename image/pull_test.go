package image

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	cerrdefs "github.com/containerd/errdefs"
)

func TestPullOutcome(t *testing.T) {
	for text, want := range map[string]outcome{
		// As Engine 20.10 says them.
		`Get "https://ghcr.io/v2/": dial tcp: lookup ghcr.io on 10.0.0.1:53: no such host`:                                                    unreachable,
		`Get "https://ghcr.io/v2/": dial tcp 140.82.121.33:443: connect: connection refused`:                                                  unreachable,
		`Get "https://ghcr.io/v2/": net/http: TLS handshake timeout`:                                                                          unreachable,
		`Get "https://ghcr.io/v2/": net/http: request canceled while waiting for connection (Client.Timeout exceeded while awaiting headers)`: unreachable,
		`Get "https://ghcr.io/v2/": proxyconnect tcp: dial tcp 10.0.0.2:3128: i/o timeout`:                                                    unreachable,
		`Get "https://ghcr.io/v2/": x509: certificate signed by unknown authority`:                                                            unreachable,
		`Get "https://ghcr.io/v2/": Forbidden by proxyconnect rules`:                                                                          unreachable,
		`Get "https://127.0.0.1:5000/v2/": http: server gave HTTP response to HTTPS client`:                                                   unreachable,
		`error parsing HTTP 403 response body: invalid character '<' looking for beginning of value: "<html>Forbidden</html>"`:                unreachable,
		`received unexpected HTTP status: 503 Service Unavailable`:                                                                            unreachable,
		`manifest for debian:nope not found: manifest unknown: manifest unknown`:                                                              notFound,
		`manifest unknown`: notFound,
		`pull access denied for inmanta/nope, repository does not exist or may require 'docker login': denied: requested access to the resource is denied`: denied,
		`Head "https://containers.inmanta.com/v2/containers/service-orchestrator/manifests/8": unauthorized: authentication required`:                      denied,
		`Head "https://ghcr.io/v2/inmanta/x/manifests/latest": denied`:                                                                                     denied,
		`no basic auth credentials`: denied,
		`toomanyrequests: You have reached your pull rate limit. You may increase the limit by authenticating and upgrading: https://www.docker.com/increase-rate-limit`: limited,
		`no matching manifest for linux/arm64/v8 in the manifest list entries`:                                                                                           elsewhere,
		`write /var/lib/docker/tmp/GetImageBlob1: no space left on device`:                                                                                               failed,
		`filesystem layer verification failed for digest sha256:aa`:                                                                                                      failed,
		// As newer engines with the containerd image store say them.
		`failed to resolve reference "ghcr.io/inmanta/orchestrator:latest": failed to do request: Head "https://ghcr.io/v2/inmanta/orchestrator/manifests/latest": dial tcp: lookup ghcr.io: no such host`:                         unreachable,
		`failed to resolve reference "docker.io/library/nope:1": docker.io/library/nope:1: not found`:                                                                                                                              notFound,
		`failed to authorize: failed to fetch oauth token: unexpected status from GET request to https://auth.docker.io/token: 401 Unauthorized`:                                                                                   denied,
		`failed to resolve reference "ghcr.io/x/y:1": unexpected status from HEAD request to https://ghcr.io/v2/x/y/manifests/1: 502 Bad Gateway`:                                                                                  unreachable,
		`httpReadSeeker: failed open: unexpected status code https://registry-1.docker.io/v2/library/postgres/manifests/sha256:aa: 429 Too Many Requests - Server message: toomanyrequests: You have reached your pull rate limit`: limited,
	} {
		if got := pullOutcome(errors.New(text)); got != want {
			t.Errorf("%s\nis %q, want %q", text, got, want)
		}
	}
	for err, want := range map[error]outcome{
		nil:                              pulled,
		fmt.Errorf("x: %w", errSilent):   unreachable,
		cerrdefs.ErrNotFound:             notFound,
		cerrdefs.ErrUnauthenticated:      denied,
		cerrdefs.ErrPermissionDenied:     denied,
		cerrdefs.ErrInternal:             failed,
		errors.New("something else"):     failed,
		fmt.Errorf("layer: %w", errCut):  failed,
		errors.New("registry went away"): failed,
	} {
		if got := pullOutcome(err); got != want {
			t.Errorf("%v is %q, want %q", err, got, want)
		}
	}
}

func TestLayers(t *testing.T) {
	l := layers{}
	err := eachMessage(strings.NewReader(`
		{"status":"Pulling from library/debian","id":"trixie-slim"}
		{"status":"Pulling fs layer","progressDetail":{},"id":"aa"}
		{"status":"Already exists","progressDetail":{},"id":"bb"}
		{"status":"Downloading","progressDetail":{"current":10,"total":100},"id":"aa"}
		{"status":"Pulling fs layer","progressDetail":{},"id":"cc"}
		{"status":"Downloading","progressDetail":{"current":30,"total":50},"id":"cc"}
		{"status":"Download complete","progressDetail":{},"id":"cc"}
		{"status":"Extracting","progressDetail":{"current":5,"total":50},"id":"cc"}
		{"status":"Pull complete","progressDetail":{},"id":"cc"}
		{"status":"Digest: sha256:00"}`), l.take)
	if err != nil {
		t.Fatal(err)
	}
	event := l.event("debian")
	if event.ID != "image debian" || event.Current != 60 || event.Total != 150 || event.Detail != "2 of 3 layers" {
		t.Errorf("got %+v", event)
	}
}

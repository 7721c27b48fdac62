package image

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	cerrdefs "github.com/containerd/errdefs"
	"github.com/distribution/reference"
	"github.com/docker/cli/cli/config"
	"github.com/moby/moby/api/pkg/authconfig"
	"github.com/moby/moby/api/types/registry"
	"github.com/moby/moby/client"

	"github.com/inmanta/inmanta-docker/progress"
)

// outcome is how an attempt to pull an image ended.
type outcome string

const (
	pulled      outcome = "pulled"
	unreachable outcome = "unreachable" // nobody answered for the registry
	notFound    outcome = "not found"   // it has no such image
	denied      outcome = "denied"      // it has none for us; many say so of what they do not have
	limited     outcome = "limited"     // too many pulls of late
	elsewhere   outcome = "elsewhere"   // the image is for other processors
	failed      outcome = "failed"      // anything else: a full disk, a broken download
)

// errSilent says that a registry took longer than it was given.
var errSilent = errors.New("no answer within the time it was given")

// pullOutcome tells from the engine's error why a pull failed. The engine
// passes on what the registry, or the way to it, said: words, mostly.
func pullOutcome(err error) outcome {
	if err == nil {
		return pulled
	}
	text := strings.ToLower(err.Error())
	mentions := func(signs ...string) bool {
		for _, sign := range signs {
			if strings.Contains(text, sign) {
				return true
			}
		}
		return false
	}
	switch {
	case errors.Is(err, errSilent):
		return unreachable
	case mentions("no matching manifest for", "does not match the specified platform"):
		return elsewhere
	case mentions("toomanyrequests", "too many requests"):
		return limited
	case mentions("no space left on device"):
		return failed
	// Before the words of a refusal: a proxy refuses with the same ones.
	case mentions(
		"dial tcp", "dial udp", "proxyconnect", "no such host", "i/o timeout", "tls handshake timeout",
		"connection refused", "connection reset", "network is unreachable", "no route to host",
		"client.timeout exceeded", "request canceled while waiting for connection",
		"x509:", "tls: ", "server gave http response to https client",
		"error parsing http", "unexpected http status: 5", "502 bad gateway", "503 service unavailable", "504 gateway",
	):
		return unreachable
	case cerrdefs.IsUnauthorized(err), cerrdefs.IsPermissionDenied(err),
		mentions("denied", "unauthorized", "authentication required", "forbidden", "no basic auth credentials"):
		return denied
	case cerrdefs.IsNotFound(err), mentions("manifest unknown", "not found", "name unknown"):
		return notFound
	}
	return failed
}

// pullPatience is how long a registry may take to answer at all. Once it has,
// a download takes what it takes.
const pullPatience = 30 * time.Second

// Pull gets an image from its registry, with the credentials that `docker
// login` has kept.
func Pull(ctx context.Context, engine Engine, ref string, report progress.Report) error {
	auth, err := credentials(ref)
	if err != nil {
		return err
	}
	return pull(ctx, engine, ref, auth, pullPatience, report)
}

// credentials are those of an image's registry, as the engine's API takes them.
func credentials(ref string) (string, error) {
	named, err := reference.ParseNormalizedNamed(ref)
	if err != nil {
		return "", malformed(ref, err)
	}
	domain := reference.Domain(named)
	if domain == "docker.io" {
		// The name under which the Docker command line keeps these.
		domain = "https://index.docker.io/v1/"
	}
	kept, err := config.LoadDefaultConfigFile(io.Discard).GetAuthConfig(domain)
	if err != nil {
		return "", fmt.Errorf("reading the credentials of %s: %w", reference.Domain(named), err)
	}
	return authconfig.Encode(registry.AuthConfig{
		Username: kept.Username, Password: kept.Password, Auth: kept.Auth, ServerAddress: kept.ServerAddress,
		IdentityToken: kept.IdentityToken, RegistryToken: kept.RegistryToken,
	})
}

// pull asks the engine for an image, and gives up with errSilent when it has
// heard nothing within patience.
func pull(ctx context.Context, engine Engine, ref, auth string, patience time.Duration, report progress.Report) error {
	report(progress.Event{ID: progressID(ref), Text: "Pulling", Status: progress.Working})
	listening, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	silence := time.AfterFunc(patience, func() { stop(errSilent) })
	defer silence.Stop()

	err := func() error {
		answer, err := engine.ImagePull(listening, ref, client.ImagePullOptions{RegistryAuth: auth})
		if err != nil {
			return err
		}
		defer answer.Close()
		layers := layers{}
		var shown time.Time
		return eachMessage(answer, func(m message) {
			silence.Stop()
			layers.take(m)
			if time.Since(shown) < lineInterval {
				return
			}
			shown = time.Now()
			report(layers.event(ref))
		})
	}()
	if err != nil && ctx.Err() == nil && errors.Is(context.Cause(listening), errSilent) {
		return fmt.Errorf("%w (%s)", errSilent, patience)
	}
	return err
}

// layers are the parts of an image that is being pulled.
type layers map[string]struct {
	current, total int64
	done           bool
}

func (l layers) take(m message) {
	if m.ID == "" || strings.HasPrefix(m.Status, "Pulling from") {
		return
	}
	layer := l[m.ID]
	switch m.Status {
	case "Downloading":
		layer.current, layer.total = m.Progress.Current, max(m.Progress.Total, layer.total)
	case "Download complete", "Verifying Checksum":
		layer.current = layer.total
	case "Pull complete", "Already exists":
		layer.current, layer.done = layer.total, true
	}
	l[m.ID] = layer
}

func (l layers) event(ref string) progress.Event {
	event := progress.Event{ID: progressID(ref), Text: "Pulling", Status: progress.Working}
	done := 0
	for _, layer := range l {
		event.Current += layer.current
		event.Total += layer.total
		if layer.done {
			done++
		}
	}
	if len(l) > 0 {
		event.Detail = fmt.Sprintf("%d of %d layers", done, len(l))
	}
	return event
}

// renamed is a report whose events all go by another name.
func renamed(report progress.Report, id string) progress.Report {
	return func(event progress.Event) {
		event.ID = id
		report(event)
	}
}

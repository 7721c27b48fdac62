package command

import (
	"context"
	"fmt"
	"maps"
	"net/url"
	"os"
	"os/exec"
	"slices"

	"github.com/docker/compose/v5/pkg/api"
	"github.com/docker/compose/v5/pkg/compose"
	"github.com/spf13/cobra"

	"github.com/inmanta/inmanta-docker/codeserver"
	"github.com/inmanta/inmanta-docker/problem"
	"github.com/inmanta/inmanta-docker/progress"
	"github.com/inmanta/inmanta-docker/readiness"
	"github.com/inmanta/inmanta-docker/settings"
	"github.com/inmanta/inmanta-docker/topology"
	"github.com/inmanta/inmanta-docker/ui"
)

func (a *app) codeVerb() *cobra.Command {
	return &cobra.Command{
		Use:   "code",
		Short: "Open the code sidecar's editor in the browser",
		Long: `Open the code sidecar's editor in this machine's browser, and print its address: on
a machine without one that is all it does. What lets you in is
INMANTA_CODE_SERVER_PASSWORD in .env.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return a.openCode(cmd.Context()) },
	}
}

func (a *app) openCode(ctx context.Context) error {
	s, c, err := a.sidecar(ctx, topology.Code)
	if err != nil {
		return err
	}
	defer s.engine.Close()
	if err := unhealthySidecar(c); err != nil {
		return err
	}
	if err := s.settled(ctx, c); err != nil {
		return a.showFailure(ctx, a.ui(), s, err)
	}
	address := s.codeURL(c)
	if address == "" {
		return problem.Problem{
			ID: "code-unreachable", Where: c.Name, What: fmt.Sprintf("it listens where only the engine's own machine reaches it, and that is another one (%s)", s.engine.Host()),
			Fix: "publish it on an address of that machine (INMANTA_CODE_SERVER_IP in .env, then inmanta-docker up), or open it from there",
		}
	}
	u := a.ui()
	u.Line(address)
	if err := browse(ctx, address); err != nil {
		u.Note("", "open it in a browser: "+err.Error())
	}
	return u.Err()
}

// browse has this machine's browser open an address.
func browse(ctx context.Context, address string) error {
	const none = "none was found on this machine"
	if os.Getenv("DISPLAY") == "" && os.Getenv("WAYLAND_DISPLAY") == "" && os.Getenv("BROWSER") == "" {
		return fmt.Errorf("%s", none)
	}
	for _, name := range []string{os.Getenv("BROWSER"), "xdg-open", "open"} {
		if path, err := exec.LookPath(name); name != "" && err == nil {
			// It is the browser's, which may stay open, to say anything from here on.
			if err := exec.CommandContext(context.WithoutCancel(ctx), path, address).Start(); err != nil {
				return fmt.Errorf("starting %s: %w", path, err)
			}
			return nil
		}
	}
	return fmt.Errorf("%s", none)
}

// codePort is where the code sidecar listens in its container.
const codePort = 8080

// nothingSet is what the compose files mount where a file is not given.
const nothingSet = "/dev/null"

// codeURL is where the container's editor is reached from here; "" where it is not.
func (s survey) codeURL(c readiness.Container) string {
	scheme := "http"
	if certificate, _, ok := s.deployment.Setting(settings.CodeServerCert); ok && certificate != "" && certificate != nothingSet {
		scheme = "https"
	}
	for _, at := range c.Reachable(codePort, s.engine.Host()) {
		return (&url.URL{Scheme: scheme, Host: at, Path: "/"}).String()
	}
	return ""
}

// askCode is where the editor is reached, if there is one that runs.
func (s survey) askCode(containers []readiness.Container) string {
	for _, c := range containers {
		if c.Service == topology.Code && c.State == "running" {
			return s.codeURL(c)
		}
	}
	return ""
}

// codeVolume is the key of the volume with code-server, and codeVolumeAt where
// the sidecar has it.
const (
	codeVolume   = "inmanta-code-server"
	codeVolumeAt = "/usr/local/lib/code-server"
)

// codeServer is the code-server that the topology is to have; there is none in most.
func (s survey) codeServer() (wanted codeserver.Wanted, ok bool, err error) {
	project := s.stack.Project
	service, ok := project.Services[topology.Code]
	volume, has := project.Volumes[codeVolume]
	if !ok || !has {
		return wanted, false, nil
	}
	hash, err := compose.VolumeHash(volume)
	if err != nil {
		return wanted, false, fmt.Errorf("looking at volume %s: %w", codeVolume, err)
	}
	wanted = codeserver.Wanted{
		Place: settings.CodeServerTarball, Dir: project.WorkingDir, Image: service.Image,
		Volume: volume.Name, Driver: volume.Driver, Options: volume.DriverOpts, At: codeVolumeAt,
		Labels: map[string]string{},
	}
	maps.Copy(wanted.Labels, volume.Labels)
	// What Compose looks for in a volume that is to be its own.
	maps.Copy(wanted.Labels, map[string]string{
		api.ProjectLabel: project.Name, api.VolumeLabel: codeVolume, api.VersionLabel: api.ComposeVersion, api.ConfigHashLabel: hash,
	})
	if s.sidecar != nil {
		wanted.Sidecar = s.sidecar.Path
		if s.sidecar.From != "" {
			wanted.Sidecar = s.sidecar.From
		}
	}
	if about, ok := project.Extensions["x-code-server"].(map[string]any); ok {
		wanted.Source, _ = about["tarball"].(string)
	}
	if sum := service.Environment[settings.CodeServerSHA256]; sum != nil {
		wanted.Checksum = *sum
	}
	for _, name := range []string{settings.CodeServerTarball, settings.CodeServerSHA256} {
		if _, from, set := s.deployment.Setting(name); set {
			wanted.Place = from.Place()
			break
		}
	}
	return wanted, true, nil
}

// takeCodeServer makes sure that code-server is in its volume, where the topology
// has one, and says whether it had to be put there.
func (s survey) takeCodeServer(ctx context.Context, report progress.Report) (taken bool, err error) {
	wanted, ok, err := s.codeServer()
	if !ok || err != nil {
		return false, err
	}
	if wanted.Sidecar == "" {
		return false, problem.Problem{
			ID: "sidecar-missing", Where: project(s), What: "the sidecars' binary, which unpacks code-server, is neither here nor beside inmanta-docker",
			Fix: "copy inmanta-sidecar here from the archive that inmanta-docker came from; in a checkout: make build",
		}
	}
	containers, err := s.engine.Containers(ctx, s.stack.Project.Name)
	if err != nil {
		return false, err
	}
	for _, c := range containers {
		if c.Service == topology.Code && c.State == "running" {
			wanted.Container = c.ID
		}
	}
	return codeserver.Ensure(ctx, s.engine.API(), wanted, report)
}

func project(s survey) string { return s.stack.Project.WorkingDir }

// renewCode restarts a code sidecar that runs what was in its volume before.
func (s survey) renewCode(ctx context.Context, report progress.Report) error {
	containers, err := s.engine.Containers(ctx, s.stack.Project.Name)
	if err != nil {
		return err
	}
	for _, c := range containers {
		if c.Service != topology.Code || !slices.Contains([]string{"running", "restarting"}, c.State) {
			continue
		}
		event := progress.Event{ID: "Container " + c.Name, Text: "Restarting", Status: progress.Working}
		report(event)
		if err := s.engine.Restart(ctx, c.ID); err != nil {
			return err
		}
		event.Text, event.Status = "Restarted", progress.Done
		report(event)
	}
	return nil
}

// codeFacts are what status says of the editor to people.
func codeFacts(s status) []ui.Fact {
	if s.CodeURL == "" {
		return nil
	}
	return []ui.Fact{{Key: "editor", Value: s.CodeURL}}
}

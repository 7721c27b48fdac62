package preflight

import (
	"fmt"
	"slices"
	"strings"

	"github.com/compose-spec/compose-go/v2/types"
	"github.com/containerd/platforms"
	"github.com/distribution/reference"

	"github.com/inmanta/inmanta-docker/problem"
	"github.com/inmanta/inmanta-docker/settings"
	"github.com/inmanta/inmanta-docker/topology"
)

// images judges whether every image is there or can be had, and runs here.
func (r *report) images() {
	for _, name := range r.stack.Project.ServiceNames() {
		service := r.stack.Project.Services[name]
		image, asked := r.facts.Images[service.Image]
		if service.Build != nil || !asked {
			continue
		}
		switch {
		case image.Present:
		case service.PullPolicy == types.PullPolicyNever:
			r.imageProblem(service, "image-missing", fmt.Sprintf("the engine lacks the image %s, and the service may not pull it (pull_policy: never)", service.Image),
				"bring it here: "+carry(service.Image))
		case image.Registry == Unreachable:
			r.imageProblem(service, "image-missing", fmt.Sprintf("the engine lacks the image %s, and its registry cannot be reached (%s)", service.Image, image.Trouble),
				r.without(service))
		case image.Registry == Denied:
			r.imageProblem(service, "image-denied", fmt.Sprintf("the engine lacks the image %s, and its registry does not give it to this user (%s)", service.Image, image.Trouble),
				fmt.Sprintf("log in: docker login %s; or check the image's name", registryOf(service.Image)))
		case image.Registry == NoSuchImage:
			r.imageProblem(service, "image-unknown", fmt.Sprintf("the engine lacks the image %s, and its registry has no such image (%s)", service.Image, image.Trouble),
				"check its name and tag")
		}
		// Who writes platform: in a compose file means to emulate that processor.
		if service.Platform == "" && !runsOn(r.facts.Platform, image.Platforms) {
			r.imageProblem(service, "image-platform",
				fmt.Sprintf("the image %s is for %s, and the engine runs %s", service.Image, strings.Join(image.Platforms, ", "), r.facts.Platform),
				fmt.Sprintf("get the one for this machine (docker pull --platform %s %s), or name another image", r.facts.Platform, service.Image))
		}
	}
}

func (r *report) imageProblem(s types.ServiceConfig, id, what, fix string) {
	r.refuse(problem.Problem{ID: id, Where: r.imagePlace(s), What: what, Fix: fix})
}

// imagePlace is where the image of a service is chosen.
func (r *report) imagePlace(s types.ServiceConfig) string {
	path := "services." + s.Name + ".image"
	// The setting's value is the whole name, or its version.
	for _, value := range []string{s.Image, tagOf(s.Image)} {
		if where, setting := r.place(path, value); setting != "" {
			return where
		}
	}
	return r.origin(path)
}

// without is how to go on without the image's registry. Stand-ins are built only
// for the default open-source orchestrator and its database, and never beneath
// data that exists.
func (r *report) without(s types.ServiceConfig) string {
	setting, _ := settings.Find(settings.OrchestratorImage)
	orchestrator := r.stack.Project.Services[topology.Orchestrator].Image
	ours := s.Image == orchestrator || s.Name == topology.Database && officialMajor(s.Image) != 0
	if orchestrator == setting.Default && ours && len(r.facts.Volumes) == 0 {
		return "build a stand-in from package registries: inmanta-docker image build; or try again when the registry can be reached"
	}
	return "try again when the registry can be reached, or bring it here: " + carry(s.Image)
}

func carry(ref string) string {
	return fmt.Sprintf("docker save %s on a machine that has it, docker load here", ref)
}

// registryOf is the registry's host in an image's name.
func registryOf(ref string) string {
	named, err := reference.ParseNormalizedNamed(ref)
	if err != nil {
		return ""
	}
	return reference.Domain(named)
}

func tagOf(ref string) string {
	named, err := reference.ParseNormalizedNamed(ref)
	if err != nil {
		return ""
	}
	if tagged, ok := named.(reference.Tagged); ok {
		return tagged.Tag()
	}
	return ""
}

// officialMajor is the major version that the tag of an official PostgreSQL
// image names, a mirror's too; 0 for any other image.
func officialMajor(ref string) int {
	named, err := reference.ParseNormalizedNamed(ref)
	if err != nil {
		return 0
	}
	path := reference.Path(named)
	if path[strings.LastIndex(path, "/")+1:] != "postgres" {
		return 0
	}
	return settings.Major(tagOf(ref))
}

// runsOn says that an engine can run an image made for one of the platforms;
// also where either is unknown.
func runsOn(engine string, image []string) bool {
	host, err := platforms.Parse(engine)
	if err != nil || len(image) == 0 {
		return true
	}
	host.Variant = ""
	match := platforms.Only(host)
	return slices.ContainsFunc(image, func(one string) bool {
		p, err := platforms.Parse(one)
		return err != nil || match.Match(p)
	})
}

// Package image is the container images a deployment runs on: whether they are
// there, where they are pulled from, and how stand-ins for the two of them are
// built from package registries where no image registry can be reached.
//
// A stand-in is laid out as the official image is (user, paths, volumes,
// variables, entrypoint and command), so that nothing beside it can tell them
// apart, and is named for what it is: never another version, never under the
// official name. recipe/ holds what they are made from; docs/decisions/0003
// says why.
package image

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/moby/moby/client"
)

// Engine is what this package asks of the container engine: any version from
// API 1.41 (Engine 20.10), without BuildKit. The Docker client is one.
type Engine interface {
	Info(ctx context.Context, options client.InfoOptions) (client.SystemInfoResult, error)

	ImageBuild(ctx context.Context, files io.Reader, options client.ImageBuildOptions) (client.ImageBuildResult, error)
	ImageHistory(ctx context.Context, ref string, options ...client.ImageHistoryOption) (client.ImageHistoryResult, error)
	ImageImport(ctx context.Context, source client.ImageImportSource, ref string, options client.ImageImportOptions) (client.ImageImportResult, error)
	ImageInspect(ctx context.Context, ref string, options ...client.ImageInspectOption) (client.ImageInspectResult, error)
	ImageList(ctx context.Context, options client.ImageListOptions) (client.ImageListResult, error)
	ImagePull(ctx context.Context, ref string, options client.ImagePullOptions) (client.ImagePullResponse, error)
	ImageRemove(ctx context.Context, ref string, options client.ImageRemoveOptions) (client.ImageRemoveResult, error)
	ImageTag(ctx context.Context, options client.ImageTagOptions) (client.ImageTagResult, error)

	ContainerList(ctx context.Context, options client.ContainerListOptions) (client.ContainerListResult, error)
	ContainerRemove(ctx context.Context, container string, options client.ContainerRemoveOptions) (client.ContainerRemoveResult, error)
}

// machine is what builds depend on of the engine's machine.
type machine struct {
	// architecture is as Go and Debian name it: "amd64", "arm64".
	architecture string
	// network is the one that builds get.
	network string
}

// ask asks the engine about its machine.
func ask(ctx context.Context, engine Engine) (machine, error) {
	answer, err := engine.Info(ctx, client.InfoOptions{})
	if err != nil {
		return machine{}, fmt.Errorf("asking the engine what it is: %w", err)
	}
	// The machine's own network: its name servers, and a proxy on its loopback
	// address, are not to be had from another. An engine that maps users
	// to others does not give it away.
	m := machine{architecture: answer.Info.Architecture, network: "host"}
	for _, option := range answer.Info.SecurityOptions {
		if strings.HasPrefix(option, "name=userns") {
			m.network = ""
		}
	}
	switch m.architecture {
	case "x86_64":
		m.architecture = "amd64"
	case "aarch64":
		m.architecture = "arm64"
	}
	return m, nil
}

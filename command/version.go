package command

import (
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"

	"github.com/inmanta/inmanta-docker/ui"
)

type versions struct {
	Version  string `json:"version"`
	Compose  string `json:"compose"`
	Go       string `json:"go"`
	Platform string `json:"platform"`
}

func (a *app) versionVerb() *cobra.Command {
	verb := &cobra.Command{
		Use: "version", Short: "Print the version", Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error { return a.showVersion() },
	}
	a.jsonFlag(verb, "the versions")
	return verb
}

func (a *app) showVersion() error {
	v := versions{Version: a.version, Compose: composeVersion(), Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH}
	u := a.ui()
	if a.json {
		u.Value(v)
	} else {
		u.KeyValues([]ui.Fact{
			{Key: "inmanta-docker", Value: v.Version}, {Key: "compose", Value: v.Compose},
			{Key: "go", Value: v.Go}, {Key: "platform", Value: v.Platform},
		})
	}
	return u.Err()
}

// composeVersion is the version of the Compose SDK inside this binary.
func composeVersion() string {
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, module := range info.Deps {
			if module.Path == "github.com/docker/compose/v5" {
				return module.Version
			}
		}
	}
	return "unknown"
}

// Package command is the CLI: one file a verb, and this one, which lists them.
package command

import (
	"github.com/docker/compose/v5/cmd/compose"
	"github.com/spf13/cobra"
)

var _ = compose.RootCommand
var _ cobra.Command

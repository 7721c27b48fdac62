package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"path"
	"reflect"
	"strings"

	"github.com/invopop/jsonschema"
	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"

	"github.com/inmanta/inmanta-docker/settings"
	"github.com/inmanta/inmanta-docker/sidecar/logrotate/policy"
)

// settingsTable is the README's table.
func settingsTable() []byte {
	var b bytes.Buffer
	b.WriteString("| **Name** | **Default** | **Used by** | **Description** |\n| --- | --- | --- | --- |\n")
	for _, s := range settings.All {
		preset, used := "/", s.UsedBy
		if s.Default != "" {
			preset = "`" + s.Default + "`"
		}
		if used != "all" {
			used = "`" + used + "`"
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", s.Name, preset, used, s.Description)
	}
	return b.Bytes()
}

// directivesTable is what becomes of each word of a logrotate configuration.
func directivesTable() []byte {
	var b bytes.Buffer
	b.WriteString("| **Directive** | | **What it does here** |\n| --- | --- | --- |\n")
	for _, d := range policy.Directives() {
		meaning := d.Meaning
		if d.Fix != "" {
			meaning += "; " + d.Fix
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s |\n", d.Name, d.Effect, meaning)
	}
	return b.Bytes()
}

// verbs is one page for the command and each of its verbs.
func verbs(root *cobra.Command) (map[string][]byte, error) {
	root.DisableAutoGenTag = true
	root.InitDefaultHelpCmd()
	root.InitDefaultCompletionCmd()
	files := map[string][]byte{}
	var page func(c *cobra.Command) error
	page = func(c *cobra.Command) error {
		var b bytes.Buffer
		if err := doc.GenMarkdown(c, &b); err != nil {
			return err
		}
		files[reference+"/"+strings.ReplaceAll(c.CommandPath(), " ", "_")+".md"] = b.Bytes()
		for _, child := range c.Commands() {
			if child.IsAvailableCommand() {
				if err := page(child); err != nil {
					return err
				}
			}
		}
		return nil
	}
	// The reference begins at the command's own page.
	if err := page(root); err != nil {
		return nil, err
	}
	return files, nil
}

// schemas is one JSON schema for each verb's output.
func schemas(outputs map[string]any) (map[string][]byte, error) {
	files := map[string][]byte{}
	reflector := jsonschema.Reflector{Anonymous: true, Namer: typeName}
	for verb, value := range outputs {
		schema := reflector.Reflect(value)
		schema.Title = "inmanta-docker " + verb + " --json"
		text, err := json.MarshalIndent(schema, "", "  ")
		if err != nil {
			return nil, fmt.Errorf("the schema of %s: %w", verb, err)
		}
		files[reference+"/"+strings.ReplaceAll(verb, " ", "_")+".schema.json"] = append(text, '\n')
	}
	return files, nil
}

// typeName is a type's name with its package: two packages have a Status.
func typeName(t reflect.Type) string {
	if t.PkgPath() == "" {
		return ""
	}
	return path.Base(t.PkgPath()) + "." + t.Name()
}

package image

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/inmanta/inmanta-docker/problem"
	"github.com/inmanta/inmanta-docker/progress"
)

// On a machine of which the test decides what is installed.
func TestBootstrapperIsInstalled(t *testing.T) {
	for name, test := range map[string]struct {
		programs map[string]string // name to shell script
		id, says string            // of the problem, if there is to be one
		ran      string
	}{
		"it is there":     {programs: map[string]string{"mmdebstrap": "", "apt-get": "echo $@ >>ran"}},
		"it can be":       {programs: map[string]string{"apt-get": "echo $@ >>ran"}, ran: "update\ninstall --yes --no-install-recommends mmdebstrap debian-archive-keyring\n"},
		"no apt":          {id: "base-missing", says: "mmdebstrap, which makes one from Debian's packages, is not installed"},
		"it cannot be":    {programs: map[string]string{"apt-get": "echo $@ >>ran; echo E: no network >&2; exit 100"}, id: "base-failed", says: "exit status 100\n    E: no network", ran: "update\n"},
		"no such package": {programs: map[string]string{"apt-get": "echo $@ >>ran; [ $1 = update ]"}, id: "base-failed", says: "exit status 1", ran: "update\ninstall --yes --no-install-recommends mmdebstrap debian-archive-keyring\n"},
	} {
		t.Run(name, func(t *testing.T) {
			if os.Geteuid() != 0 && test.ran != "" {
				// Only root may install anything.
				test.id, test.says, test.ran = "base-missing", "as root", ""
			}
			folder := t.TempDir()
			t.Chdir(folder)
			t.Setenv("PATH", folder)
			for program, text := range test.programs {
				if err := os.WriteFile(filepath.Join(folder, program), []byte("#!/bin/sh\n"+text+"\n"), 0o700); err != nil {
					t.Fatal(err)
				}
			}
			var said []string
			b := builder{report: func(event progress.Event) { said = append(said, event.ID+" "+event.Text) }}
			err := b.installBootstrapper(t.Context())
			var id, text string
			for _, p := range problem.In(err) {
				id, text = p.ID, p.Error()+"\n"+p.Fix
			}
			if id != test.id || !strings.Contains(text, test.says) {
				t.Errorf("got %q: %s", id, text)
			}
			ran, err := os.ReadFile("ran")
			if err != nil && test.ran != "" {
				t.Fatal(err)
			}
			equal(t, "what apt was asked", string(ran), test.ran)
			if test.ran != "" && (len(said) == 0 || !strings.HasPrefix(said[0], "package mmdebstrap ")) {
				t.Errorf("it says %q", said)
			}
		})
	}
}

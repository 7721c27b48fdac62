package codeserver

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/inmanta/inmanta-docker/sidecar/process"
	"github.com/inmanta/inmanta-docker/sidecar/release"
)

// Extensions are installed each once, by a code-server that knows of nowhere to
// get others from; one that fails is tried again, and stands in nobody's way.
func TestInstallExtensions(t *testing.T) {
	t.Parallel()
	folder, home, installed := t.TempDir(), t.TempDir(), filepath.Join(t.TempDir(), "installed")
	at := release.Installed{Folder: t.TempDir()}
	for file, text := range map[string]string{
		at.Node(): `#!/bin/sh
for word; do case $word in *.vsix) file=$word;; esac; done
case $file in *bad.vsix) exit 1;; *slow.vsix) exec sleep 1000;; esac
echo "$file $EXTENSIONS_GALLERY" >> "$INSTALLED"
`,
		filepath.Join(folder, "bad.vsix"): "bad", filepath.Join(folder, "good.vsix"): "good", filepath.Join(folder, ".hidden.vsix"): "x", filepath.Join(folder, "README"): "x",
	} {
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	var log strings.Builder
	e := &editor{
		release: at, children: &process.Nursery{}, journal: &journal{out: &log},
		environment: []string{"PATH=/usr/bin:/bin", "INSTALLED=" + installed, `EXTENSIONS_GALLERY={"serviceUrl":"https://open-vsx.org"}`},
	}
	for range 2 {
		e.installExtensions(t.Context(), folder, home)
	}
	text, err := os.ReadFile(installed)
	if want := filepath.Join(folder, "good.vsix") + ` {"serviceUrl":""}` + "\n"; err != nil || string(text) != want {
		t.Errorf("installed is %q (%v), want %q", text, err, want)
	}
	// A sidecar that is told to stop does not wait for one.
	if err := os.Rename(filepath.Join(folder, "bad.vsix"), filepath.Join(folder, "slow.vsix")); err != nil {
		t.Fatal(err)
	}
	told, tell := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer tell()
	e.installExtensions(told, folder, home)
	if !strings.Contains(log.String(), "extension slow.vsix was not installed: the sidecar was told to stop") {
		t.Errorf("the log does not tell of one that was stopped:\n%s", &log)
	}
	if got := strings.Count(log.String(), "extension bad.vsix was not installed"); got != 2 {
		t.Errorf("the log tells %d times of the one that fails:\n%s", got, &log)
	}
}

package e2e

import (
	"archive/tar"
	"crypto/sha256"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
)

// An image that nobody has, from a registry that does not answer, and one that
// is made for another kind of machine: both are told at once, and nothing is made.
func TestImagesThatCannotRun(t *testing.T) {
	t.Parallel()
	s := newFragile(t)
	missing := "127.0.0.1:1/nobody/has:this"
	s.set("INMANTA_ORCHESTRATOR_IMAGE", missing)
	foreign := s.foreignImage()
	s.set("POSTGRESQL_IMAGE", foreign)
	problems := s.refused([]string{"image-platform", "image-missing"}, "up")
	s.says(problems[0].Where, s.dir+"/.env:")
	s.says(problems[0].What, foreign, "is for linux/s390x")
	s.says(problems[1].Where, s.dir+"/.env:")
	s.says(problems[1].What, missing, "registry cannot be reached")
	s.says(problems[1].Fix, "docker save")
	if left := append(s.containers(), s.volumes()...); len(left) > 0 {
		t.Errorf("refused, and there is %v", left)
	}
}

// foreignImage is an image for a processor that this machine has not; it is
// gone with the scenario. Import knows no processors on every engine; load does.
func (s *stack) foreignImage() string {
	s.t.Helper()
	name := "127.0.0.1:1/" + s.name + "/foreign:1"
	layer := archive(s.t, "empty", "")
	config := fmt.Sprintf(`{"architecture": "s390x", "os": "linux", "config": {}, "rootfs": {"type": "layers", "diff_ids": ["sha256:%x"]}}`,
		sha256.Sum256([]byte(layer)))
	manifest := fmt.Sprintf(`[{"Config": "config.json", "RepoTags": [%q], "Layers": ["layer.tar"]}]`, name)
	s.write("foreign.tar", archive(s.t, "layer.tar", layer, "config.json", config, "manifest.json", manifest))
	s.docker("load", "-i", filepath.Join(s.dir, "foreign.tar"))
	s.t.Cleanup(func() { s.docker("rmi", name) })
	return name
}

// archive is a tar archive of files: names and contents in turn.
func archive(t *testing.T, files ...string) string {
	t.Helper()
	var text strings.Builder
	w := tar.NewWriter(&text)
	for i := 0; i < len(files); i += 2 {
		err := w.WriteHeader(&tar.Header{Name: files[i], Mode: 0o644, Size: int64(len(files[i+1]))})
		if err == nil {
			_, err = w.Write([]byte(files[i+1]))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return text.String()
}

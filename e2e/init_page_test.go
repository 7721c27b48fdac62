package e2e

import (
	"path/filepath"
	"strings"
	"testing"
)

// The page's way from nothing to a deployed model, and then to another one, as it
// stands there.
func TestInitFromNothing(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	m := &module{t: t, bare: filepath.Join(t.TempDir(), "my-module.git")}
	m.git("init", "-q", "--bare", m.bare)
	url := "http://" + serving(t, m.smartHTTP("")) + "/my-module.git"
	blocks := fenced(t, "../docs/sidecars/init.md", "text")
	if len(blocks) < 4 || !strings.Contains(blocks[0], "git push") || !strings.Contains(blocks[1], "inmanta-docker init") || !strings.Contains(blocks[3], "git commit -a") {
		t.Fatalf("the page has other blocks: %q", blocks)
	}
	here, err := filepath.Abs("..")
	if err != nil {
		t.Fatal(err)
	}
	work := t.TempDir()
	for _, name := range []string{"GIT_AUTHOR", "GIT_COMMITTER"} {
		s.env = append(s.env, name+"_NAME=e2e", name+"_EMAIL=e2e@localhost")
	}
	run := func(at, block string) {
		t.Helper()
		s.ok("cd " + at + "\n" + strings.NewReplacer(
			"git clone https://github.com/inmanta/inmanta-docker.git", "ln -s "+here+" inmanta-docker",
			"git push https://github.com/me/my-module.git", "git push "+m.bare,
			"https://github.com/me/my-module.git", url,
			"/srv/inmanta", s.dir,
		).Replace(block))
	}
	if bundle := authorities(); bundle != "" {
		s.env = append(s.env, "INMANTA_CA_BUNDLE="+bundle)
	}
	run(work, blocks[0])
	run(work, blocks[1])
	s.initialised()
	run(filepath.Join(work, "my-module"), blocks[3])
	if got := s.docker("exec", s.server(), "cat", "/var/lib/inmanta/signs/north"); got != "Bergen" {
		t.Errorf("after the change the sign says %q", got)
	}
}

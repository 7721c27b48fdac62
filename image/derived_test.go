package image

import (
	"bytes"
	"testing"

	"github.com/moby/moby/client"

	"github.com/inmanta/inmanta-docker/progress"
)

// What somebody makes FROM an image of ours inherits its labels. It may be
// anything, so it must not get the name of ours, nor keep ours from being built.
func TestWhatIsMadeFromAnImageIsNotThatImage(t *testing.T) {
	t.Parallel()
	cli := engineOf(t)
	b, base := workshop(t, cli, progress.Discard)
	ours := small(testName())
	forget(t, cli, ours)
	if err := b.on(t.Context(), base, []Recipe{ours}, BuildOptions{}); err != nil {
		t.Fatal(err)
	}
	found, err := b.made(t.Context(), ours)
	if err != nil || found.ID == "" {
		t.Fatalf("ours is not found (%v)", err)
	}
	for how, line := range map[string]string{
		"with another file":     "COPY Dockerfile /more",
		"with another variable": "ENV INMANTA_SERVER_BIND_PORT=1",
		"with a label of ours":  "LABEL " + unfinishedLabel + "=x",
	} {
		derive(t, cli, ours, line)
		if again, err := b.made(t.Context(), ours); err != nil || again.ID != found.ID {
			t.Errorf("%s: found %q (%v), want %q", how, again.ID, err, found.ID)
		}
	}
	if _, err := cli.ImageRemove(t.Context(), ours.Ref(), client.ImageRemoveOptions{}); err != nil {
		t.Fatal(err)
	}
	if again, err := b.made(t.Context(), ours); err != nil || again.ID != found.ID {
		t.Errorf("once ours has lost its name: found %q (%v), want %q", again.ID, err, found.ID)
	}
}

// derive makes an image from a recipe's, with one more line.
func derive(t *testing.T, cli *client.Client, from Recipe, line string) {
	t.Helper()
	theirs := Recipe{name: testName(), version: "1"}
	forget(t, cli, theirs)
	var files bytes.Buffer
	if err := archive(&files, map[string][]byte{"Dockerfile": []byte("FROM " + from.Ref() + "\n" + line)}); err != nil {
		t.Fatal(err)
	}
	answer, err := cli.ImageBuild(t.Context(), &files, client.ImageBuildOptions{Tags: []string{theirs.Ref()}, Remove: true})
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	if err := eachMessage(answer.Body, func(message) {}); err != nil {
		t.Fatal(err)
	}
}

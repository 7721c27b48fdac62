package image

import (
	"archive/tar"
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/distribution/reference"

	"github.com/inmanta/inmanta-docker/problem"
)

func TestRecipeOf(t *testing.T) {
	for ref, want := range map[string]struct{ built, problem string }{
		"ghcr.io/inmanta/orchestrator:latest":                          {},
		"postgres:17":                                                  {},
		"inmanta-docker-postgres:17":                                   {},
		"mirror.corp/inmanta-docker/postgres:17":                       {},
		"localhost/inmanta-docker/orchestrator:2027.2":                 {built: "localhost/inmanta-docker/orchestrator:2027.2"},
		"docker.io/inmanta-docker/orchestrator:2027.2":                 {},
		"inmanta-docker/orchestrator:2027.2":                           {},
		"localhost/inmanta-docker/orchestrator:2026.4.dev1":            {built: "localhost/inmanta-docker/orchestrator:2026.4.dev1"},
		"localhost/inmanta-docker/postgres:17":                         {built: "localhost/inmanta-docker/postgres:17"},
		"localhost/inmanta-docker/postgres:16":                         {problem: "recipe-unknown"},
		"localhost/inmanta-docker/postgres":                            {problem: "recipe-unknown"},
		"localhost/inmanta-docker/orchestrator":                        {problem: "recipe-unknown"},
		"localhost/inmanta-docker/orchestrator@sha256:" + hexadecimals: {problem: "recipe-unknown"},
		"localhost/inmanta-docker/redis:7":                             {problem: "recipe-unknown"},
		"localhost/inmanta-docker/orchestrator:latest":                 {problem: "version-malformed"},
		"Inmanta-Docker/Orchestrator:1":                                {problem: "image-name-malformed"},
		"":                                                             {problem: "image-name-malformed"},
		"a b":                                                          {problem: "image-name-malformed"},
	} {
		recipe, is, err := RecipeOf(ref)
		var p problem.Problem
		errors.As(err, &p)
		if p.ID != want.problem || (err != nil) != (want.problem != "") {
			t.Errorf("%q: error %v, want %q", ref, err, want.problem)
		}
		if is != (want.built != "") || is && recipe.Ref() != want.built {
			t.Errorf("%q: recipe of %q (%t), want %q", ref, recipe.Ref(), is, want.built)
		}
	}
}

var hexadecimals = strings.Repeat("0f", 32)

func TestVersionsReachNoShell(t *testing.T) {
	for _, version := range []string{"1;reboot", "$(id)", "1 2", "-1", "1-2", "1.", "../1", "==1", "1\n2"} {
		if _, err := Orchestrator(version); err == nil {
			t.Errorf("%q passes as a version", version)
		}
	}
}

func FuzzRecipeOf(f *testing.F) {
	for _, seed := range []string{"localhost/inmanta-docker/orchestrator:2027.2", "localhost/inmanta-docker/postgres:17", "postgres:16", "a@sha256:" + hexadecimals, "localhost/inmanta-docker/x:y"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, ref string) {
		recipe, is, err := RecipeOf(ref)
		if is && err != nil {
			t.Fatalf("%q has a recipe and a problem: %v", ref, err)
		}
		if !is {
			return
		}
		named, err := reference.ParseNormalizedNamed(ref)
		if err != nil {
			t.Fatalf("%q has a recipe and is no reference: %v", ref, err)
		}
		if got := reference.FamiliarString(named); got != recipe.Ref() {
			t.Fatalf("%q is taken for %q", got, recipe.Ref())
		}
		if recipe.standsInFor(ref) {
			t.Fatalf("%q stands in for itself", ref)
		}
	})
}

func TestDigestKnowsWhatAnImageIsMadeFrom(t *testing.T) {
	recipe := Recipe{"x", "1", map[string][]byte{"a": []byte("1"), "b": []byte("2")}}
	same := Recipe{"x", "1", map[string][]byte{"b": []byte("2"), "a": []byte("1")}}
	if recipe.Digest("amd64") != same.Digest("amd64") {
		t.Error("the order of files changes the digest")
	}
	seen := map[string]string{recipe.Digest("amd64"): "the recipe itself"}
	for what, digest := range map[string]string{
		"another architecture":  recipe.Digest("arm64"),
		"another name":          Recipe{"y", "1", recipe.files}.Digest("amd64"),
		"another version":       Recipe{"x", "2", recipe.files}.Digest("amd64"),
		"another content":       Recipe{"x", "1", map[string][]byte{"a": []byte("1"), "b": []byte("3")}}.Digest("amd64"),
		"another file name":     Recipe{"x", "1", map[string][]byte{"a": []byte("1"), "c": []byte("2")}}.Digest("amd64"),
		"a file less":           Recipe{"x", "1", map[string][]byte{"a": []byte("1")}}.Digest("amd64"),
		"contents run together": Recipe{"x", "1", map[string][]byte{"a": []byte("11:b,1:2")}}.Digest("amd64"),
	} {
		if before, taken := seen[digest]; taken {
			t.Errorf("%s has the digest of %s", what, before)
		}
		seen[digest] = what
	}
}

func TestRecipesHoldWhatTheirDockerfilesUse(t *testing.T) {
	usual, err := Orchestrator("")
	if err != nil {
		t.Fatal(err)
	}
	for _, recipe := range []Recipe{usual, PostgreSQL()} {
		dockerfile := string(recipe.files["Dockerfile"])
		for word := range strings.FieldsSeq(dockerfile) {
			if name, is := strings.CutPrefix(word, "/build/"); is && name != "" && recipe.files[name] == nil {
				t.Errorf("%s: its Dockerfile uses %s, which it has not", recipe.Ref(), word)
			}
		}
		// Without it, what a dead build left could not be told from what others made.
		if stages, marked := strings.Count(dockerfile, "\nFROM "), strings.Count(dockerfile, "\nLABEL "+unfinishedLabel+"=${UNFINISHED}\n"); stages != 2 || marked != stages {
			t.Errorf("%s: %d stages, %d of them marked as unfinished", recipe.Ref(), stages, marked)
		}
	}
	if usual.files["constraints-"+InmantaVersion+".txt"] == nil {
		t.Errorf("no constraints for inmanta %s, which is the default", InmantaVersion)
	}
}

func TestArchive(t *testing.T) {
	files := map[string][]byte{"b": []byte("two"), "a": []byte("one"), "empty": nil}
	var first, second bytes.Buffer
	for _, to := range []io.Writer{&first, &second} {
		if err := archive(to, files); err != nil {
			t.Fatal(err)
		}
	}
	if !bytes.Equal(first.Bytes(), second.Bytes()) {
		t.Error("equal files give different archives")
	}
	read := map[string]string{}
	for in := tar.NewReader(&first); ; {
		header, err := in.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		content, err := io.ReadAll(in)
		if err != nil {
			t.Fatal(err)
		}
		read[header.Name] = string(content)
	}
	if len(read) != 3 || read["a"] != "one" || read["b"] != "two" || read["empty"] != "" {
		t.Errorf("the archive holds %q", read)
	}
}

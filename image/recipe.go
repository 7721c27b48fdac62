package image

import (
	"archive/tar"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/distribution/reference"

	"github.com/inmanta/inmanta-docker/problem"
)

// Namespace begins the name of every image built here. Its registry is this very
// host, where none is: the stock tool, which pulls what is missing, must not find
// an image of that name that somebody else has put on a public registry.
const Namespace = "localhost/inmanta-docker"

// Versions of what is built unless another is asked for.
const (
	// InmantaVersion is of the package inmanta on PyPI; with it comes
	// inmanta-core 20.1.0.
	InmantaVersion = "2027.2"
	// PostgreSQLMajor is the major version Debian trixie has.
	PostgreSQLMajor = "17"
)

// Names of the two recipes: the last part of the name of what they build.
const (
	orchestrator = "orchestrator"
	postgres     = "postgres"
)

// Labels on the images, and on what comes and goes while they are built.
const (
	// contentLabel holds the digest of the recipe. It is the last thing a build
	// sets: an image that has it is whole.
	contentLabel = "com.inmanta.docker.recipe"
	// unfinishedLabel names the builder at work; empty once it is done.
	unfinishedLabel = "com.inmanta.docker.unfinished"
	// baseLabel marks a base that was bootstrapped here.
	baseLabel = "com.inmanta.docker.base"
)

//go:embed recipe
var recipeFiles embed.FS

// Recipe is how one image is built.
type Recipe struct {
	name    string
	version string
	// files are its scripts and its Dockerfile, by their name in the build context.
	files map[string][]byte
}

// Orchestrator is the recipe of the open-source orchestrator of that version of
// the package inmanta; "" is InmantaVersion.
func Orchestrator(version string) (Recipe, error) {
	if version == "" {
		version = InmantaVersion
	}
	if !pythonVersion.MatchString(version) {
		return Recipe{}, problem.Problem{
			ID:    "version-malformed",
			Where: fmt.Sprintf("version %q", version),
			What:  "this is not the version of a Python package",
			Fix:   fmt.Sprintf("Give a release of inmanta as https://pypi.org/project/inmanta/#history lists them, such as %s.", InmantaVersion),
		}
	}
	return Recipe{orchestrator, version, embedded(orchestrator)}, nil
}

// pythonVersion also holds to what an image tag may be.
var pythonVersion = regexp.MustCompile(`^[0-9][0-9a-z]*(\.[0-9a-z]+)*$`)

// PostgreSQL is the recipe of Debian's PostgreSQL, of the major version PostgreSQLMajor.
func PostgreSQL() Recipe { return Recipe{postgres, PostgreSQLMajor, embedded(postgres)} }

// RecipeOf is the recipe that builds the image of that name. Names outside
// Namespace have none; a name within it that no recipe builds is a problem.
func RecipeOf(ref string) (recipe Recipe, is bool, err error) {
	named, err := reference.ParseNormalizedNamed(ref)
	if err != nil {
		return Recipe{}, false, malformed(ref, err)
	}
	name, within := strings.CutPrefix(reference.FamiliarName(named), Namespace+"/")
	if !within {
		return Recipe{}, false, nil
	}
	version := ""
	if tagged, ok := named.(reference.Tagged); ok {
		version = tagged.Tag()
	}
	switch {
	case version == "":
	case name == orchestrator:
		recipe, err := Orchestrator(version)
		return recipe, err == nil, err
	case name == postgres && version == PostgreSQLMajor:
		return PostgreSQL(), true, nil
	}
	return Recipe{}, false, problem.Problem{
		ID:    "recipe-unknown",
		Where: ref,
		What:  "names below " + Namespace + "/ are of images built here, and this one has no recipe",
		Fix: fmt.Sprintf("Use %s/%s:VERSION of the package inmanta, or %s; other images need a name of their own.",
			Namespace, orchestrator, PostgreSQL().Ref()),
	}
}

func malformed(ref string, err error) problem.Problem {
	return problem.Problem{
		ID: "image-name-malformed", Where: fmt.Sprintf("%q", ref),
		What: fmt.Sprintf("this is not the name of an image: %v", err),
		Fix:  "Write it as [REGISTRY/]NAME[:TAG], in small letters.",
		Err:  err,
	}
}

// Ref is the name the image is given once it is whole.
func (r Recipe) Ref() string { return Namespace + "/" + r.name + ":" + r.version }

// Version is of what the image holds: inmanta's, or PostgreSQL's major one.
func (r Recipe) Version() string { return r.version }

// standsInFor says whether an image built by the recipe may be used where ref
// is configured: the default, open-source one, or the official one of the same
// major version. Nothing may take the place of another edition.
func (r Recipe) standsInFor(ref string) bool {
	named, err := reference.ParseNormalizedNamed(ref)
	if err != nil {
		return false
	}
	official := map[string][]string{
		orchestrator: {"ghcr.io/inmanta/orchestrator:latest"},
		// The default, while there is no data of that version; and what is built.
		postgres: {"docker.io/library/postgres:16", "docker.io/library/postgres:" + PostgreSQLMajor},
	}
	return slices.Contains(official[r.name], reference.TagNameOnly(named).String())
}

// Digest is of everything the image is made from that is ours to know: the
// files, the version and the architecture. Equal digests are equal images, as
// far as package registries allow.
func (r Recipe) Digest(architecture string) string {
	return digest(r.files, r.name, r.version, architecture)
}

// digest is of names and contents, each with its length, so that none runs into the next.
func digest(files map[string][]byte, words ...string) string {
	sum := sha256.New()
	write := func(part []byte) { fmt.Fprintf(sum, "%d:%s,", len(part), part) }
	for _, word := range words {
		write([]byte(word))
	}
	for _, name := range slices.Sorted(maps.Keys(files)) {
		write([]byte(name))
		write(files[name])
	}
	return "sha256:" + hex.EncodeToString(sum.Sum(nil))
}

// embedded are a recipe's own files and those every recipe shares.
func embedded(name string) map[string][]byte {
	files := map[string][]byte{}
	for _, folder := range []string{"recipe/base", "recipe/" + name} {
		entries, err := fs.ReadDir(recipeFiles, folder)
		if err != nil {
			panic(err) // embedded: a mistake in this package
		}
		for _, entry := range entries {
			content, err := recipeFiles.ReadFile(path.Join(folder, entry.Name()))
			if err != nil {
				panic(err)
			}
			files[entry.Name()] = content
		}
	}
	return files
}

// archive writes files as the engine takes a build context: a tar. Equal files
// give equal bytes, which the engine's own cache relies on.
func archive(to io.Writer, files map[string][]byte) error {
	out := tar.NewWriter(to)
	for _, name := range slices.Sorted(maps.Keys(files)) {
		header := &tar.Header{Name: name, Mode: 0o600, Size: int64(len(files[name])), Format: tar.FormatPAX}
		if err := out.WriteHeader(header); err != nil {
			return err
		}
		if _, err := out.Write(files[name]); err != nil {
			return err
		}
	}
	return out.Close()
}

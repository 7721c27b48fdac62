package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"testing"
	"time"
)

var date = time.Date(2026, 3, 14, 15, 9, 26, 0, time.UTC)

func TestArchiveKnowsNothingOfTheMachine(t *testing.T) {
	entries := []entry{
		{path: "b", mode: 0o644, data: []byte("second")},
		{path: "a", mode: 0o755, data: []byte("first")},
		{path: "license/README.md", mode: 0o644, data: nil},
	}
	var one, two bytes.Buffer
	if err := archive(&one, "folder", date, entries); err != nil {
		t.Fatal(err)
	}
	slices.Reverse(entries)
	if err := archive(&two, "folder", date, entries); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(one.Bytes(), two.Bytes()) {
		t.Error("the order in which files are found changes the archive")
	}

	compressed, err := gzip.NewReader(&one)
	if err != nil {
		t.Fatal(err)
	}
	if compressed.Name != "" || !compressed.ModTime.IsZero() {
		t.Errorf("the compressed file carries a name %q or a date %v", compressed.Name, compressed.ModTime)
	}
	var got []string
	for packed := tar.NewReader(compressed); ; {
		header, err := packed.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if !header.ModTime.Equal(date) || header.Uid != 0 || header.Gid != 0 || header.Uname != "" {
			t.Errorf("%s carries the machine's date or owner: %+v", header.Name, header)
		}
		got = append(got, fmt.Sprintf("%o %s", header.Mode, header.Name))
	}
	want := []string{"755 folder/a", "644 folder/b", "644 folder/license/README.md"}
	if !slices.Equal(got, want) {
		t.Errorf("it holds %q, want %q", got, want)
	}
}

// bill is what the tests read of a CycloneDX file.
type bill struct {
	SpecVersion string
	Metadata    struct{ Timestamp string }
	Components  []struct {
		Name, Version, Purl string
	}
	Dependencies []struct {
		Ref       string
		DependsOn []string
	}
}

func TestBillOfMaterialsNamesWhatWasLinked(t *testing.T) {
	programs := []binary{
		{name: "one", data: []byte("1"), info: &debug.BuildInfo{GoVersion: "go1.26.8", Deps: []*debug.Module{
			{Path: "example.com/b", Version: "v2.0.0+incompatible"},
			{Path: "example.com/a", Version: "v1.0.0", Replace: &debug.Module{Path: "example.com/fork", Version: "v1.0.1"}},
		}}},
		{name: "two", data: []byte("2"), info: &debug.BuildInfo{GoVersion: "go1.26.8"}},
	}
	written, err := billOfMaterials("1.2.3", date, programs)
	if err != nil {
		t.Fatal(err)
	}
	var read bill
	if err := json.Unmarshal(written.data, &read); err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, c := range read.Components {
		got = append(got, strings.TrimSpace(c.Name+" "+c.Version+" "+c.Purl))
	}
	want := []string{
		"one 1.2.3",
		"two 1.2.3",
		"example.com/b v2.0.0+incompatible pkg:golang/example.com/b@v2.0.0%2Bincompatible",
		"example.com/fork v1.0.1 pkg:golang/example.com/fork@v1.0.1",
		"stdlib 1.26.8 pkg:golang/stdlib@1.26.8",
	}
	if !slices.Equal(got, want) {
		t.Errorf("components are\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if len(read.Dependencies) != 2 || len(read.Dependencies[0].DependsOn) != 3 || len(read.Dependencies[1].DependsOn) != 1 {
		t.Errorf("dependencies are %v, want three of the first binary and one of the second", read.Dependencies)
	}
	if read.SpecVersion != "1.6" || read.Metadata.Timestamp != "2026-03-14T15:09:26Z" {
		t.Errorf("CycloneDX %s of %s, want 1.6 of the commit's date", read.SpecVersion, read.Metadata.Timestamp)
	}
}

// built is a folder of binaries for this machine; the small one stands for both.
func built(t *testing.T) (folder string) {
	t.Helper()
	folder = t.TempDir()
	for _, name := range binaries {
		build := exec.Command("go", "build", "-trimpath", "-buildvcs=false", "-ldflags=-s -w",
			"-o", filepath.Join(folder, runtime.GOARCH, name), "../inmanta-sidecar")
		build.Env = append(os.Environ(), "CGO_ENABLED=0")
		if output, err := build.CombinedOutput(); err != nil {
			t.Fatalf("building %s: %v\n%s", name, err, output)
		}
	}
	return folder
}

// source is a repository's root with the pages an archive holds.
func source(t *testing.T) (folder string) {
	t.Helper()
	folder = t.TempDir()
	for _, page := range pages {
		if err := os.WriteFile(filepath.Join(folder, page), []byte(page), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return folder
}

func TestTwoBuildsAreTheSameBytes(t *testing.T) {
	root := source(t)
	name := "inmanta-docker_1.2.3_linux_" + runtime.GOARCH
	var archives [][]byte
	for range 2 {
		o := order{version: "1.2.3", built: date, source: root, binaries: built(t), to: t.TempDir()}
		if err := pack(o); err != nil {
			t.Fatal(err)
		}
		for _, command := range [][]string{
			{"sha256sum", "--check", "--quiet", "SHA256SUMS"},
			{"tar", "-xzf", name + ".tar.gz"},
			{"sh", "-c", "cd " + name + " && sha256sum --check --quiet SHA256SUMS && ./inmanta-sidecar help && test -f docker-compose.yml && test -f docker-compose.ssh.yml"},
		} {
			run := exec.Command(command[0], command[1:]...)
			run.Dir = o.to
			if output, err := run.CombinedOutput(); err != nil {
				t.Fatalf("%q: %v\n%s", command, err, output)
			}
		}
		data, err := os.ReadFile(filepath.Join(o.to, name+".tar.gz"))
		if err != nil {
			t.Fatal(err)
		}
		archives = append(archives, data)
	}
	if !bytes.Equal(archives[0], archives[1]) {
		t.Error("the same commit, built twice, gives two archives")
	}
}

func TestWhatIsNotPacked(t *testing.T) {
	good := order{version: "1.2.3", built: date, source: source(t), binaries: built(t), to: t.TempDir()}
	for _, c := range []struct {
		name   string
		change func(*order)
		want   string
	}{
		{"a version that is a path", func(o *order) { o.version = "release/1" }, `version "release/1" cannot be part of a file's name`},
		{"no binaries", func(o *order) { o.binaries = t.TempDir() }, "holds no binaries"},
		{"no pages", func(o *order) { o.source = t.TempDir() }, "adding a page: open"},
		{"a binary for another machine", func(o *order) {
			o.binaries = t.TempDir()
			if err := os.Rename(filepath.Join(built(t), runtime.GOARCH), filepath.Join(o.binaries, "riscv64")); err != nil {
				t.Fatal(err)
			}
		}, "was built with GOARCH=" + runtime.GOARCH + ", not riscv64"},
		{"a script for a binary", func(o *order) {
			o.binaries = t.TempDir()
			path := filepath.Join(o.binaries, runtime.GOARCH, binaries[0])
			if err := errors.Join(os.Mkdir(filepath.Dir(path), 0o700), os.WriteFile(path, []byte("#!/bin/sh\n"), 0o600)); err != nil {
				t.Fatal(err)
			}
		}, "reading what is in"},
	} {
		t.Run(c.name, func(t *testing.T) {
			o := good
			c.change(&o)
			if err := pack(o); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q in it", err, c.want)
			}
		})
	}
}

func TestSourceDate(t *testing.T) {
	if got, err := sourceDate("1773500966"); err != nil || !got.Equal(date) {
		t.Errorf("got %v, %v, want %v", got, err, date)
	}
	if _, err := sourceDate(""); err == nil {
		t.Error("no date at all was taken for one")
	}
}

package main

import (
	"bytes"
	"debug/buildinfo"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	inmantadocker "github.com/inmanta/inmanta-docker"
)

// binaries are what is built, by name.
var binaries = []string{"inmanta-docker", "inmanta-sidecar"}

// pages are what a person reads first, at the root of the repository.
var pages = []string{"LICENSE", "README.md"}

// contents are the files of one platform's archive.
func contents(o order, architecture string) ([]entry, error) {
	built, err := readBinaries(filepath.Join(o.binaries, architecture), architecture)
	if err != nil {
		return nil, err
	}
	var entries []entry
	for _, one := range built {
		entries = append(entries, entry{path: one.name, mode: 0o755, data: one.data})
	}
	deployment, err := deploymentFiles()
	if err != nil {
		return nil, err
	}
	entries = append(entries, deployment...)
	for _, page := range pages {
		data, err := os.ReadFile(filepath.Join(o.source, page))
		if err != nil {
			return nil, fmt.Errorf("adding a page: %w", err)
		}
		entries = append(entries, entry{path: page, mode: 0o644, data: data})
	}
	bill, err := billOfMaterials(o.version, o.built, built)
	if err != nil {
		return nil, err
	}
	entries = append(entries, bill)
	return append(entries, checksums(entries)), nil
}

// deploymentFiles are those the command line carries too, so that both are the same.
func deploymentFiles() ([]entry, error) {
	var entries []entry
	err := fs.WalkDir(inmantadocker.Files, ".", func(path string, at fs.DirEntry, err error) error {
		if err != nil || at.IsDir() {
			return err
		}
		data, err := inmantadocker.Files.ReadFile(path)
		entries = append(entries, entry{path: path, mode: 0o644, data: data})
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("adding the compose files: %w", err)
	}
	return entries, nil
}

// binary is one of them, built for one platform.
type binary struct {
	name string
	data []byte
	info *buildinfo.BuildInfo
}

// readBinaries refuses what was built for another platform, or needs a C library.
func readBinaries(folder, architecture string) ([]binary, error) {
	var read []binary
	for _, name := range binaries {
		path := filepath.Join(folder, name)
		data, err := os.ReadFile(path)
		if err != nil {
			return nil, fmt.Errorf("adding a binary: %w", err)
		}
		info, err := buildinfo.Read(bytes.NewReader(data))
		if err != nil {
			return nil, fmt.Errorf("reading what is in %s: %w", path, err)
		}
		for key, want := range map[string]string{"GOOS": "linux", "GOARCH": architecture, "CGO_ENABLED": "0"} {
			if got := setting(info, key); got != want {
				return nil, fmt.Errorf("%s was built with %s=%s, not %s: make dist builds it again", path, key, got, want)
			}
		}
		read = append(read, binary{name: name, data: data, info: info})
	}
	return read, nil
}

// setting is how the binary was built, in one respect; empty where it does not say.
func setting(info *buildinfo.BuildInfo, key string) string {
	for _, one := range info.Settings {
		if one.Key == key {
			return one.Value
		}
	}
	return ""
}

package main

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"maps"
	"net/url"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"github.com/CycloneDX/cyclonedx-go"
)

// billOfMaterials says, as CycloneDX JSON, which Go modules the binaries are
// made of: read from the binaries themselves, so it names what was linked and
// not what go.mod asks for.
func billOfMaterials(version string, date time.Time, built []binary) (entry, error) {
	product := cyclonedx.Component{
		BOMRef:  "inmanta-docker",
		Type:    cyclonedx.ComponentTypeApplication,
		Name:    "inmanta-docker",
		Version: version,
	}
	modules := map[string]cyclonedx.Component{}
	var programs []cyclonedx.Component
	var dependencies []cyclonedx.Dependency
	for _, one := range built {
		program := cyclonedx.Component{
			BOMRef:  "binary:" + one.name,
			Type:    cyclonedx.ComponentTypeFile,
			Name:    one.name,
			Version: version,
			Hashes: &[]cyclonedx.Hash{{
				Algorithm: cyclonedx.HashAlgoSHA256,
				Value:     fmt.Sprintf("%x", sha256.Sum256(one.data)),
			}},
		}
		programs = append(programs, program)

		linked := []cyclonedx.Component{standardLibrary(one.info.GoVersion)}
		for _, dependency := range one.info.Deps {
			linked = append(linked, module(dependency))
		}
		var references []string
		for _, component := range linked {
			modules[component.BOMRef] = component
			references = append(references, component.BOMRef)
		}
		slices.Sort(references)
		dependencies = append(dependencies, cyclonedx.Dependency{Ref: program.BOMRef, Dependencies: &references})
	}
	components := programs
	for _, reference := range slices.Sorted(maps.Keys(modules)) {
		components = append(components, modules[reference])
	}

	bill := cyclonedx.NewBOM()
	bill.Metadata = &cyclonedx.Metadata{
		Timestamp: date.Format(time.RFC3339),
		Component: &product,
	}
	bill.Components = &components
	bill.Dependencies = &dependencies

	var written bytes.Buffer
	// One version behind the newest: what reads these files lags.
	err := cyclonedx.NewBOMEncoder(&written, cyclonedx.BOMFileFormatJSON).SetPretty(true).
		EncodeVersion(bill, cyclonedx.SpecVersion1_6)
	if err != nil {
		return entry{}, fmt.Errorf("writing the bill of materials: %w", err)
	}
	return entry{path: "sbom.cdx.json", mode: 0o644, data: written.Bytes()}, nil
}

// standardLibrary is Go's own, under the name that vulnerability databases use.
func standardLibrary(goVersion string) cyclonedx.Component {
	return library("stdlib", strings.TrimPrefix(goVersion, "go"))
}

// module is one Go module as it was linked: what replaces it, if anything does.
func module(linked *debug.Module) cyclonedx.Component {
	if linked.Replace != nil {
		linked = linked.Replace
	}
	return library(linked.Path, linked.Version)
}

func library(name, version string) cyclonedx.Component {
	purl := "pkg:golang/" + name + "@" + url.QueryEscape(version)
	return cyclonedx.Component{
		BOMRef:     purl,
		Type:       cyclonedx.ComponentTypeLibrary,
		Name:       name,
		Version:    version,
		PackageURL: purl,
	}
}

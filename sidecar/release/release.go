// Package release is a release of code-server in a volume: which one this
// version of the sidecar is made for, how a tarball of it becomes a folder that
// is there whole or not at all, and whether that folder still is what it was.
//
// A release lies in a folder named after its tarball's SHA-256, with a manifest
// that lists every file of it, and `current` is a link to the one in use.
package release

import (
	"fmt"
	"path/filepath"
)

// Version is the release that this version of the sidecar is made for.
const Version = "4.139.1"

// checksums are the SHA-256 of the project's own tarballs of that release, as
// its GitHub page gives them, by processor as Go names it.
var checksums = map[string]string{
	"amd64": "53029be6c5781b7bca49b815fcc9a2a3fc111813ad8c9965b2c0f0d2985a0674",
	"arm64": "0edb4b60d9c4744b2dd14b0911e3c2e6dd8c6f3c13bd58bda23ae744e59e7df1",
}

// Checksum is the SHA-256 of the release's tarball for a processor, in
// hexadecimal; "" where the project makes none for it.
func Checksum(processor string) string { return checksums[processor] }

// FileName is what the release's tarball for a processor is called.
func FileName(processor string) string {
	return fmt.Sprintf("code-server-%s-linux-%s.tar.gz", Version, processor)
}

// URL is where the project offers the tarball for a processor.
func URL(processor string) string {
	return "https://github.com/coder/code-server/releases/download/v" + Version + "/" + FileName(processor)
}

// Names in the volume.
const (
	// Current is a link to the folder of the release in use.
	Current      = "current"
	manifestName = "manifest"
	// tree is the folder that holds the release itself, beside its manifest.
	tree = "files"
)

// What is run of a release, below its folder.
const (
	node  = "lib/node"
	entry = "out/node/entry.js"
)

// Installed is a release in a volume.
type Installed struct {
	// Folder is where its files are.
	Folder string
	Manifest
}

// Node is the path of the JavaScript engine that comes with it.
func (i Installed) Node() string { return filepath.Join(i.Folder, node) }

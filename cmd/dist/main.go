// Command dist packs what a machine without Go needs to deploy the
// orchestrator, one archive a platform: the two binaries, the compose files,
// what is in the binaries, and checksums. The same commit, built by the same
// Go, gives the same bytes.
package main

import (
	"bytes"
	"crypto/sha256"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// order is what to pack.
type order struct {
	version  string    // as stamped into the binaries
	built    time.Time // the commit's, and every file's in the archives
	source   string    // the repository's root
	binaries string    // one folder a processor architecture, named as Go names it
	to       string    // where the archives go
}

func main() {
	o := order{source: "."}
	flag.StringVar(&o.version, "version", "", "the `version` stamped into the binaries")
	flag.StringVar(&o.binaries, "binaries", "", "the `folder` that holds one folder of binaries an architecture")
	flag.StringVar(&o.to, "to", "", "the `folder` the archives go to")
	flag.Parse()
	err := func() (err error) {
		if o.built, err = sourceDate(os.Getenv("SOURCE_DATE_EPOCH")); err != nil {
			return err
		}
		return pack(o)
	}()
	if err != nil {
		fmt.Fprintln(os.Stderr, "dist:", err)
		os.Exit(1)
	}
}

// sourceDate reads SOURCE_DATE_EPOCH, seconds since 1970.
func sourceDate(epoch string) (time.Time, error) {
	seconds, err := strconv.ParseInt(epoch, 10, 64)
	if err != nil {
		return time.Time{}, fmt.Errorf("SOURCE_DATE_EPOCH is %q, not a number of seconds: `make dist` sets it to the commit's date", epoch)
	}
	return time.Unix(seconds, 0).UTC(), nil
}

// pack writes one archive an architecture, and the checksums of them all.
func pack(o order) error {
	if o.version == "" || strings.ContainsAny(o.version, "/ ") {
		return fmt.Errorf("version %q cannot be part of a file's name", o.version)
	}
	folders, err := os.ReadDir(o.binaries)
	if err != nil {
		return fmt.Errorf("looking for binaries: %w", err)
	}
	if len(folders) == 0 {
		return fmt.Errorf("%s holds no binaries", o.binaries)
	}
	var archives []entry
	for _, folder := range folders {
		name := fmt.Sprintf("inmanta-docker_%s_linux_%s", o.version, folder.Name())
		entries, err := contents(o, folder.Name())
		if err != nil {
			return fmt.Errorf("packing %s: %w", name, err)
		}
		var packed bytes.Buffer
		if err := archive(&packed, name, o.built, entries); err != nil {
			return fmt.Errorf("packing %s: %w", name, err)
		}
		archives = append(archives, entry{path: name + ".tar.gz", mode: 0o644, data: packed.Bytes()})
	}
	for _, one := range append(archives, checksums(archives)) {
		path := filepath.Join(o.to, one.path)
		if err := os.WriteFile(path, one.data, one.mode); err != nil {
			return fmt.Errorf("writing an archive: %w", err)
		}
		fmt.Printf("%9d  %s\n", len(one.data), path)
	}
	return nil
}

// checksums is a file `sha256sum --check` reads.
func checksums(of []entry) entry {
	var lines bytes.Buffer
	for _, one := range of {
		fmt.Fprintf(&lines, "%x  %s\n", sha256.Sum256(one.data), one.path)
	}
	return entry{path: "SHA256SUMS", mode: 0o644, data: lines.Bytes()}
}

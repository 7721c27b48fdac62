package main

import (
	"archive/tar"
	"compress/gzip"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strings"
	"time"
)

// entry is one file of an archive.
type entry struct {
	path string // below the archive's one folder, with slashes
	mode fs.FileMode
	data []byte
}

// archive writes a compressed tar of the entries inside one folder. Nothing of
// the machine it runs on gets into it: the entries come sorted, all of one
// date, and owned by root.
func archive(to io.Writer, folder string, date time.Time, entries []entry) error {
	compressed, err := gzip.NewWriterLevel(to, gzip.BestCompression)
	if err != nil {
		return fmt.Errorf("starting to compress: %w", err)
	}
	packed := tar.NewWriter(compressed)
	for _, one := range slices.SortedFunc(slices.Values(entries), byPath) {
		header := &tar.Header{
			Typeflag: tar.TypeReg,
			Name:     folder + "/" + one.path,
			Mode:     int64(one.mode.Perm()),
			Size:     int64(len(one.data)),
			ModTime:  date,
			Format:   tar.FormatPAX,
		}
		if err := packed.WriteHeader(header); err != nil {
			return fmt.Errorf("adding %s: %w", one.path, err)
		}
		if _, err := packed.Write(one.data); err != nil {
			return fmt.Errorf("adding %s: %w", one.path, err)
		}
	}
	if err := packed.Close(); err != nil {
		return fmt.Errorf("closing the archive: %w", err)
	}
	if err := compressed.Close(); err != nil {
		return fmt.Errorf("closing the archive: %w", err)
	}
	return nil
}

func byPath(a, b entry) int { return strings.Compare(a.path, b.path) }

package codeserver

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"github.com/inmanta/inmanta-docker/problem"
	"github.com/inmanta/inmanta-docker/sidecar/release"
)

// origin is where the tarball comes from, and what it has to be.
type origin struct {
	// path is a file on this machine; "" where it has to be fetched from url.
	path string
	url  *url.URL
	// checksum is the SHA-256 that it must have.
	checksum string
	// place is where that is configured, and told how it is named to people.
	place, told string
}

// choose decides where the tarball for a processor comes from, without looking
// into it.
func choose(wanted Wanted, processor string) (origin, error) {
	from := origin{checksum: strings.ToLower(wanted.Checksum), place: wanted.Place}
	if from.checksum == "" {
		from.checksum = release.Checksum(processor)
	}
	switch {
	case wanted.Source == "" || isURL(wanted.Source):
		address := wanted.Source
		if address == "" {
			address, from.place = release.URL(processor), progressID
		}
		parsed, err := url.Parse(address)
		if err != nil || parsed.Host == "" {
			return origin{}, problem.Problem{
				ID: "code-server-url", Where: wanted.Place, What: "this is no URL",
				Fix: "write one such as https://mirror.example.com/code-server/" + release.FileName(processor), Err: err,
			}
		}
		if !isTarball(parsed.Path) {
			parsed = parsed.JoinPath(release.FileName(processor))
		}
		if from.checksum == "" {
			return origin{}, noRelease(processor)
		}
		from.url, from.told = parsed, parsed.Redacted()
		return from, nil
	}
	path := wanted.Source
	if !filepath.IsAbs(path) {
		path = filepath.Join(wanted.Dir, path)
	}
	info, err := os.Stat(path)
	if err == nil && info.IsDir() {
		path = filepath.Join(path, release.FileName(processor))
		info, err = os.Stat(path)
	}
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return origin{}, problem.Problem{
			ID: "code-server-missing", Where: wanted.Place, What: fmt.Sprintf("there is no file %s", path),
			Fix: fmt.Sprintf("put the tarball there (%s has it), or set INMANTA_CODE_SERVER_TARBALL to where it is", release.URL(processor)), Err: err,
		}
	case err != nil || !info.Mode().IsRegular():
		return origin{}, unreadable(wanted.Place, path, err)
	}
	from.path, from.told = path, path
	if wanted.Checksum == "" {
		listed, err := listedChecksum(path)
		if err != nil {
			return origin{}, unreadable(wanted.Place, filepath.Join(filepath.Dir(path), sumsName), err)
		}
		if listed != "" {
			from.checksum = listed
		}
	}
	if from.checksum == "" {
		return origin{}, noRelease(processor)
	}
	return from, nil
}

func unreadable(place, path string, err error) problem.Problem {
	if err == nil {
		err = errors.New("it is no file")
	}
	return problem.Problem{
		ID: "code-server-unreadable", Where: place, What: fmt.Sprintf("%s cannot be read: %v", path, err),
		Fix: "give this user the right to read it, or run as its owner", Err: err,
	}
}

func isURL(source string) bool {
	return strings.HasPrefix(source, "https://") || strings.HasPrefix(source, "http://")
}

func isTarball(path string) bool {
	return strings.HasSuffix(path, ".tar.gz") || strings.HasSuffix(path, ".tgz")
}

// sumsName is of the file beside a tarball that says its checksum, as sha256sum
// writes it. It is believed of files on this machine only: whoever could change
// one of the two could change the other, as they could the deployment's settings.
const sumsName = "SHA256SUMS"

// longestSums is what of that file is read, in bytes.
const longestSums = 1 << 20

// listedChecksum is what the file beside a tarball says; "" where it says nothing.
func listedChecksum(tarball string) (string, error) {
	file, err := os.Open(filepath.Join(filepath.Dir(tarball), sumsName))
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	defer file.Close()
	return findSum(io.LimitReader(file, longestSums), filepath.Base(tarball)), nil
}

// findSum finds a file's SHA-256 in what sha256sum wrote; "" if it is not there.
func findSum(sums io.Reader, name string) string {
	for lines := bufio.NewScanner(sums); lines.Scan(); {
		sum, file, _ := strings.Cut(strings.TrimRight(lines.Text(), "\r"), " ")
		if len(file) < 2 || file[0] != ' ' && file[0] != '*' {
			continue
		}
		if strings.TrimPrefix(file[1:], "./") == name && len(sum) == 64 && strings.Trim(sum, "0123456789abcdefABCDEF") == "" {
			return strings.ToLower(sum)
		}
	}
	return ""
}

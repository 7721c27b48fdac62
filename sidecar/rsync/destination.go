package rsync

import (
	"errors"
	"os"
	"path"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/inmanta/inmanta-docker/sidecar/rsync/tree"
	"github.com/inmanta/inmanta-docker/sidecar/rsync/wire"
)

// destination is where files go.
type destination struct {
	path   string // of the directory, as given
	single string // the one file's name there, when it gets another one
	// missing says that a dry run did not make the directory.
	missing bool
}

// openDestination finds out what the path the user gave means, and makes the
// directory if one is needed.
func (s *session) openDestination(files list, given string) (destination, error) {
	if given == "" {
		given = "."
	}
	slash := strings.HasSuffix(given, "/")
	several := len(files) > 1
	info, err := os.Stat(given)
	if err != nil && errors.Is(err, unix.ENOENT) && s.mkpath && (several || strings.Contains(given, "/")) {
		upTo := path.Clean(given)
		if !several && !slash {
			upTo = path.Dir(upTo)
		}
		if err := s.makePath(upTo); err != nil {
			return destination{}, err
		}
		info, err = os.Stat(given)
	}
	switch {
	case err == nil && info.IsDir():
		return destination{path: given}, nil
	case err == nil && several:
		return destination{}, fatal(exitSelection, "the destination %q must be a directory when more than one file is copied", given)
	case err == nil && len(files) == 1 && files[0].directory():
		return destination{}, fatal(exitSelection, "the destination %q is not a directory: a directory cannot take its place", given)
	case err == nil && slash:
		return destination{}, fatal(exitSyntax, "the destination %q is not a directory", given)
	case err != nil && !errors.Is(err, unix.ENOENT):
		return destination{}, fatal(exitSelection, "the destination %q cannot be used: %s", given, reason(err))
	}
	if several || slash {
		return s.makeDestination(files, given)
	}
	base := given[strings.LastIndexByte(given, '/')+1:]
	d := destination{path: given[:len(given)-len(base)], single: base}
	if d.path == "" {
		d.path = "."
	}
	if _, err := os.Stat(d.path); err != nil && s.dryRun && s.mkpath {
		d.missing = true
	}
	return d, nil
}

// makeDestination makes the directory that files go to.
func (s *session) makeDestination(files list, given string) (destination, error) {
	trimmed := strings.TrimRight(given, "/")
	if s.dryRun {
		s.tellMade(trimmed)
		return destination{path: trimmed, missing: true}, nil
	}
	if err := os.Mkdir(trimmed, 0o777); err != nil {
		return destination{}, fatal(exitFile, "the destination %q could not be made: %s", trimmed, reason(err))
	}
	if len(files) > 0 && files[0].name == "." {
		files[0].created = true
	}
	s.tellMade(trimmed)
	return destination{path: trimmed}, nil
}

// makePath makes a directory and those on the way to it.
func (s *session) makePath(upTo string) error {
	missing := 0
	for on := upTo; ; on = path.Dir(on) {
		if _, err := os.Lstat(on); err == nil || on == "." || on == "/" {
			break
		}
		missing++
	}
	if !s.dryRun {
		if err := os.MkdirAll(upTo, 0o777); err != nil {
			return fatal(exitFile, "the destination %q could not be made: %s", upTo, reason(err))
		}
	}
	if missing > 0 && (s.names > 0 || s.itemize > 0) {
		s.say(wire.Info, "created %d director%s for %s", missing, choose(missing == 1, "y", "ies"), upTo)
	}
	return nil
}

func (s *session) tellMade(directory string) {
	if s.names > 0 || s.itemize > 0 {
		s.say(wire.Info, "created directory %s", directory)
	}
}

// open opens it; nil when a dry run did not make it.
func (d destination) open() (*tree.Tree, error) {
	if d.missing {
		return nil, nil
	}
	t, err := tree.Open(d.path)
	if err != nil {
		return nil, fatal(exitSelection, "the destination %q cannot be entered: %s", d.path, reason(err))
	}
	return t, nil
}

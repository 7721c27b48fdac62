package rsync

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/inmanta/inmanta-docker/sidecar/rsync/filter"
	"github.com/inmanta/inmanta-docker/sidecar/rsync/wire"
)

// scanner finds the files that a user asked for, and sends their list.
type scanner struct {
	*listSender
	rules  *filter.Rules
	device uint64   // of the argument, for --one-file-system
	way    []string // implied directories sent last, from the top on
	scopes []*filter.Scope
	dotted bool // "." was sent as an implied directory
}

// argument is one path the user gave, taken apart: where the top of the
// transfer is, and what is asked for from there.
type argument struct {
	from string // "": the working directory
	name string
	// follow says that the path ends in a slash or a dot: a link there is
	// meant as what it points to, a directory as what is in it.
	follow bool
	dot    bool // the path begins with "./", with option --relative
}

// errDotDot is a path that option --relative has no place for.
var errDotDot = errors.New("a path with .. has no place below the destination")

// cutArgument takes a path apart. With relative the whole path is the name,
// from "/./" on if that is in it.
func cutArgument(given string, relative bool) (argument, error) {
	if relative {
		return cutWhole(given)
	}
	trimmed := strings.TrimRight(given, "/")
	base := trimmed[strings.LastIndexByte(trimmed, '/')+1:]
	switch {
	case given == "":
		return argument{name: ".", follow: true}, nil
	case trimmed == "":
		return argument{from: "/", name: ".", follow: true}, nil
	case trimmed != given || base == "..":
		// What is in the directory.
		return argument{from: trimmed, name: ".", follow: true}, nil
	}
	a := argument{name: base, follow: base == "."}
	if before := len(trimmed) - len(base) - 1; before >= 0 {
		a.from = choose(before == 0, "/", trimmed[:max(before, 0)])
	}
	return a, nil
}

func choose(yes bool, one, other string) string {
	if yes {
		return one
	}
	return other
}

func cutWhole(given string) (argument, error) {
	a := argument{name: given}
	if before, after, found := strings.Cut(given, "/./"); found {
		a.from, a.name = choose(before == "", "/", path.Clean(choose(before == "", "/", before))), strings.TrimLeft(after, "/")
	}
	a.dot = strings.HasPrefix(a.name, "./") && len(a.name) > 2
	a.follow = a.name == "" || strings.HasSuffix(a.name, "/") || strings.HasSuffix(a.name, "/.")
	for element := range strings.SplitSeq(a.name, "/") {
		if element == ".." {
			return a, errDotDot
		}
	}
	a.name = path.Clean(a.name)
	a.follow = a.follow || a.name == "." || a.name == "/"
	return a, nil
}

// where is the path of a name from the working directory.
func where(from, name string) string {
	if from == "" || path.IsAbs(name) {
		return name
	}
	if name == "." {
		return from
	}
	return strings.TrimSuffix(from, "/") + "/" + name
}

// scan sends the list of everything that the paths name.
func (s *session) scan(paths []string, rules *filter.Rules) (list, error) {
	began := time.Now()
	c := &scanner{listSender: newListSender(s), rules: rules}
	for _, given := range paths {
		if err := c.argument(given); err != nil {
			return nil, err
		}
	}
	return c.end(time.Since(began))
}

// argument sends what one path names.
func (c *scanner) argument(given string) error {
	a, err := cutArgument(given, c.relative)
	if err != nil {
		return fatal(exitSyntax, "%q: %s", given, err)
	}
	if info, err := os.Stat(choose(a.from == "", ".", a.from)); err != nil || !info.IsDir() {
		c.found.Or(troubleGeneral)
		c.complain("change_dir", given, errors.Join(err, choiceErr(err == nil, unix.ENOTDIR)))
		return nil
	}
	if c.rules.Top, err = absolutePath(a.from); err != nil {
		return err
	}
	if a.dot && !c.dotted {
		c.dotted = true
		if _, err := c.file(nil, a.from, ".", entry{implied: true}, nil); err != nil {
			return err
		}
	}
	scope := c.rules.Scope()
	var stat unix.Stat_t
	full := where(a.from, a.name)
	if err := c.stat(full, &stat, a.follow || c.copyDirLinks); err != nil {
		if errors.Is(err, unix.ENOENT) && c.ignoreMissing {
			return nil
		}
		if !errors.Is(err, unix.ENOENT) {
			c.found.Or(troubleGeneral)
		}
		c.complain("link_stat", full, err)
		return nil
	}
	directory := stat.Mode&unix.S_IFMT == unix.S_IFDIR
	if a.name != "." && scope.Excluded(a.name, directory) {
		return nil
	}
	if directory && !c.directories {
		c.say(wire.Info, "skipping directory %s", a.name)
		return nil
	}
	c.device = stat.Dev
	if c.relative && (!c.noImplied || c.protocol >= 30) {
		if scope, err = c.impliedDirectories(a, scope); err != nil {
			return err
		}
	}
	inside := c.recursive || c.directories && a.follow
	e, err := c.file(nil, a.from, a.name, entry{top: inside, content: inside && directory}, &stat)
	if err != nil || e == nil || !inside || !e.content {
		return err
	}
	return c.directory(scope, a.from, a.name)
}

func choiceErr(yes bool, err error) error {
	if yes {
		return err
	}
	return nil
}

func absolutePath(name string) (string, error) {
	if path.IsAbs(name) {
		return path.Clean(name), nil
	}
	wd, err := os.Getwd()
	return path.Join(wd, name), err
}

// impliedDirectories sends the directories on the way to what was asked for,
// each once, and returns the rules in force at their end.
func (c *scanner) impliedDirectories(a argument, scope *filter.Scope) (*filter.Scope, error) {
	way := path.Dir(a.name)
	if way == "." || way == "/" {
		c.way, c.scopes = nil, nil
		return scope, nil
	}
	prefix := choose(path.IsAbs(way), "/", "")
	elements := strings.Split(strings.TrimPrefix(way, "/"), "/")
	known := 0
	for known < min(len(elements), len(c.way)) && c.way[known] == prefix+strings.Join(elements[:known+1], "/") {
		scope = c.scopes[known]
		known++
	}
	c.way, c.scopes = c.way[:known], c.scopes[:known]
	for i := known; i < len(elements); i++ {
		name := prefix + strings.Join(elements[:i+1], "/")
		var stat unix.Stat_t
		full := where(a.from, name)
		if err := unix.Stat(full, &stat); err != nil {
			c.found.Or(troubleGeneral)
			c.complain("link_stat", full, err)
			return scope, nil
		}
		if _, err := c.file(nil, a.from, name, entry{implied: true}, &stat); err != nil {
			return nil, err
		}
		var err error
		if scope, err = scope.Enter(name); err != nil {
			return nil, fatal(exitSyntax, "%s", err)
		}
		c.way, c.scopes = append(c.way, name), append(c.scopes, scope)
	}
	return scope, nil
}

// directory sends what is in a directory.
func (c *scanner) directory(scope *filter.Scope, from, name string) error {
	scope, err := scope.Enter(name)
	if err != nil {
		return fatal(exitSyntax, "%s", err)
	}
	full := where(from, name)
	directory, err := os.Open(full)
	if err != nil {
		c.unreadable("opendir", full, err)
		return nil
	}
	names, err := directory.Readdirnames(-1)
	directory.Close()
	if err != nil {
		c.unreadable("readdir", full, err)
	}
	var below []string
	for _, base := range names {
		inner := base
		if name != "." {
			inner = strings.TrimSuffix(name, "/") + "/" + base
		}
		if len(inner) > wire.MaxPath {
			c.found.Or(troubleGeneral)
			c.complain("listing", inner, unix.ENAMETOOLONG)
			continue
		}
		e, err := c.file(scope, from, inner, entry{content: c.recursive}, nil)
		if err != nil {
			return err
		}
		if e != nil && e.directory() && e.content {
			below = append(below, inner)
		}
	}
	for _, inner := range below {
		if err := c.directory(scope, from, inner); err != nil {
			return err
		}
	}
	return c.failure
}

// unreadable tells of a directory that cannot be read, or went away.
func (c *scanner) unreadable(what, full string, err error) {
	if errors.Is(err, unix.ENOENT) {
		c.found.Or(troubleVanished)
		c.say(wire.Warning, "directory has vanished: %s", quoted(full))
		return
	}
	c.found.Or(troubleGeneral)
	c.complain(what, full, err)
}

// stat looks at a file as the options want links to be looked at.
func (c *scanner) stat(full string, stat *unix.Stat_t, follow bool) error {
	if c.copyLinks {
		return unix.Stat(full, stat)
	}
	if err := unix.Lstat(full, stat); err != nil || !follow || stat.Mode&unix.S_IFMT != unix.S_IFLNK {
		return err
	}
	var target unix.Stat_t
	if unix.Stat(full, &target) == nil && target.Mode&unix.S_IFMT == unix.S_IFDIR {
		*stat = target
	}
	return nil
}

// file sends one file, like says as what; stat is what is known of it. It
// returns nil for one that is not part of the transfer. No scope: there is no
// rule to ask.
func (c *scanner) file(scope *filter.Scope, from, name string, like entry, stat *unix.Stat_t) (*entry, error) {
	full := where(from, name)
	var link string
	if stat == nil {
		stat = &unix.Stat_t{}
		if err := c.stat(full, stat, c.copyDirLinks); err != nil {
			if scope != nil && (scope.Excluded(name, false) || scope.Excluded(name, true)) {
				return nil, nil
			}
			c.unseen(full, err)
			return nil, nil
		}
	}
	if stat.Mode&unix.S_IFMT == unix.S_IFLNK {
		var err error
		if link, err = os.Readlink(full); err != nil {
			c.unseen(full, err)
			return nil, nil
		}
		if c.copyUnsafe && unsafeLink(link, name) {
			if err := unix.Stat(full, stat); err != nil {
				c.unseen(full, err)
				return nil, nil
			}
		}
	}
	e := fromStat(name, stat)
	if scope != nil && scope.Excluded(name, e.directory()) {
		return nil, nil
	}
	e.from, e.top, e.implied = from, like.top, like.implied
	if e.isLink() {
		e.link = link
	}
	if e.content = like.content && e.directory(); e.content && c.oneFileSystem > 0 && !e.top && stat.Dev != c.device {
		if c.oneFileSystem > 1 {
			return nil, nil
		}
		e.content = false
	}
	if c.checksum && e.regular() {
		e.sum = c.sumOf(full)
	}
	c.add(e, inode{stat.Dev, stat.Ino}, uint64(stat.Nlink))
	return e, c.failure
}

// unseen tells of a file that cannot be looked at.
func (c *scanner) unseen(full string, err error) {
	if !errors.Is(err, unix.ENOENT) {
		c.found.Or(troubleGeneral)
		c.complain("readlink_stat", full, err)
		return
	}
	var stat unix.Stat_t
	if unix.Lstat(full, &stat) == nil && stat.Mode&unix.S_IFMT == unix.S_IFLNK {
		c.found.Or(troubleGeneral)
		c.told.Store(true)
		c.say(wire.ErrorXfer, "symlink has no referent: %s", quoted(full))
		return
	}
	c.found.Or(troubleVanished)
	c.say(wire.Warning, "file has vanished: %s", quoted(full))
}

// sumOf is the checksum of a file for option --checksum; of one that cannot be
// read it is zeros, which no file has.
func (c *scanner) sumOf(full string) string {
	sum := c.fileSum.Plain()
	file, err := openRegular(full, true)
	if err == nil {
		_, err = io.Copy(sum, file)
		file.Close()
	}
	if err != nil {
		return string(make([]byte, sum.Size()))
	}
	return string(sum.Sum(nil))
}

// openRegular opens a regular file and nothing else; follow says whether a
// link is one too.
func openRegular(full string, follow bool) (*os.File, error) {
	flags := os.O_RDONLY | unix.O_NONBLOCK | unix.O_NOCTTY
	if !follow {
		flags |= unix.O_NOFOLLOW
	}
	file, err := os.OpenFile(full, flags, 0)
	if err != nil {
		return nil, err
	}
	info, err := file.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("%s is not a regular file any more", full)
	}
	if err != nil {
		file.Close()
		return nil, err
	}
	return file, nil
}

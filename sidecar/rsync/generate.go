package rsync

import (
	"errors"
	"os"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/inmanta/inmanta-docker/sidecar/rsync/delta"
	"github.com/inmanta/inmanta-docker/sidecar/rsync/wire"
)

// below says whether a name is in a directory, at whatever depth.
func below(name, directory string) bool {
	return directory != "" && (directory == "." && name != "." || strings.HasPrefix(name, directory+"/"))
}

// entry makes one file in the destination what it is at the sender, or asks
// for its contents.
func (g *generator) entry(index int32, e *entry) error {
	if below(e.name, g.skipping) {
		e.skipped = true
		return g.links.skip(g, index, e)
	}
	if err := g.checkParent(e); err != nil {
		return err
	}
	name := g.where.nameOf(e)
	has, err := g.look(e, name)
	if err != nil && !errors.Is(err, unix.ENOENT) {
		g.complain("stat", g.full(name), err)
		if e.directory() {
			return g.skipDirectory(e)
		}
		return g.links.skip(g, index, e)
	}
	if has == nil && g.existing {
		return g.notMade(index, e)
	}
	if has != nil && g.ignoreExisting && !(e.directory() && isDirectory(has)) {
		if g.skips > 0 {
			g.say(wire.Info, "%s exists", name)
		}
		return g.links.skip(g, index, e)
	}
	if e.directory() {
		return g.makeDirectory(index, e, name, has)
	}
	if !g.perms {
		there := has
		if has != nil && has.Mode&unix.S_IFMT != e.kind() {
			there = nil
		}
		e.mode = modeFor(e.mode, there, g.umask, g.executability)
	}
	if done, err := g.links.follow(g, index, e, name, has); done || err != nil {
		return err
	}
	switch {
	case e.isLink() && g.session.links:
		return g.makeLink(index, e, name, has)
	case e.isSpecial() && g.specials:
		return g.makeSpecial(index, e, name, has)
	case !e.regular():
		g.say(wire.Info, "skipping non-regular file %s", quoted(name))
		return nil
	}
	return g.regularFile(index, e, name, has)
}

func isDirectory(has *unix.Stat_t) bool { return has.Mode&unix.S_IFMT == unix.S_IFDIR }

func isRegular(has *unix.Stat_t) bool { return has.Mode&unix.S_IFMT == unix.S_IFREG }

// full is the whole path of a name, for messages.
func (g *generator) full(name string) string {
	if g.tree == nil {
		return name
	}
	return g.tree.Full(name)
}

// checkParent makes sure that the directory a file is in is one of the
// transfer: nothing is ever put into a directory through a link.
func (g *generator) checkParent(e *entry) error {
	directory := directoryOf(e.name)
	if directory == "." || directory == g.parent || g.where.single != "" {
		return nil
	}
	if g.byName.find(directory, true) == nil && !(g.relative && g.noImplied) {
		return wire.Broken("%q is listed, but not the directory it is in", e.name)
	}
	if g.relative && g.noImplied && !g.dryRun && g.tree != nil {
		if _, err := g.tree.Stat(directory); errors.Is(err, unix.ENOENT) {
			if err := g.tree.MkdirAll(directory, 0o777&^g.umask); err != nil {
				g.complain("mkdir", g.full(directory), err)
			}
		}
	}
	g.parent = directory
	return nil
}

// look is what there is of a file; nil and ENOENT for nothing.
func (g *generator) look(e *entry, name string) (*unix.Stat_t, error) {
	if g.tree == nil || below(e.name, g.unmade) {
		return nil, unix.ENOENT
	}
	has, err := g.tree.Stat(name)
	if err != nil {
		return nil, err
	}
	return &has, nil
}

// notMade is for what is not there, with --existing.
func (g *generator) notMade(index int32, e *entry) error {
	if e.directory() {
		g.skipping, e.skipped = e.name, true
	}
	if g.skips > 0 {
		g.say(wire.Info, "not creating new %s %s", choose(e.directory(), "directory", "file"), quoted(e.name))
	}
	return g.links.skip(g, index, e)
}

// tell says what a file is like, if the client wants to know.
func (g *generator) tell(index int32, e *entry, has *unix.Stat_t, flags uint16, other string) error {
	r := request{index: index, flags: g.itemFlags(e, has, flags, other), other: other}
	if r.flags&^itemIrrelevant == 0 && g.names < 2 && g.itemize < 2 && other == "" {
		return nil
	}
	return r.write(g.out)
}

func (g *generator) makeDirectory(index int32, e *entry, name string, has *unix.Stat_t) error {
	if g.noImplied && e.implied {
		return nil
	}
	if has != nil && !isDirectory(has) {
		if !g.makeRoom(name, has, "directory") {
			return g.skipDirectory(e)
		}
		has = nil
	}
	if has == nil && g.dryRun && !below(e.name, g.unmade) {
		g.unmade, e.skipped = e.name, true
	}
	known := has
	if e.created {
		known = nil
	}
	if !g.perms {
		e.mode = modeFor(e.mode, known, g.umask, false)
	}
	flags := uint16(0)
	if known == nil {
		flags = itemLocal
	}
	if err := g.tell(index, e, known, flags, ""); err != nil {
		return err
	}
	if has == nil && !g.dryRun {
		err := g.tree.Mkdir(name, e.permissions()&0o777|unix.S_IRWXU)
		if errors.Is(err, unix.ENOENT) && g.relative {
			err = g.tree.MkdirAll(name, 0o777&^g.umask)
		}
		if err != nil && !errors.Is(err, unix.EEXIST) {
			g.complain("mkdir", g.full(name), err)
			return g.skipDirectory(e)
		}
	}
	if !g.dryRun {
		g.setAttributes(g.tree, name, e, has, false)
		if g.needsAccess(e) {
			if err := g.tree.Chmod(name, e.permissions()|unix.S_IRWXU); err != nil {
				g.complain("chmod", g.full(name), err)
			}
		}
	}
	if (g.delete == during || g.delete == delayed) && e.content && !e.skipped {
		return g.deleteIn(e.name)
	}
	return nil
}

func (g *generator) skipDirectory(e *entry) error {
	g.say(wire.Error, "*** Skipping any contents from this failed directory ***")
	g.told.Store(true)
	g.skipping, e.skipped = e.name, true
	return nil
}

func (g *generator) makeLink(index int32, e *entry, name string, has *unix.Stat_t) error {
	if g.safeLinks && unsafeLink(e.link, e.name) {
		if g.names > 0 {
			g.say(wire.Info, "ignoring unsafe symlink %s -> %s", quoted(name), quoted(e.link))
		}
		return nil
	}
	if has != nil && has.Mode&unix.S_IFMT == unix.S_IFLNK {
		if target, err := g.tree.Readlink(name); err == nil && target == e.link {
			return g.kept(index, e, name, has)
		}
	}
	return g.create(index, e, name, has, "symlink", func(at string) error { return g.tree.Symlink(e.link, at) })
}

func (g *generator) makeSpecial(index int32, e *entry, name string, has *unix.Stat_t) error {
	if has != nil && has.Mode&unix.S_IFMT == e.kind() {
		return g.kept(index, e, name, has)
	}
	return g.create(index, e, name, has, "special file", func(at string) error {
		return g.tree.Mknod(at, e.kind()|0o600)
	})
}

// create makes what is neither file nor directory, in the place of whatever is
// there, in one step if that is no directory.
func (g *generator) create(index int32, e *entry, name string, has *unix.Stat_t, what string, create func(at string) error) error {
	if has != nil && isDirectory(has) && !g.makeRoom(name, has, what) {
		return nil
	}
	if !g.dryRun {
		var err error
		switch {
		case has == nil || isDirectory(has):
			err = create(name)
		default:
			if g.backup && !g.backups.keep(name) {
				return nil
			}
			err = g.tree.Beside(name, create)
		}
		if err != nil {
			g.complain("creating "+what, g.full(name), err)
			return nil
		}
		g.setAttributes(g.tree, name, e, nil, false)
	}
	if has != nil && has.Mode&unix.S_IFMT != e.kind() {
		has = nil
	}
	return g.made(index, e, has, itemLocal|itemChanged)
}

// kept is for what is there already, but for its attributes.
func (g *generator) kept(index int32, e *entry, name string, has *unix.Stat_t) error {
	changed := g.setAttributes(g.tree, name, e, has, false)
	if g.names >= 2 && g.itemize == 0 {
		g.say(wire.Info, "%s%s", name, choose(changed, "", " is uptodate"))
	}
	return g.made(index, e, has, 0)
}

// made tells of what needed no contents, and of other names for it.
func (g *generator) made(index int32, e *entry, has *unix.Stat_t, flags uint16) error {
	if err := g.tell(index, e, has, flags, ""); err != nil {
		return err
	}
	if g.removeSource && !g.dryRun {
		g.out.MessageInt(wire.Success, index)
	}
	return g.linkWaiting(index)
}

func (g *generator) regularFile(index int32, e *entry, name string, has *unix.Stat_t) error {
	skip := ""
	switch {
	case g.maxSize >= 0 && e.size > g.maxSize:
		skip = "over max-size"
	case g.minSize >= 0 && e.size < g.minSize:
		skip = "under min-size"
	case g.update && has != nil && isRegular(has) && e.modified-has.Mtim.Sec < int64(max(g.modifyWindow, 0)):
		skip = "newer"
	}
	if skip != "" {
		if g.skips > 0 {
			g.say(wire.Info, "%s is %s", name, skip)
		}
		return g.links.skip(g, index, e)
	}
	if has != nil && !isRegular(has) {
		if !g.makeRoom(name, has, "regular file") {
			return g.links.skip(g, index, e)
		}
		has = nil
	}
	if has != nil && g.unchanged(e, name, has) {
		return g.kept(index, e, name, has)
	}
	if has != nil && g.appending > 0 && has.Size >= e.size {
		return g.links.skip(g, index, e)
	}
	if !g.links.lead(index, e, has) {
		return nil
	}
	return g.request(index, e, has, false)
}

// request asks for a file, and tells what is there of it; again is for one
// that did not come out right.
func (g *generator) request(index int32, e *entry, has *unix.Stat_t, again bool) error {
	r := request{index: index, flags: itemTransfer}
	if g.checksum {
		r.flags |= itemChanged
	}
	r.flags = g.itemFlags(e, has, r.flags, "")
	if g.dryRun {
		if err := r.write(g.out); err != nil {
			return err
		}
		return g.linkWaiting(index)
	}
	var basis *os.File
	appended := g.appending > 0 && !again
	if has != nil && has.Size > 0 && (g.wholeFile != 1 || appended) {
		file, stat, err := g.tree.Read(g.where.nameOf(e))
		if err == nil {
			basis = file
			has = &stat
			defer basis.Close()
		}
	}
	g.events.want(index)
	_ = r.write(g.out)
	if basis == nil {
		return delta.Shape{}.Write(g.out)
	}
	shape := delta.ShapeOf(has.Size, g.blockSize, g.protocol, again, g.strong.Kind)
	if appended {
		return shape.Write(g.out)
	}
	return delta.WriteSignature(g.out, basis, shape, g.strong)
}

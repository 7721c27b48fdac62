package rsync

import (
	"errors"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/inmanta/inmanta-docker/sidecar/filelog"
	"github.com/inmanta/inmanta-docker/sidecar/rsync/wire"
)

// condemned is a file to be deleted.
type condemned struct {
	name string
	has  unix.Stat_t
}

// deletePass deletes in all directories of the transfer.
func (g *generator) deletePass() error {
	for _, e := range g.files {
		if e.absent || !e.directory() || !e.content || e.skipped {
			continue
		}
		if has, err := g.look(e, e.name); err != nil || !isDirectory(has) {
			continue
		}
		if err := g.deleteIn(e.name); err != nil {
			return err
		}
	}
	return nil
}

// deleteLate deletes what waited for all transfers.
func (g *generator) deleteLate() error {
	if g.delete == after {
		return g.deletePass()
	}
	for _, one := range g.later {
		if _, err := g.deleteItem(one.name, &one.has); err != nil {
			return err
		}
	}
	return nil
}

// deleteIn deletes what is in a directory of the transfer and not part of it.
// What a rule excludes stays, and everything stays when the sender could not
// read all it has.
func (g *generator) deleteIn(directory string) error {
	if g.tree == nil || g.where.single != "" {
		return nil
	}
	if g.found.Load()&troubleGeneral != 0 && !g.ignoreErrors {
		if !g.warned {
			g.warned = true
			g.say(wire.Info, "IO error encountered -- skipping file deletion")
		}
		return nil
	}
	scope, err := g.scopes.of(directory)
	if err != nil {
		return err
	}
	own, err := g.tree.Stat(directory)
	if err != nil {
		return nil // made by nobody yet
	}
	names, err := g.tree.Names(directory)
	if err != nil {
		g.complain("opendir", g.full(directory), err)
		return nil
	}
	for _, one := range g.lookAt(directory, names) {
		if g.byName.has(one.name) || scope.Excluded(one.name, isDirectory(&one.has)) {
			continue
		}
		if g.oneFileSystem > 0 && one.has.Dev != own.Dev {
			continue
		}
		if g.delete == delayed {
			g.later = append(g.later, one)
			continue
		}
		if _, err := g.deleteItem(one.name, &one.has); err != nil {
			return err
		}
	}
	return nil
}

// lookAt is what is in a directory, in the order it is deleted in: from the
// last to the first.
func (g *generator) lookAt(directory string, names []string) []condemned {
	all := make([]condemned, 0, len(names))
	for _, base := range names {
		name := joined(directory, base)
		if has, err := g.tree.Stat(name); err == nil {
			all = append(all, condemned{name, has})
		}
	}
	slices.SortFunc(all, func(a, b condemned) int {
		return compareNames(b.name, isDirectory(&b.has), a.name, isDirectory(&a.has))
	})
	return all
}

func joined(directory, base string) string {
	if directory == "." {
		return base
	}
	return directory + "/" + base
}

// deleteItem deletes a file, or a directory and what is in it, and says
// whether it is gone.
func (g *generator) deleteItem(name string, has *unix.Stat_t) (gone bool, err error) {
	if isDirectory(has) {
		empty, err := g.emptyDirectory(name, has)
		if err != nil || !empty {
			return false, err
		}
	}
	if g.maxDelete >= 0 && g.deleted >= g.maxDelete {
		g.spared++
		return false, nil
	}
	if !g.remove(name, has) {
		return false, nil
	}
	g.deleted++
	g.countDeleted(has.Mode)
	told := name
	if isDirectory(has) {
		told += "\x00"
	}
	g.out.Message(wire.Deleted, []byte(told))
	return true, nil
}

// emptyDirectory deletes what is in a directory, and says whether nothing is
// left.
func (g *generator) emptyDirectory(directory string, has *unix.Stat_t) (bool, error) {
	if has.Mode&unix.S_IRWXU != unix.S_IRWXU && !g.privileged && !g.dryRun {
		_ = g.tree.Chmod(directory, has.Mode&permissionBits|unix.S_IRWXU)
	}
	scope, err := g.scopes.of(directory)
	if err != nil {
		return false, err
	}
	names, err := g.tree.Names(directory)
	if err != nil {
		g.complain("opendir", g.full(directory), err)
		return false, nil
	}
	empty := true
	for _, one := range g.lookAt(directory, names) {
		kept := scope.ExcludedFirmly(one.name, isDirectory(&one.has))
		if kept || g.oneFileSystem > 0 && one.has.Dev != has.Dev {
			empty = false
			continue
		}
		gone, err := g.deleteItem(one.name, &one.has)
		if err != nil {
			return false, err
		}
		empty = empty && gone
	}
	if !empty {
		g.say(wire.Info, "cannot delete non-empty directory: %s", directory)
	}
	return empty, nil
}

// remove removes one file or empty directory; with --backup a file is kept
// under its other name.
func (g *generator) remove(name string, has *unix.Stat_t) bool {
	if g.dryRun {
		return true
	}
	var err error
	switch {
	case isDirectory(has):
		err = g.tree.Rmdir(name)
	case g.backup && !(g.backupDir == "" && strings.HasSuffix(name, g.suffix)):
		return g.backups.keep(name)
	default:
		err = g.tree.Unlink(name)
	}
	switch {
	case err == nil:
		g.did(filelog.Event{Operation: filelog.Remove, Path: g.full(name)})
		return true
	case errors.Is(err, unix.ENOENT):
		return true
	case errors.Is(err, unix.ENOTEMPTY):
		g.say(wire.Info, "cannot delete non-empty directory: %s", name)
	default:
		g.complain("delete", g.full(name), err)
	}
	return false
}

// makeRoom removes what is in the way of something of another kind. A
// directory must be empty for that, unless --force or --delete is given.
func (g *generator) makeRoom(name string, has *unix.Stat_t, what string) bool {
	gone := false
	if isDirectory(has) && !g.force && g.delete == never {
		names, err := g.tree.Names(name)
		if err == nil && len(names) == 0 {
			gone = g.remove(name, has)
		} else {
			g.say(wire.Info, "cannot delete non-empty directory: %s", name)
		}
	} else {
		empty := true
		if isDirectory(has) {
			var err error
			if empty, err = g.emptyDirectory(name, has); err != nil {
				g.say(wire.Error, "%s", err)
			}
		}
		gone = empty && g.remove(name, has)
	}
	if !gone {
		g.told.Store(true)
		g.say(wire.ErrorXfer, "could not make way for new %s: %s", what, name)
	}
	return gone
}

func (g *generator) countDeleted(mode uint32) {
	switch {
	case mode&unix.S_IFMT == unix.S_IFDIR:
		g.stats.deletedDirs++
	case mode&unix.S_IFMT == unix.S_IFLNK:
		g.stats.deletedLinks++
	case isDevice(mode):
		g.stats.deletedDevice++
	case isSpecial(mode):
		g.stats.deletedOther++
	default:
		g.stats.deletedFiles++
	}
}

// sendDeleteStats tells how much was deleted.
func (g *generator) sendDeleteStats() {
	if g.delete == never && !g.force {
		return
	}
	st := &g.stats
	_ = g.out.Index(wire.IndexDeleteStats)
	for _, number := range []int32{st.deletedFiles, st.deletedDirs, st.deletedLinks, st.deletedDevice, st.deletedOther} {
		_ = g.out.Varint(number)
	}
}

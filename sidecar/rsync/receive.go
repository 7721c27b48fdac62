package rsync

import (
	"golang.org/x/sys/unix"

	"github.com/inmanta/inmanta-docker/sidecar/rsync/filter"
	"github.com/inmanta/inmanta-docker/sidecar/rsync/tree"
	"github.com/inmanta/inmanta-docker/sidecar/rsync/wire"
)

// receiveAll takes a list of files into a destination. Two goroutines share
// the work, as two processes do in rsync: the generator looks at what is there
// and asks for what is not, the receiver writes what comes. So the sender never
// waits for the next request.
func (s *session) receiveAll(given string, rules *filter.Rules) error {
	files, byName, err := s.receiveList()
	if err != nil {
		return err
	}
	s.files = files
	s.listed.Store(true)
	where, err := s.openDestination(files, given)
	if err != nil {
		return err
	}
	if rules.Top, err = absolutePath(where.path); err != nil {
		return err
	}
	g := &generator{
		session: s, files: files, byName: byName, where: where,
		scopes: scopes{root: rules.Scope()}, umask: umask(), links: newLinkGroups(s, files),
	}
	if g.tree, err = where.open(); err != nil {
		return err
	}
	if s.pruneEmpty {
		var failed error
		byName.dropEmpty(func(name string) bool {
			scope, err := g.scopes.of(directoryOf(name))
			if err != nil {
				failed = err
				return true
			}
			return scope.Excluded(name, true)
		})
		if failed != nil {
			return failed
		}
	}
	r := &receiver{session: s, files: files, where: where, backups: &backups{session: s}}
	if g.tree != nil {
		defer g.tree.Close()
		g.backups = &backups{session: s, base: g.tree}
		if r.tree, err = g.tree.Clone(); err != nil {
			return err
		}
		r.backups.base = r.tree
		if s.unfinished.tree, err = g.tree.Clone(); err != nil {
			return err
		}
	}
	s.reading = make(chan struct{})
	go func() {
		defer close(s.reading)
		if err := r.run(); err != nil {
			s.events.add(event{kind: eventFailed, failure: err})
		}
	}()
	err = g.run()
	if err != nil {
		s.stopping.Store(true)
	}
	return err
}

// umask is the process's. There is no way to only look at it.
func umask() uint32 {
	mask := unix.Umask(0)
	unix.Umask(mask)
	return uint32(mask)
}

// nameOf is what a file is called in the destination.
func (d destination) nameOf(e *entry) string {
	if d.single != "" {
		return d.single
	}
	return e.name
}

// scopes are the filter rules of the directories on the way to the one looked
// at last.
type scopes struct {
	root  *filter.Scope
	names []string
	stack []*filter.Scope
}

// of is the rules in force in a directory.
func (s *scopes) of(directory string) (*filter.Scope, error) {
	for i := len(s.names) - 1; i >= 0; i-- {
		name := s.names[i]
		if name == directory {
			s.names, s.stack = s.names[:i+1], s.stack[:i+1]
			return s.stack[i], nil
		}
		if name == "." || len(directory) > len(name) && directory[:len(name)] == name && directory[len(name)] == '/' {
			break
		}
		s.names, s.stack = s.names[:i], s.stack[:i]
	}
	above := s.root
	if directory != "." {
		var err error
		if above, err = s.of(directoryOf(directory)); err != nil {
			return nil, err
		}
	}
	scope, err := above.Enter(directory)
	if err != nil {
		return nil, fatal(exitSyntax, "%s", err)
	}
	s.names, s.stack = append(s.names, directory), append(s.stack, scope)
	return scope, nil
}

// generator asks for files, and does everything that needs no contents.
type generator struct {
	*session
	files   list
	byName  list
	where   destination
	tree    *tree.Tree // nil when a dry run did not make it
	umask   uint32
	scopes  scopes
	links   *linkGroups
	backups *backups

	phase    int
	done     int         // phases that the sender is done with
	skipping string      // nothing below this directory is looked at
	unmade   string      // a dry run did not make this directory
	parent   string      // the last directory known to be in the list
	later    []condemned // deleted after all transfers
	deleted  int
	spared   int  // not deleted because of --max-delete
	warned   bool // of files that are not deleted
}

// run asks for everything, twice for what does not come out right, deletes
// what is to be deleted, and says goodbye.
func (g *generator) run() error {
	if g.delete == before {
		if err := g.deletePass(); err != nil {
			return err
		}
	}
	for i, e := range g.files {
		if e.absent {
			continue
		}
		if err := g.entry(int32(i), e); err != nil {
			return err
		}
		if err := g.attend(-1, false); err != nil {
			return err
		}
	}
	_ = g.out.Index(wire.IndexDone)
	g.phase++
	if err := g.attend(1, true); err != nil {
		return err
	}
	g.phase++
	_ = g.out.Index(wire.IndexDone)
	_ = g.out.Index(wire.IndexDone)
	late := g.delete == delayed || g.delete == after
	if g.protocol >= 31 && !late {
		g.sendDeleteStats()
		_ = g.out.Index(wire.IndexDone)
	}
	if err := g.attend(3, true); err != nil {
		return err
	}
	if err := g.deleteLate(); err != nil {
		return err
	}
	if g.spared > 0 {
		g.say(wire.Warning, "Deletions stopped due to --max-delete limit (%d skipped)", g.spared)
		g.found.Or(troubleDeletes)
	}
	if g.protocol >= 31 {
		if late {
			g.sendDeleteStats()
			_ = g.out.Index(wire.IndexDone)
		}
		if err := g.attend(4, true); err != nil {
			return err
		}
	}
	g.touchDirectories()
	return g.out.Index(wire.IndexDone)
}

// attend deals with what became of files asked for, until the sender is done
// with so many phases. Without wait it only deals with what is known already.
func (g *generator) attend(phases int, wait bool) error {
	for !wait || g.done < phases {
		if wait {
			g.out.Flush()
		}
		one, ok := g.events.take(wait)
		if !ok {
			return nil
		}
		var err error
		switch one.kind {
		case eventPhase:
			g.done++
		case eventFailed:
			err = one.failure
		case eventAgain:
			err = g.again(one.index)
		case eventArrived:
			err = g.linkWaiting(one.index)
		case eventMissing:
			err = g.linkLeaderLost(one.index)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// again asks for a file once more, with the whole checksums of its blocks, and
// whatever the options would say of what is there now.
func (g *generator) again(index int32) error {
	e := g.files[index]
	has, err := g.tree.Stat(g.where.nameOf(e))
	known := &has
	if err != nil || has.Mode&unix.S_IFMT != unix.S_IFREG {
		known = nil
	}
	return g.request(index, e, known, true)
}

// touchDirectories gives directories the modes and times that had to wait
// until nothing is put in them any more.
func (g *generator) touchDirectories() {
	if g.dryRun || g.where.single != "" || g.tree == nil {
		return
	}
	for _, e := range g.files {
		if !e.directory() || e.absent || e.skipped || g.noImplied && e.implied {
			continue
		}
		if g.needsAccess(e) {
			if err := g.tree.Chmod(e.name, e.permissions()); err != nil {
				g.complain("chmod", g.tree.Full(e.name), err)
			}
		}
		if g.keepsTime(e) {
			if has, err := g.tree.Stat(e.name); err == nil && has.Mode&unix.S_IFMT == unix.S_IFDIR {
				kept := *e
				kept.mode = kept.mode&^permissionBits | has.Mode&permissionBits
				kept.skipGroup, kept.uid = true, has.Uid
				g.setAttributes(g.tree, e.name, &kept, &has, false)
			}
		}
	}
}

// needsAccess says whether a directory's mode keeps us from changing what is
// in it.
func (g *generator) needsAccess(e *entry) bool {
	return !g.privileged && e.mode&unix.S_IRWXU != unix.S_IRWXU
}

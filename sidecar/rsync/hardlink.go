package rsync

import (
	"golang.org/x/sys/unix"
)

// linkGroup is all names of one file.
type linkGroup struct {
	leader  int32 // the index of the name that is transferred; -1: none yet
	done    bool  // and it is in its place
	left    int   // names not looked at yet
	seen    map[int32]bool
	waiting []int32
}

// linkGroups are the files with several names, with option --hard-links. One
// name of each is transferred, the others are made links to it: one that is
// there already if possible, else the last one.
type linkGroups struct {
	groups map[int32]*linkGroup
}

func newLinkGroups(s *session, files list) *linkGroups {
	l := &linkGroups{groups: map[int32]*linkGroup{}}
	if !s.hardLinks {
		return l
	}
	names := map[int32]int{}
	for _, e := range files {
		if e.group >= 0 && !e.absent && !e.directory() {
			names[e.group]++
		}
	}
	for group, count := range names {
		if count > 1 {
			l.groups[group] = &linkGroup{leader: -1, left: count, seen: map[int32]bool{}}
		}
	}
	return l
}

// of is the group of a file, nil when it has one name only.
func (l *linkGroups) of(e *entry) *linkGroup {
	if e.group < 0 || len(l.groups) == 0 {
		return nil
	}
	return l.groups[e.group]
}

// look counts a name as looked at.
func (l *linkGroup) look(index int32) {
	if !l.seen[index] {
		l.seen[index] = true
		l.left--
	}
}

// follow makes a file a link to the leader of its group, or lets it wait for
// it, and says that nothing more is to be done.
func (l *linkGroups) follow(g *generator, index int32, e *entry, name string, has *unix.Stat_t) (bool, error) {
	group := l.of(e)
	if group == nil {
		return false, nil
	}
	group.look(index)
	switch {
	case group.leader < 0 || group.leader == index:
		return false, nil
	case !group.done:
		group.waiting = append(group.waiting, index)
		return true, nil
	}
	return true, g.link(index, e, name, g.files[group.leader], has)
}

// lead makes a file the leader of its group, unless it is better to wait for
// one of the names to come: those may be there already.
func (l *linkGroups) lead(index int32, e *entry, has *unix.Stat_t) bool {
	group := l.of(e)
	if group == nil {
		return true
	}
	if has == nil && group.left > 0 {
		group.waiting = append(group.waiting, index)
		return false
	}
	group.leader = index
	return true
}

// skip is for a file that will not be transferred: if others wait for it, one
// of them is.
func (l *linkGroups) skip(g *generator, index int32, e *entry) error {
	group := l.of(e)
	if group == nil {
		return nil
	}
	group.look(index)
	if group.leader == index || group.leader < 0 && group.left == 0 {
		return g.lostLeader(group)
	}
	return nil
}

// link makes a file another name of the leader's.
func (g *generator) link(index int32, e *entry, name string, leader *entry, has *unix.Stat_t) error {
	if g.dryRun {
		return g.tell(index, e, has, itemLocal|itemOtherName, leader.name)
	}
	target, err := g.tree.Stat(leader.name)
	if err == nil && has != nil && has.Dev == target.Dev && has.Ino == target.Ino {
		return g.tell(index, e, has, itemLocal|itemOtherName, "")
	}
	if err == nil && has != nil && isDirectory(has) {
		if !g.makeRoom(name, has, "hard link") {
			return nil
		}
		has = nil
	}
	if err == nil {
		if has == nil {
			err = g.tree.Link(leader.name, name)
		} else if !g.backup || g.backups.keep(name) {
			err = g.tree.Beside(name, func(at string) error { return g.tree.Link(leader.name, at) })
		}
	}
	if err != nil {
		g.complain("link", g.full(name), err)
		return nil
	}
	return g.tell(index, e, has, itemLocal|itemOtherName, leader.name)
}

// linkWaiting makes links to a file that is now in its place.
func (g *generator) linkWaiting(index int32) error {
	group := g.links.of(g.files[index])
	if group == nil || group.leader >= 0 && group.leader != index {
		return nil
	}
	group.leader, group.done = index, true
	waiting := group.waiting
	group.waiting = nil
	for _, other := range waiting {
		e := g.files[other]
		has, _ := g.look(e, e.name)
		if err := g.link(other, e, e.name, g.files[index], has); err != nil {
			return err
		}
	}
	return nil
}

// linkLeaderLost has another name of a file transferred, as this one does not
// come.
func (g *generator) linkLeaderLost(index int32) error {
	group := g.links.of(g.files[index])
	if group == nil || group.leader != index || group.done {
		return nil
	}
	return g.lostLeader(group)
}

// lostLeader looks at those who wait once more, as if for the first time.
func (g *generator) lostLeader(group *linkGroup) error {
	group.leader = -1
	waiting := group.waiting
	group.waiting = nil
	for _, other := range waiting {
		if err := g.entry(other, g.files[other]); err != nil {
			return err
		}
	}
	return nil
}

package filter

import (
	"path"
	"strings"
)

// Scope is the rules in force in one directory: those of the transfer and
// those of files found on the way there. It does not change; directories below
// get scopes of their own.
type Scope struct {
	rules *Rules
	// found are the rules from each file that is looked for in every directory.
	found map[*rule][]*rule
	// looked are the rules that name such files, in the order they came up.
	looked []*rule
}

// Scope is what is in force before any directory is entered.
func (r *Rules) Scope() *Scope {
	s := &Scope{rules: r, found: map[*rule][]*rule{}}
	s.noteMerges(r.list)
	return s
}

// noteMerges remembers which files to look for in every directory from here on.
func (s *Scope) noteMerges(list []*rule) {
	for _, one := range list {
		if one.merge && one.perDirectory && !s.looksFor(one) {
			s.looked = append(s.looked, one)
		}
	}
}

// looksFor says whether a file of this name is looked for already.
func (s *Scope) looksFor(one *rule) bool {
	for _, other := range s.looked {
		if other == one || path.Base(other.pattern) == path.Base(one.pattern) {
			return true
		}
	}
	return false
}

// Enter is the scope of a directory, which is given as a path from the top of
// the transfer and is one below the scope's own, or the first one entered.
func (s *Scope) Enter(directory string) (*Scope, error) {
	if len(s.looked) == 0 {
		return s, nil
	}
	full := directory
	if !path.IsAbs(full) {
		full = path.Join(s.rules.Top, directory)
	}
	inner := &Scope{rules: s.rules, found: make(map[*rule][]*rule, len(s.looked)), looked: s.looked[:len(s.looked):len(s.looked)]}
	// Files found here can name more files to look for, here already.
	for i := 0; i < len(inner.looked); i++ {
		file := inner.looked[i]
		inherited, known := s.found[file]
		if !known {
			var err error
			if inherited, err = inner.above(file, full); err != nil {
				return nil, err
			}
		}
		if file.notInherited {
			inherited = nil
		}
		own, err := s.rules.parseFile(nil, path.Join(full, path.Base(file.pattern)), file, full, 1)
		if err != nil {
			return nil, err
		}
		inner.found[file] = before(own, inherited)
		inner.noteMerges(own)
	}
	return inner, nil
}

// before puts a directory's own rules before the inherited ones, unless it
// wants to have none of those.
func before(own, inherited []*rule) []*rule {
	if len(own) > 0 && own[0].clear {
		return own
	}
	return append(own[:len(own):len(own)], inherited...)
}

// above reads a file that is named with a path in every directory from that
// path's down to the one above the first entered: "/.rules" from / on. Where
// the path leads elsewhere there is nothing above.
func (s *Scope) above(file *rule, entered string) ([]*rule, error) {
	if !strings.Contains(file.pattern, "/") {
		return nil, nil
	}
	from := path.Dir(file.pattern)
	if !path.IsAbs(from) {
		from = path.Join(entered, from)
	}
	rest, inside := strings.CutPrefix(entered, strings.TrimSuffix(from, "/")+"/")
	if !inside {
		return nil, nil
	}
	var found []*rule
	for directory := from; ; {
		own, err := s.rules.parseFile(nil, path.Join(directory, path.Base(file.pattern)), file, directory, 1)
		if err != nil {
			return nil, err
		}
		if file.notInherited {
			own = nil
		}
		found = before(own, found)
		next, after, more := strings.Cut(rest, "/")
		if !more {
			return found, nil
		}
		directory, rest = path.Join(directory, next), after
	}
}

// Excluded says whether a file is not part of the transfer. name is its path
// from the top of the transfer.
func (s *Scope) Excluded(name string, directory bool) bool {
	return s.check(s.rules.list, name, directory, false) == excluded
}

// ExcludedFirmly is Excluded for what is in a directory about to be deleted:
// perishable rules do not count.
func (s *Scope) ExcludedFirmly(name string, directory bool) bool {
	return s.check(s.rules.list, name, directory, true) == excluded
}

type verdict int

const (
	undecided verdict = iota
	included
	excluded
)

// check goes by the first rule that matches.
func (s *Scope) check(list []*rule, name string, directory, firmly bool) verdict {
	for _, one := range list {
		if firmly && one.perishable {
			continue
		}
		switch {
		case one.clear:
		case one.merge:
			// A second rule for a file looked for already stands for nothing.
			if v := s.check(s.found[one], name, directory, firmly); v != undecided {
				return v
			}
		case one.cvs:
			if v := s.check(s.rules.cvs, name, directory, firmly); v != undecided {
				return v
			}
		case one.matches(name, directory, s.rules.Top):
			if one.include {
				return included
			}
			return excluded
		}
	}
	return undecided
}

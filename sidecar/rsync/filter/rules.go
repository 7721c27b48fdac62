package filter

import (
	"errors"
	"fmt"
	"os"
	"path"
	"strings"
)

// Side is which half of a transfer the rules are for.
type Side int

// The two halves of a transfer.
const (
	Sending Side = iota
	Receiving
)

const (
	// mostRules limits what a peer, or files on the way, can make us remember.
	mostRules = 100_000
	// deepest is how deep files that name files can be nested; rsync's limit.
	deepest = 32
	// LongestFile is the longest file of rules, in bytes.
	LongestFile = 4 << 20
)

// ignoredByCVS is what cvs(1) ignores by itself, with what later version
// control systems added to rsync's list.
const ignoredByCVS = "RCS SCCS CVS CVS.adm RCSLOG cvslog.* tags TAGS .make.state .nse_depinfo " +
	"*~ #* .#* ,* _$* *$ *.old *.bak *.BAK *.orig *.rej .del-* *.a *.olb *.o *.obj *.so *.exe " +
	"*.Z *.elc *.ln core .svn/ .git/ .hg/ .bzr/"

// Rules are all rules of a transfer.
type Rules struct {
	// Side is the half of the transfer that this is.
	Side Side
	// DeleteExcluded says that plain rules are for the sending side only.
	DeleteExcluded bool
	// Top is the directory that names are relative to, absolute.
	Top string
	// Read reads a file of rules; one that is not there is [os.ErrNotExist].
	Read func(path string) ([]byte, error)

	list  []*rule
	cvs   []*rule
	count int
}

// Add adds one rule, as it is given to --filter. Files of rules named by it
// are read at once, unless they are looked for in every directory.
func (r *Rules) Add(text string) error {
	var err error
	r.list, err = r.parse(r.list, text, nil, "", 0)
	return err
}

// Empty says that everything is part of the transfer.
func (r *Rules) Empty() bool { return len(r.list) == 0 }

// parse turns text into rules, in front of which are the ones given. directory
// is where files are named from; within is the rule that named the file that
// the text is from.
func (r *Rules) parse(list []*rule, text string, within *rule, directory string, depth int) ([]*rule, error) {
	for {
		one, rest, err := parse(text, within)
		if err != nil || one == nil {
			return list, err
		}
		text = rest
		if r.count++; r.count > mostRules {
			return list, fmt.Errorf("there are more than %d filter rules", mostRules)
		}
		if one.clear {
			// It stays in front, so that what is inherited is forgotten too.
			list = []*rule{one}
		} else if list, err = r.add(list, one, within, directory, depth); err != nil {
			return list, err
		}
		if rest == "" {
			return list, nil
		}
	}
}

// add adds a rule, or what it stands for.
func (r *Rules) add(list []*rule, one, within *rule, directory string, depth int) ([]*rule, error) {
	if one.excludeItself {
		itself := &rule{}
		itself.setPattern(path.Base(one.pattern))
		list = append(list, itself)
	}
	if r.DeleteExcluded && !one.sender && !one.receiver && !one.merge {
		one.sender = true
	}
	if one.sender != one.receiver && one.sender != (r.Side == Sending) {
		return list, nil // for the other side alone
	}
	switch {
	case one.merge && !one.perDirectory:
		name := one.pattern
		if !path.IsAbs(name) {
			name = path.Join(directory, name)
		}
		return r.parseFile(list, name, one, directory, depth+1)
	case one.cvs && !one.merge:
		if err := r.loadCVS(); err != nil {
			return list, err
		}
	case within != nil && one.anchored && !one.absolute:
		one.below = directory
	}
	return append(list, one), nil
}

// parseFile reads a file of rules. One that is not there has none, unless a
// rule named it outright.
func (r *Rules) parseFile(list []*rule, name string, within *rule, directory string, depth int) ([]*rule, error) {
	if depth > deepest {
		return list, fmt.Errorf("files of filter rules name each other more than %d deep: %s", deepest, name)
	}
	data, err := r.Read(name)
	if errors.Is(err, os.ErrNotExist) && within.perDirectory {
		return list, nil
	}
	if err != nil {
		return list, fmt.Errorf("reading filter rules: %w", err)
	}
	if len(data) > LongestFile {
		return list, fmt.Errorf("the file of filter rules %s has more than %d bytes", name, LongestFile)
	}
	for line := range strings.FieldsFuncSeq(string(data), func(c rune) bool { return c == '\n' || c == '\r' }) {
		if !within.words && (line[0] == '#' || line[0] == ';') {
			continue
		}
		if list, err = r.parse(list, line, within, directory, depth); err != nil {
			return list, fmt.Errorf("%s: %w", name, err)
		}
	}
	return list, nil
}

// loadCVS reads what CVS ignores everywhere, once.
func (r *Rules) loadCVS() error {
	if r.cvs != nil {
		return nil
	}
	words := &rule{onlyPatterns: true, words: true, cvs: true, perDirectory: true}
	always := *words
	always.perishable = true
	var err error
	if r.cvs, err = r.parse(nil, ignoredByCVS, &always, "", 0); err != nil {
		return err
	}
	if home := os.Getenv("HOME"); home != "" {
		if r.cvs, err = r.parseFile(r.cvs, path.Join(home, ".cvsignore"), words, "", 1); err != nil {
			return err
		}
	}
	r.cvs, err = r.parse(r.cvs, os.Getenv("CVSIGNORE"), words, "", 0)
	return err
}

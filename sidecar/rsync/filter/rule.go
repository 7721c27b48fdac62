// Package filter decides which files are part of a transfer, by the rules of
// rsync's options --exclude, --include and --filter (rsync(1), FILTER RULES):
// rules from the other side, and rules from files that are looked for in every
// directory on the way.
package filter

import (
	"fmt"
	"strings"
)

// rule is one filter rule.
type rule struct {
	// pattern is without the slash that ends it, and without the one that
	// begins it where anchored says it had one.
	pattern string
	// below is a directory, absolute, that the pattern is to be found in: the
	// one of the file the rule came from. Empty: the top of the transfer.
	below string

	include    bool
	anchored   bool // begins at the top, or at below
	onlyDirs   bool
	negated    bool // matches what the pattern does not
	absolute   bool // the pattern is of paths from /
	perishable bool // does not keep a directory that is being deleted
	sender     bool // is for the sending side
	receiver   bool // is for the receiving side
	attributes bool // is for extended attributes, of which none are transferred

	// merge rules name a file with more rules: read once, or in every directory.
	merge         bool
	perDirectory  bool
	notInherited  bool // by the directories below
	onlyPatterns  bool // each line is a pattern, without a word or sign before it
	words         bool // separated by white space instead of lines
	excludeItself bool

	// cvs stands for the list of what CVS ignores; with merge it is one of
	// its files.
	cvs   bool
	clear bool // forget the rules before

	wild       bool // has "*", "?" or "["
	everywhere bool // has "**"
	fromTop    bool // begins with "**"
	andItself  bool // ends with "***"
	slashes    int
}

// ruleWords are the long names of rules.
var ruleWords = map[string]byte{
	"clear": '!', "dir-merge": ':', "exclude": '-', "hide": 'H', "include": '+',
	"merge": '.', "protect": 'P', "risk": 'R', "show": 'S',
}

// parse takes the first rule off a text. within is the merge rule that named
// the file the text is from, nil for a rule that was given.
func parse(text string, within *rule) (r *rule, rest string, err error) {
	r = &rule{}
	split := false
	if within != nil {
		split = within.words
		r.absolute, r.include, r.onlyDirs = within.absolute, within.include, within.onlyDirs
		r.negated, r.perishable = within.negated, within.perishable
	}
	if split {
		text = strings.TrimLeft(text, " \t\n\v\f\r")
	}
	if text == "" {
		return nil, "", nil
	}
	whole := text
	if within != nil && within.onlyPatterns {
		r.clear = within.cvs && text[0] == '!'
	} else if text, err = r.parseKind(text, split); err != nil {
		return nil, "", err
	}
	if within != nil && (within.sender || within.receiver) {
		if r.sender || r.receiver {
			return nil, "", fmt.Errorf("the filter rule %q names a side, and so does the rule its file was named by", whole)
		}
		r.sender, r.receiver = within.sender, within.receiver
	}
	pattern := text
	if split {
		if end := strings.IndexFunc(text, func(c rune) bool { return c < 0x80 && isSpace(byte(c)) }); end >= 0 {
			pattern, rest = text[:end], text[end:]
		}
	}
	switch {
	case r.clear && within != nil && within.onlyPatterns:
		r.clear = len(pattern) == 1
	case r.clear && pattern != "":
		return nil, "", fmt.Errorf("the filter rule %q has something after its \"!\"", whole)
	case !r.clear && pattern == "" && !r.cvs:
		return nil, "", fmt.Errorf("the filter rule %q has no pattern", whole)
	}
	r.setPattern(pattern)
	return r, rest, nil
}

// parseKind reads what kind of rule it is and its modifiers, and returns the
// pattern. In a list of words a rule ends at white space.
func (r *rule) parseKind(text string, split bool) (string, error) {
	whole := text
	kind := text[0]
	if word, after, found := cutWord(text); found {
		kind, text = word, after
	} else if text = text[1:]; strings.HasPrefix(text, ",") {
		text = text[1:]
	}
	sideGiven := true
	switch kind {
	case ':':
		r.merge, r.perDirectory = true, true
		sideGiven = false
	case '.':
		r.merge = true
		sideGiven = false
	case '+':
		r.include = true
		sideGiven = false
	case '-':
		sideGiven = false
	case 'S':
		r.include, r.sender = true, true
	case 'H':
		r.sender = true
	case 'R':
		r.include, r.receiver = true, true
	case 'P':
		r.receiver = true
	case '!':
		r.clear = true
		return text, nil
	default:
		return "", fmt.Errorf("the filter rule %q is of no known kind", whole)
	}
	for text != "" && text[0] != ' ' && text[0] != '_' {
		if split && isSpace(text[0]) {
			return text, nil
		}
		if !r.modify(text[0], sideGiven) {
			return "", fmt.Errorf("the filter rule %q has a modifier %q that does not go with it", whole, text[:1])
		}
		text = text[1:]
	}
	if text != "" {
		text = text[1:]
	}
	return text, nil
}

// cutWord takes the long name of a rule off a text.
func cutWord(text string) (kind byte, rest string, found bool) {
	end := strings.IndexAny(text, " _,\t\n\v\f\r")
	if end < 0 {
		end = len(text)
	}
	kind, found = ruleWords[text[:end]]
	rest = strings.TrimPrefix(text[end:], ",")
	return kind, rest, found
}

// modify applies one modifier and says whether it is one for this rule.
func (r *rule) modify(modifier byte, sideGiven bool) bool {
	switch modifier {
	case '-', '+':
		if !r.merge || r.onlyPatterns {
			return false
		}
		r.onlyPatterns = true
		r.include = r.include || modifier == '+'
	case '/':
		r.absolute = true
	case '!':
		r.negated = true
		return !r.merge
	case 'C':
		if r.onlyPatterns || sideGiven {
			return false
		}
		r.onlyPatterns, r.words, r.notInherited, r.cvs = true, true, true, true
	case 'e':
		r.excludeItself = true
		return r.merge
	case 'n':
		r.notInherited = true
		return r.merge
	case 'w':
		r.words = true
		return r.merge
	case 'p':
		r.perishable = true
	case 'r':
		r.receiver = true
		return !sideGiven
	case 's':
		r.sender = true
		return !sideGiven
	case 'x':
		r.attributes = true
	default:
		return false
	}
	return true
}

// setPattern takes a pattern apart.
func (r *rule) setPattern(pattern string) {
	if r.merge {
		if r.pattern = pattern; pattern == "" {
			r.pattern = ".cvsignore"
		}
		return
	}
	if len(pattern) > 1 && strings.HasSuffix(pattern, "/") {
		r.onlyDirs = true
		pattern = pattern[:len(pattern)-1]
	}
	r.wild = strings.ContainsAny(pattern, "*[?")
	r.slashes = strings.Count(pattern, "/")
	r.everywhere = strings.Contains(pattern, "**")
	r.fromTop = strings.HasPrefix(pattern, "**")
	r.andItself = r.everywhere && strings.HasSuffix(pattern, "***")
	r.pattern, r.anchored = strings.CutPrefix(pattern, "/")
}

// matches says whether the rule is about a name: a path from the top of the
// transfer, of a directory or not. top is where that is, absolute.
func (r *rule) matches(name string, directory bool, top string) bool {
	return !r.attributes && r.patternMatches(name, directory, top) != r.negated
}

func (r *rule) patternMatches(name string, directory bool, top string) bool {
	if r.onlyDirs && !directory {
		return false
	}
	fromRoot := strings.HasPrefix(name, "/")
	name = strings.TrimPrefix(name, "/")
	switch {
	case r.below != "":
		full := name
		if !fromRoot {
			full = strings.TrimPrefix(top+"/"+name, "/")
		}
		inside, is := strings.CutPrefix(full, strings.TrimPrefix(r.below, "/"))
		if r.below != "/" {
			if !is || !strings.HasPrefix(inside, "/") {
				return false
			}
			inside = inside[1:]
		}
		name = inside
	case r.slashes == 0 && !r.everywhere:
		name = name[strings.LastIndexByte(name, '/')+1:]
	case r.absolute && !fromRoot:
		name = strings.TrimPrefix(top+"/"+name, "/")
	case r.fromTop && !fromRoot:
		name = "/" + name
	}
	if directory && r.andItself {
		name += "/"
	}
	if !r.wild {
		if r.anchored || name == r.pattern {
			return name == r.pattern
		}
		return strings.HasSuffix(name, "/"+r.pattern)
	}
	switch {
	case r.anchored, r.fromTop:
		return wildcard(r.pattern, name)
	case r.everywhere:
		for {
			if wildcard(r.pattern, name) {
				return true
			}
			_, after, found := strings.Cut(name, "/")
			if !found {
				return false
			}
			name = after
		}
	case r.slashes > 0:
		// As many elements, from the end, as the pattern has.
		elements := r.slashes + 1
		for i := len(name) - 1; i >= 0; i-- {
			if name[i] == '/' {
				if elements--; elements == 0 {
					return wildcard(r.pattern, name[i+1:])
				}
			}
		}
		return elements == 1 && wildcard(r.pattern, name)
	}
	return wildcard(r.pattern, name)
}

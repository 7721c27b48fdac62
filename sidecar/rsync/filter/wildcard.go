package filter

import "strings"

// wildcard says whether a text matches a pattern: "?" is any byte but a slash,
// "*" any run of such bytes, "**" any run at all, "[…]" a set, and a backslash
// takes the meaning of what follows.
//
// It remembers the last "*" and the last "**" and tries again from there; as
// earlier ones cannot help any more, no pattern takes more than the product of
// the lengths.
func wildcard(pattern, text string) bool {
	type mark struct{ pattern, text int }
	none := mark{-1, -1}
	star, stars := none, none
	p, t := 0, 0
	for {
		if p < len(pattern) && pattern[p] == '*' {
			p++
			if p < len(pattern) && pattern[p] == '*' {
				for p < len(pattern) && pattern[p] == '*' {
					p++
				}
				stars, star = mark{p, t}, none
			} else {
				star = mark{p, t}
			}
			continue
		}
		if t == len(text) && p == len(pattern) {
			return true
		}
		if t < len(text) && p < len(pattern) {
			if next, ok := one(pattern, p, text[t]); ok {
				p, t = next, t+1
				continue
			}
		}
		switch {
		case star.pattern >= 0 && star.text < len(text) && text[star.text] != '/':
			star.text++
			p, t = star.pattern, star.text
		case stars.pattern >= 0 && stars.text < len(text):
			stars.text++
			star = none
			p, t = stars.pattern, stars.text
		default:
			return false
		}
	}
}

// one matches one byte against what is in the pattern at p, and says where the
// pattern goes on.
func one(pattern string, p int, b byte) (next int, ok bool) {
	switch c := pattern[p]; c {
	case '?':
		return p + 1, b != '/'
	case '[':
		return set(pattern, p+1, b)
	case '\\':
		if p+1 == len(pattern) {
			return 0, false
		}
		return p + 2, pattern[p+1] == b
	default:
		return p + 1, c == b
	}
}

// classes are the named sets: [[:digit:]].
var classes = map[string]func(byte) bool{
	"alnum":  func(b byte) bool { return isLetter(b) || isDigit(b) },
	"alpha":  isLetter,
	"blank":  func(b byte) bool { return b == ' ' || b == '\t' },
	"cntrl":  func(b byte) bool { return b < ' ' || b == 0x7f },
	"digit":  isDigit,
	"graph":  func(b byte) bool { return b > ' ' && b < 0x7f },
	"lower":  func(b byte) bool { return b >= 'a' && b <= 'z' },
	"print":  func(b byte) bool { return b >= ' ' && b < 0x7f },
	"punct":  func(b byte) bool { return b > ' ' && b < 0x7f && !isLetter(b) && !isDigit(b) },
	"space":  isSpace,
	"upper":  func(b byte) bool { return b >= 'A' && b <= 'Z' },
	"xdigit": func(b byte) bool { return isDigit(b) || b|0x20 >= 'a' && b|0x20 <= 'f' },
}

func isLetter(b byte) bool { return b|0x20 >= 'a' && b|0x20 <= 'z' }
func isDigit(b byte) bool  { return b >= '0' && b <= '9' }
func isSpace(b byte) bool  { return b == ' ' || b >= '\t' && b <= '\r' }

// set matches one byte against the set whose "[" is before p. A set that does
// not end matches nothing, and none matches a slash.
func set(pattern string, p int, b byte) (next int, ok bool) {
	negated := p < len(pattern) && (pattern[p] == '!' || pattern[p] == '^')
	if negated {
		p++
	}
	matched := false
	low := -1 // the byte before, where a range can begin
	for first := true; ; first = false {
		if p >= len(pattern) {
			return 0, false
		}
		c := pattern[p]
		if c == ']' && !first {
			break
		}
		switch {
		case c == '[' && p+1 < len(pattern) && pattern[p+1] == ':':
			end := strings.IndexByte(pattern[p+2:], ']')
			if end < 0 {
				return 0, false
			}
			name := pattern[p+2 : p+2+end]
			if name, named := strings.CutSuffix(name, ":"); named {
				class, known := classes[name]
				if !known {
					return 0, false
				}
				matched = matched || class(b)
				p += 2 + end + 1
				low = -1
				continue
			}
		case c == '-' && low >= 0 && p+1 < len(pattern) && pattern[p+1] != ']':
			p++
			if pattern[p] == '\\' {
				if p++; p >= len(pattern) {
					return 0, false
				}
			}
			matched = matched || int(b) >= low && b <= pattern[p]
			p++
			low = -1
			continue
		case c == '\\':
			if p++; p >= len(pattern) {
				return 0, false
			}
			c = pattern[p]
		}
		matched = matched || c == b
		low = int(c)
		p++
	}
	return p + 1, matched != negated && b != '/'
}

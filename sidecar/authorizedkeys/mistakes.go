package authorizedkeys

import (
	"encoding/base64"
	"fmt"
	"slices"
	"strings"
	"unicode"
)

// Most lines that are refused are one of a few mistakes. This file knows them:
// nothing in it lets a line pass, it only says better what to do.

// unreadable refuses a text as a whole.
func unreadable(text string) *Fault {
	if len(text) > LargestText {
		return wrong("check that this is a list of public keys", "it has %d bytes, more than the %d that are read", len(text), LargestText)
	}
	if strings.HasPrefix(text, "\xff\xfe") || strings.HasPrefix(text, "\xfe\xff") {
		return wrong("save it as UTF-8, or as plain ASCII", "it is in UTF-16, as Windows PowerShell writes files")
	}
	return nil
}

// unusable refuses a line before it is looked into.
func unusable(line string) *Fault {
	if len(line) > LongestLine {
		return wrong("put each key on a line of its own", "the line has %d bytes, more than the %d that are read", len(line), LongestLine)
	}
	for at, r := range line {
		switch {
		case r == '\r':
			return wrong("save the text with Unix line ends", "there is a carriage return at byte %d: several lines run together", at+1)
		case unicode.IsControl(r) && r != '\t':
			return wrong("type the line again, or "+copyAgain, "there is the control character %U at byte %d", r, at+1)
		}
	}
	return nil
}

// block is something of several lines that was pasted whole, so that it is one
// fault and not one a line. The zero value is none.
type block struct{ open bool }

// begin opens a block at its first line, and gives its fault.
func (b *block) begin(line string) *Fault {
	fault := pastedFile(line)
	b.open = fault != nil && !strings.Contains(line, "-- END") && !strings.Contains(line, "--END")
	return fault
}

// holds is whether a line belongs to the block that is open, closing it at its
// end. No line it swallows could have been a key: those have a type and a blank.
func (b *block) holds(line string) bool {
	if !b.open {
		return false
	}
	header, _, isHeader := strings.Cut(line, ": ")
	ends := strings.HasPrefix(line, "-----END") || strings.HasPrefix(line, "---- END") || header == "Private-MAC"
	inside := ends || isHeader && !strings.ContainsAny(header, " ,\"\t") || strings.Trim(line, base64Letters) == ""
	b.open = inside && !ends
	return inside
}

// pastedFile is the fault of a line that begins a key in another format; nil
// where it does not.
func pastedFile(line string) *Fault {
	switch {
	case strings.HasPrefix(line, "-----BEGIN") && strings.Contains(line, "PRIVATE KEY"), strings.HasPrefix(line, "PuTTY-User-Key-File"):
		return privateKey()
	case strings.HasPrefix(line, "---- BEGIN SSH2 PUBLIC KEY"):
		return wrong("convert it with `ssh-keygen -i -f FILE` and put the one line that prints here",
			"this is a public key in the format of RFC 4716, which takes several lines")
	case strings.HasPrefix(line, "-----BEGIN"):
		return wrong("convert it with `ssh-keygen -i -m PKCS8 -f FILE` and put the one line that prints here",
			"this is a public key or a certificate in the PEM format, which ssh does not use")
	}
	return nil
}

func privateKey() *Fault {
	return wrong("put the .pub file's line here; the private key never leaves its owner: make a new one if others can read this",
		"this is a private key")
}

func literalBreak() *Fault {
	return wrong(`put a real line break there: in .env, write the value in double quotes, one key a line or \n between them`,
		`there is a backslash and an n where one line should end and the next key begin`)
}

func severalKeys() *Fault {
	return wrong("put each key on a line of its own; in .env, a value of several lines stands in double quotes",
		"there is a second key on the line, which would never be let in")
}

// oneKey refuses what stands in the comment of a key and is another one.
func oneKey(comment string) *Fault {
	words := strings.Fields(comment)
	for i := 1; i < len(words); i++ {
		ends := func(kind string) bool { return strings.HasSuffix(words[i-1], kind) }
		if !strings.HasPrefix(words[i], "AAAA") || !slices.ContainsFunc(keyTypes, ends) {
			continue
		}
		if strings.Contains(comment, `\n`) {
			return literalBreak()
		}
		return severalKeys()
	}
	return nil
}

// mistaken knows lines that begin neither with a key type nor with an option;
// nil where it does not know better than parseOptions.
func mistaken(line string) *Fault {
	word, _ := cutBlank(line)
	switch {
	case word == "@cert-authority":
		return wrong("write cert-authority without the @, and no names of hosts after it",
			"@cert-authority is how a known_hosts file says it")
	case word == "@revoked":
		return wrong("take the line out: a key that is not listed is not let in",
			"@revoked is of known_hosts files")
	case line[0] == '|', line[0] == '[':
		return knownHosts()
	case line[0] == '"', line[0] == '\'':
		return wrong("take the quotes around the line away", "the line begins with a quote")
	case strings.HasPrefix(line, "b3BlbnNzaC1rZXk"): // base64 of "openssh-key"
		return privateKey()
	case strings.HasPrefix(word, "AAAA"):
		return withoutType(word, "the line begins with the key")
	}
	return foreignType(word)
}

func knownHosts() *Fault {
	return wrong("put the line of the user's .pub file here; a known_hosts file lists servers",
		"the line begins with the name of a host, as in a known_hosts file")
}

// withoutType is the fault of base64 that no type precedes.
func withoutType(encoded, what string) *Fault {
	fix := copyAgain
	if blob, err := base64.StdEncoding.DecodeString(encoded); err == nil && isKeyType(typeIn(blob)) {
		fix = "write " + typeIn(blob) + " and a blank in front of it, or join it with the end of the line above"
	}
	return wrong(fix, "%s, without its type in front", what)
}

// foreignType is the fault of a word that is meant as a type of keys; nil where it is not.
func foreignType(word string) *Fault {
	switch {
	case isCertificateType(word):
		return certificate()
	case word == "ssh-dss":
		return wrong(makeNew, "this is a DSA key, and those are not accepted: they are too short to be safe")
	case word == "rsa-sha2-256", word == "rsa-sha2-512":
		return wrong("write ssh-rsa", "%s is how an RSA key signs, not a type of keys", word)
	}
	for _, kind := range []string{"ssh-", "ecdsa-", "sk-"} {
		if !strings.HasPrefix(strings.ToLower(word), kind) {
			continue
		}
		if fault := foreignCharacter(word); fault != nil {
			return fault
		}
		fix := makeNew
		if meant := nearest(word, keyTypes); meant != "" {
			fix = "write " + meant + ", if that is what the .pub file says"
		}
		return wrong(fix, "%s is not a type of keys that is known here", shown(word))
	}
	return nil
}

// noKeyType is the fault of a line that goes on after its options with
// something else than the type of a key.
func noKeyType(word string) *Fault {
	if word == "" {
		return wrong(copyAgain, "after the options there is no key")
	}
	if fault := foreignType(word); fault != nil {
		return fault
	}
	name, _, _ := strings.Cut(strings.ToLower(word), "=")
	name, _, _ = strings.Cut(name, ",")
	switch {
	case strings.HasPrefix(word, "AAAA"):
		return withoutType(word, "after the options comes the key")
	case name == "" || slices.Contains(optionNames(), name):
		return wrong("separate options by a comma alone, and put the key after the first blank",
			"there is a blank between the options")
	}
	return wrong(copyAgain, "%s stands where the type of the key belongs", shown(word))
}

// unknown is the fault of a word that stands where an option belongs.
func unknown(word, rest string) *Fault {
	name := strings.ToLower(word)
	next, _ := cutBlank(strings.TrimLeft(rest, " \t"))
	if fault := foreignCharacter(word); fault != nil {
		return fault
	}
	switch {
	case isKeyMaterial(word):
		return wrong("join it with the line above, if that is cut off: a key is one line without a break",
			"the line begins in the middle of a key")
	case isKeyType(next) && strings.ContainsAny(word, ".:"):
		return knownHosts()
	}
	fix := "take it out, or write one of the options of sshd(8); the line counts only once every option is known"
	if meant := nearest(name, append(optionNames(), keyTypes...)); meant != "" {
		fix = "write " + meant + ", if that is meant: the line counts only once every option is known"
	}
	return wrong(fix, "there is no option %s", shown(word))
}

// foreignCharacter is the fault of a word with what no keyword has in it, like
// the blanks that word processors write; nil where all of it is ASCII.
func foreignCharacter(word string) *Fault {
	for _, r := range word {
		if r > unicode.MaxASCII {
			return wrong("type it again with the keyboard's own characters, or "+copyAgain,
				"there is the character %s where only options or a key's type may stand", named(r))
		}
	}
	return nil
}

// isKeyMaterial is whether a word may be part of a key, and is not to be shown.
func isKeyMaterial(word string) bool {
	return len(word) >= leastKey && strings.Trim(word, base64Letters) == ""
}

// leastKey is how many letters of base64 in a row are taken for part of a key.
const leastKey = 24

// shown is a piece of a line in quotes, escaped, short, and without what may be
// part of a key.
func shown(text string) string {
	const most = 40
	var kept strings.Builder
	for text != "" {
		after := strings.TrimLeft(text, base64Letters)
		if run := text[:len(text)-len(after)]; len(run) < leastKey {
			kept.WriteString(run)
		} else {
			kept.WriteString("…")
		}
		end := strings.IndexAny(after, base64Letters)
		if end < 0 {
			end = len(after)
		}
		kept.WriteString(after[:end])
		text = after[end:]
	}
	short := kept.String()
	if runes := []rune(short); len(runes) > most {
		short = string(runes[:most]) + "…"
	}
	return fmt.Sprintf("%q", short)
}

// named is a character for a person, the invisible ones included.
func named(r rune) string {
	if r > unicode.MaxASCII {
		return fmt.Sprintf("%U", r)
	}
	return fmt.Sprintf("%q", r)
}

// nearest is the one of the names that differs from a word by the fewest
// letters; "" where all are too far from it to have been meant.
func nearest(word string, names []string) string {
	const most = 2
	if len(word) > 64 { // no name is so long
		return ""
	}
	best, found := most+1, ""
	for _, name := range slices.Sorted(slices.Values(names)) {
		if d := distance(strings.ToLower(word), name); d < best && d <= len(name)/2 {
			best, found = d, name
		}
	}
	return found
}

// distance is the number of bytes to put in, take out or replace to make b of a.
func distance(a, b string) int {
	previous := make([]int, len(b)+1)
	for j := range previous {
		previous[j] = j
	}
	for i := range len(a) {
		current := make([]int, len(b)+1)
		current[0] = i + 1
		for j := range len(b) {
			replaced := previous[j]
			if a[i] != b[j] {
				replaced++
			}
			current[j+1] = min(replaced, previous[j+1]+1, current[j]+1)
		}
		previous = current
	}
	return previous[len(b)]
}

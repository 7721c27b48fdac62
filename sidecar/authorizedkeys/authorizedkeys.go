// Package authorizedkeys decides who may log in over ssh, and to do what. Parse
// reads the text of an authorized_keys file, in the format of sshd(8); Decide
// weighs one attempt to log in against what was read. Both are pure.
//
// It fails closed, where sshd is lenient: a line with anything in it that is
// not understood, that this server cannot enforce, or that could never let
// anybody in is refused whole and told as a Fault, so that a misspelt
// restriction is never a restriction less.
package authorizedkeys

import (
	"encoding/base64"
	"fmt"
	"strings"
	"time"

	"golang.org/x/crypto/ssh"
)

// Places are where the ssh sidecar looks for keys in its container, besides its
// variable: a file, or a folder of them. Neither need be there.
var Places = []string{"/etc/inmanta-sidecar/authorized_keys", "/etc/inmanta-sidecar/authorized_keys.d"}

// Limits of what Parse reads, so that a wrong file costs neither memory nor
// time. An RSA key of 16384 bits, the largest there is, takes 2.8 KiB.
const (
	LargestText = 4 << 20  // bytes of one source
	LongestLine = 16 << 10 // bytes
	MostLines   = 4096     // lines that are neither empty nor a comment
)

// SmallestRSA is the least bits of an RSA key, an authority's included.
const SmallestRSA = 2048

// Fault is one line that was refused, or a whole source where Line is 0. Its
// texts never show a key in full, and escape what is not printable.
type Fault struct {
	// Source is what Parse was told the text is from.
	Source string
	// Line counts from 1.
	Line int
	// What is wrong and Fix what to do, each a sentence without its full stop.
	What, Fix string
}

// Where is the source and the line, for a person.
func (f Fault) Where() string { return where(f.Source, f.Line) }

func where(source string, line int) string {
	if line == 0 {
		return source
	}
	return fmt.Sprintf("%s, line %d", source, line)
}

// Key is one line that was understood.
type Key struct {
	Public  ssh.PublicKey
	Comment string // valid UTF-8 without control characters but tabs; may be empty
	Source  string // what Parse was told the text is from
	Line    int    // counts from 1
	// Authority is whether the key signs certificates rather than logs in itself.
	Authority bool
	Options   Options

	// blob is the key on the wire: what attempts are compared with. A Key that
	// Parse did not make has none, and so lets nobody in.
	blob string
}

// Where is the source and the line, for a person.
func (k Key) Where() string { return where(k.Source, k.Line) }

// Options are what the line says of its key, with `restrict` and the like
// resolved. X11 is not among them because the server never forwards it, nor is
// `tunnel`, because there are no tunnels.
type Options struct {
	// PTY, AgentForwarding, PortForwarding and UserRC are true unless the line takes them away.
	PTY, AgentForwarding, PortForwarding, UserRC bool
	// NoTouchRequired is whether a security key may sign without being touched.
	NoTouchRequired bool
	// Command is what runs whatever the client asks for; empty where the line forces none.
	Command string
	// Principals, on an authority's line, replace the name of the user among
	// those a certificate has to be for; empty where the line names none.
	Principals []string
	// Expires is the last moment the line counts; zero where it has no end.
	Expires time.Time

	from   sources
	open   []endpoint
	listen []endpoint
}

// Parse reads the text of an authorized_keys file. The keys are in the order of
// their lines, duplicates included, because the first line that lets an attempt
// in decides what it may do. Each refused line is a fault and gives no key; a
// text without keys gives neither. Source names the text in both.
//
// A key on a refused line is refused on every later line too: the first was to
// decide, perhaps to restrict, and nobody can tell what it would have said.
//
// Times of `expiry-time` without a Z are in the local time zone, as with sshd.
func Parse(source, text string) ([]Key, []Fault) {
	if fault := unreadable(text); fault != nil {
		fault.Source = source
		return nil, []Fault{*fault}
	}
	var keys []Key
	var faults []Fault
	var pasted block
	barred := map[string]int{} // keys of refused lines, and the first such line
	number, entries := 0, 0
	for line := range strings.SplitSeq(text, "\n") {
		number++
		line = tidy(line)
		if pasted.holds(line) || line == "" || line[0] == '#' {
			continue
		}
		if entries++; entries > MostLines {
			faults = append(faults, Fault{source, number,
				fmt.Sprintf("it is the first of the lines beyond %d, and those are not read", MostLines),
				"take out the keys that nobody uses any more, or let a certificate authority sign them"})
			break
		}
		var key Key
		fault := pasted.begin(line)
		if fault == nil {
			key, fault = parseLine(line)
		}
		if earlier, is := barred[key.blob]; fault == nil && is {
			fault = wrong(fmt.Sprintf("mend line %d, or take it out", earlier),
				"its key stands on line %d too, which is refused: what that takes away no other line may give", earlier)
		}
		if fault != nil {
			fault.Source, fault.Line = source, number
			faults = append(faults, *fault)
			bar(barred, line, number)
			continue
		}
		key.Source, key.Line = source, number
		keys = append(keys, key)
	}
	return keys, faults
}

// bar remembers all keys on a refused line.
func bar(barred map[string]int, line string, number int) {
	for _, run := range strings.FieldsFunc(line, func(r rune) bool { return !strings.ContainsRune(base64Letters, r) }) {
		blob, err := base64.StdEncoding.DecodeString(strings.TrimLeft(run, "="))
		if err != nil {
			continue
		}
		public, err := ssh.ParsePublicKey(blob)
		if err != nil {
			continue
		}
		if blob := string(public.Marshal()); barred[blob] == 0 {
			barred[blob] = number
		}
	}
}

// tidy takes off what editors and other systems put around a line without
// meaning anything by it.
func tidy(line string) string {
	line = strings.TrimPrefix(line, "\ufeff") // byte order mark
	line = strings.TrimSuffix(line, "\r")
	return strings.Trim(line, " \t")
}

// parseLine reads one line that is neither empty nor a comment.
func parseLine(line string) (Key, *Fault) {
	if fault := unusable(line); fault != nil {
		return Key{}, fault
	}
	key := Key{Options: unrestricted()}
	rest := line
	if kind, _ := cutBlank(line); !isKeyType(kind) {
		if fault := mistaken(line); fault != nil {
			return Key{}, fault
		}
		var fault *Fault
		if rest, fault = parseOptions(line, &key); fault != nil {
			return Key{}, fault
		}
	}
	kind, rest := cutBlank(rest)
	encoded, comment := cutBlank(rest)
	if fault := oneKey(comment); fault != nil {
		return Key{}, fault
	}
	var fault *Fault
	if key.Public, fault = parseKey(kind, encoded); fault != nil {
		return Key{}, fault
	}
	key.Comment = strings.ToValidUTF8(comment, "\ufffd")
	key.blob = string(key.Public.Marshal())
	return key, nil
}

// cutBlank takes the first word off, and the blanks after it.
func cutBlank(line string) (word, rest string) {
	end := strings.IndexAny(line, " \t")
	if end < 0 {
		return line, ""
	}
	return line[:end], strings.TrimLeft(line[end:], " \t")
}

// wrong is a fault whose place is not known yet.
func wrong(fix, what string, values ...any) *Fault {
	return &Fault{What: fmt.Sprintf(what, values...), Fix: fix}
}

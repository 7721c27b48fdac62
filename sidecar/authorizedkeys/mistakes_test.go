package authorizedkeys

import (
	"bytes"
	"crypto/ed25519"
	"encoding/pem"
	"fmt"
	"strings"
	"testing"

	"golang.org/x/crypto/ssh"
)

// keysText puts the keys of the tests where a text says ALICE and BOB, their
// base64 alone where it says alice64 and bob64, and its two halves.
func keysText(text string) string {
	a, b := written(alice.PublicKey()), written(bob.PublicKey())
	_, a64, _ := strings.Cut(a, " ")
	_, b64, _ := strings.Cut(b, " ")
	return strings.NewReplacer("ALICE", a, "BOB", b, "alice64", a64, "bob64", b64,
		"alice1st", a64[:30], "alice2nd", a64[30:]).Replace(text)
}

func TestWhatIsFineAroundKeys(t *testing.T) {
	t.Parallel()
	for name, text := range map[string]string{
		"one line":         "ALICE",
		"with a break":     "ALICE\n",
		"comment":          "# who\nALICE\n",
		"indented comment": " \t# who\nALICE",
		"blank lines":      "\n \n\t\nALICE\n\n",
		"Windows breaks":   "ALICE\r\n\r\n",
		"byte order mark":  "\ufeffALICE",
		"marked comment":   "\ufeff# who\nALICE",
		"indented":         " \tALICE",
		"blanks behind":    "ALICE \t ",
		"tabs":             "restrict\t \tssh-ed25519\t alice64\tits  owner",
		"no options":       "ssh-ed25519 alice64 restrict",
	} {
		keys := must(t, keysText(text))
		if len(keys) != 1 || keys[0].blob != string(alice.PublicKey().Marshal()) {
			t.Errorf("%s: %d keys", name, len(keys))
		}
	}
}

func TestComments(t *testing.T) {
	t.Parallel()
	for line, want := range map[string]string{
		"ALICE":                            "",
		"ALICE alice@example.com":          "alice@example.com",
		"ALICE  a \t b ":                   "a \t b",
		"ALICE # not a remark":             "# not a remark",
		"ALICE CORP\\nick":                 `CORP\nick`,
		"ALICE line\\n":                    `line\n`,
		"ALICE my ssh-rsa key":             "my ssh-rsa key",
		"ALICE Zo\u00eb":                   "Zo\u00eb",
		"ALICE Zo\xeb":                     "Zo\ufffd",
		"no-pty ALICE restrict,from=\"x\"": `restrict,from="x"`,
	} {
		if keys := must(t, keysText(line)); keys[0].Comment != want {
			t.Errorf("%s: the comment is %q, want %q", line, keys[0].Comment, want)
		}
	}
}

// mistakes are texts with one line that is refused, what is said of it, and
// what is said to do, the latter two in part.
var mistakes = []struct {
	name, text string
	line       int
	what, fix  string
}{
	// Another thing than a public key.
	{"private key", "-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1rZXktdjEAAAAABG5vbmU\nabcd\n-----END OPENSSH PRIVATE KEY-----\nALICE", 1, "this is a private key", "put the .pub file's line here"},
	{"private key of old", "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,0\n\nMIIEpAIB\n-----END RSA PRIVATE KEY-----\n", 1, "this is a private key", ".pub file"},
	{"private key on one line", "-----BEGIN OPENSSH PRIVATE KEY-----b3BlbnNzaC1rZXk-----END OPENSSH PRIVATE KEY-----\nALICE", 1, "this is a private key", ".pub file"},
	{"private key without its first line", "b3BlbnNzaC1rZXktdjEAAAAABG5vbmUAAAAEbm9uZQ\n", 1, "this is a private key", ".pub file"},
	{"private key cut short", "-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNz\nALICE\n", 1, "this is a private key", ".pub file"},
	{"PuTTY key", "PuTTY-User-Key-File-3: ssh-ed25519\nEncryption: none\nComment: me\nPublic-Lines: 1\nAAAA\nPrivate-Lines: 1\nAAAA\nPrivate-MAC: 00\nALICE", 1, "this is a private key", ".pub file"},
	{"RFC 4716", "---- BEGIN SSH2 PUBLIC KEY ----\nComment: \"me\"\nAAAAC3Nz\n---- END SSH2 PUBLIC KEY ----\nALICE", 1, "RFC 4716", "ssh-keygen -i -f"},
	{"PEM", "-----BEGIN PUBLIC KEY-----\nMIIB\n-----END PUBLIC KEY-----\n", 1, "PEM format", "ssh-keygen -i -m PKCS8"},
	{"known_hosts authority", "@cert-authority *.example.com ALICE", 1, "known_hosts", "write cert-authority without the @"},
	{"known_hosts revocation", "@revoked * ALICE", 1, "known_hosts", "take the line out"},
	{"known_hosts name", "server.example.com ALICE", 1, "known_hosts", "user's .pub file"},
	{"known_hosts names", "server.example.com,192.0.2.1 ALICE", 1, `no option "server.example.com"`, "take it out"},
	{"known_hosts port", "[server.example.com]:2222 ALICE", 1, "known_hosts", "user's .pub file"},
	{"known_hosts hash", "|1|aGFzaA==|aGFzaA== ALICE", 1, "known_hosts", "user's .pub file"},
	{"file name", "/home/me/.ssh/id_ed25519.pub", 1, `there is no option "/home/me/.ssh/id_ed25519.pub"`, "take it out"},
	{"variable", "INMANTA_AUTHORIZED_KEYS=ALICE", 1, `no option "INMANTA_AUTHORIZED_KEYS"`, "take it out"},
	{"UTF-16", "\xff\xfes\x00s\x00h\x00", 0, "UTF-16", "save it as UTF-8"},

	// Several keys where there should be one, and one where there should be several.
	{"two on a line", "ALICE alice BOB bob", 1, "a second key on the line", "each key on a line of its own"},
	{"two without comments", "ALICE BOB", 1, "a second key on the line", "each key on a line of its own"},
	{"two with options", "ALICE alice restrict BOB bob", 1, "a second key on the line", "each key on a line of its own"},
	{"two and a comma", "ALICE,BOB", 1, "a second key on the line", "each key on a line of its own"},
	{"two and a semicolon", "ALICE me;BOB", 1, "a second key on the line", "each key on a line of its own"},
	{"literal \\n", `ALICE alice\nBOB bob`, 1, "a backslash and an n", "in .env, write the value in double quotes"},
	{"literal \\n without comments", `ALICE\nBOB`, 1, "a backslash and an n", "in .env, write the value in double quotes"},
	{"literal \\n and blanks", `ALICE alice \n BOB bob`, 1, "a backslash and an n", "in .env, write the value in double quotes"},
	{"literal \\n and options", `ALICE alice\nrestrict,pty BOB bob`, 1, "a backslash and an n", "in .env, write the value in double quotes"},
	{"literal \\n at the end", `ALICE\n`, 1, "a backslash and an n", "in .env, write the value in double quotes"},
	{"Macintosh breaks", "ALICE me\rBOB me", 1, "carriage return", "Unix line ends"},
	{"break after the type", "BOB\nssh-ed25519\n", 2, "after ssh-ed25519 there is no key", "without a break"},
	{"break before the key", "BOB\nalice64 me", 2, "begins with the key, without its type", "write ssh-ed25519 and a blank in front of it, or join"},
	{"break in the key", "ssh-ed25519 alice1st\n", 1, "the key is cut off", "without a break"},
	{"rest of a key", "BOB\nalice2nd me", 2, "begins in the middle of a key", "join it with the line above"},
	{"line in quotes", `"ALICE"`, 1, "begins with a quote", "take the quotes"},
	{"line in single quotes", `'ALICE me'`, 1, "begins with a quote", "take the quotes"},

	// The key.
	{"placeholder", "ssh-ed25519 AAAA... me", 1, `character '.' at place 5`, "copy the line of the .pub file again"},
	{"no base64", "ssh-ed25519 hello-world me", 1, `character '-' at place 6`, "copy the line"},
	{"no key", "ssh-ed25519", 1, "after ssh-ed25519 there is no key", "copy the line"},
	{"no key after options", "restrict,pty", 1, "after the options there is no key", "copy the line"},
	{"no padding", "ecdsa-sha2-nistp256 AAAAE2VjZHNhLXNoYTItbmlzdHAyNTYAAAAIbmlzdHA=", 1, "cut off or altered", "copy the line"},
	{"four letters", "ssh-ed25519 AAAA me", 1, "cut off or altered", "copy the line"},
	{"of zeros", "ssh-ed25519 AAAAAAAAAAAAAAAA me", 1, "cut off or altered", "copy the line"},
	{"something behind", "ssh-ed25519 alice64AAAA me", 1, "cut off or altered", "copy the line"},
	{"type of another key", "ssh-rsa alice64 me", 1, "says ssh-rsa, but the key is of type ssh-ed25519", "write ssh-ed25519"},
	{"type missing", "restrict alice64 me", 1, "after the options comes the key, without its type", "write ssh-ed25519"},
	{"type in capitals", "SSH-ED25519 alice64 me", 1, `"SSH-ED25519" is not a type`, "write ssh-ed25519"},
	{"type misspelt", "ssh-ed25591 alice64 me", 1, `"ssh-ed25591" is not a type`, "write ssh-ed25519"},
	{"type misspelt more", "shs-ed25519 alice64 me", 1, `no option "shs-ed25519"`, "write ssh-ed25519"},
	{"type unknown", "ssh-mldsa44-ed25519@openssh.com AAAA me", 1, "is not a type of keys that is known", "ssh-keygen -t ed25519"},
	{"type after options unknown", "restrict ssh-ed448 AAAA me", 1, `"ssh-ed448" is not a type`, "ssh-keygen -t ed25519"},
	{"type of a signature", "rsa-sha2-512 AAAA me", 1, "is how an RSA key signs", "write ssh-rsa"},
	{"DSA", "ssh-dss AAAAB3NzaC1kc3M me", 1, "DSA", "ssh-keygen -t ed25519"},
	{"options then DSA", "no-pty ssh-dss AAAAB3NzaC1kc3M me", 1, "DSA", "ssh-keygen -t ed25519"},
	{"certificate", "ssh-ed25519-cert-v01@openssh.com AAAA me", 1, "this is a certificate", "the certificate authority's own public key"},
	{"certificate after options", "cert-authority ssh-ed25519-cert-v01@openssh.com AAAA me", 1, "this is a certificate", "the certificate authority's own public key"},
	{"no-break space", "ssh-ed25519\u00a0alice64 me", 1, "the character U+00A0", "type it again"},
	{"no-break space in the key", "ssh-ed25519 alice1st\u00a0alice2nd me", 1, "character U+00A0 at place 31", "copy the line"},
	{"no-break space after options", "restrict\u00a0ALICE", 1, "the character U+00A0", "type it again"},
	{"escape", "ALICE \x1b[31mme", 1, "control character U+001B at byte 82", "type the line again"},
	{"NUL", "ALICE\x00", 1, "control character U+0000", "type the line again"},

	// The options.
	{"misspelt", "restict ALICE", 1, `there is no option "restict"`, "write restrict, if that is meant"},
	{"misspelt with a value", `form="192.0.2.1" ALICE`, 1, `there is no option "form"`, "write from, if that is meant"},
	{"misspelt in the middle", "no-pty,no-x11forwarding,pty ALICE", 1, `there is no option "no-x11forwarding"`, "write no-x11-forwarding"},
	{"of another server", "expiry_time=1 ALICE", 1, `there is no option "expiry_time"`, "write expiry-time"},
	{"long", strings.Repeat("option-", 20) + " ALICE", 1, `there is no option "option-option-option-option-option-optio…"`, "take it out"},
	{"blank between options", "restrict, pty ALICE", 1, "a comma without an option", "separated by a comma alone"},
	{"blank instead of a comma", "restrict pty ALICE", 1, "a blank between the options", "separate options by a comma"},
	{"blank after the comma", `no-pty ,from="192.0.2.1" ALICE`, 1, "a blank between the options", "separate options by a comma"},
	{"no quotes", "from=192.0.2.1 ALICE", 1, "the value of from is not in double quotes", `from="VALUE"`},
	{"typographic quotes", "from=\u201c192.0.2.1\u201d ALICE", 1, "the value of from is not in double quotes", "plain double quotes"},
	{"quote left open", `command="true ALICE`, 1, "is never closed", `\"`},
	{"quote inside", `command="echo "hi"" ALICE`, 1, "right after command comes neither", `\"`},
	{"quote behind", `no-pty"yes" ALICE`, 1, "right after no-pty comes neither", "by a comma"},
	{"no value", "command ALICE", 1, "command needs a value", `command="VALUE"`},
	{"value of none", `no-pty="yes" ALICE`, 1, "no-pty takes no value", "write no-pty alone"},
	{"twice", `from="192.0.2.1",from="192.0.2.2" ALICE`, 1, "from= stands twice", "keep one"},
	{"environment", `environment="LD_PRELOAD=/tmp/x.so" ALICE`, 1, "environment= is not accepted", "env NAME=value"},
	{"PIN", "verify-required ALICE", 1, "cannot be enforced", "take verify-required out"},
	{"empty command", `command="" ALICE`, 1, "command= is empty", `command="/bin/true"`},
	{"host name", `from="*.example.com" ALICE`, 1, `"*.example.com" in from= is no address`, "write addresses"},
	{"address in a network", `from="192.0.2.7/24" ALICE`, 1, "not a network", "write 192.0.2.0/24"},
	{"mapped address", `from="::ffff:192.0.2.7" ALICE`, 1, "matches nobody", "write it as IPv4"},
	{"length", `from="192.0.2.0/33" ALICE`, 1, "no such length", "up to 32"},
	{"only from where not", `from="!192.0.2.7" ALICE`, 1, "nobody could use the key", `from="*,!ADDRESS"`},
	{"date", `expiry-time="2030-12-31" ALICE`, 1, `has "2030-12-31", which is no such date`, "20301231Z"},
	{"service", `permitopen="db:postgresql" ALICE`, 1, "names of services", "HOST:PORT"},
	{"IPv6 without brackets", `permitopen="2001:db8::1:5432" ALICE`, 1, "goes into brackets", "[ADDRESS]"},
	{"pattern to open", `permitopen="*.example.com:80" ALICE`, 1, "pattern for its host", "HOST:PORT"},
	{"capitals to listen on", `permitlisten="Localhost:80" ALICE`, 1, "capital letters", "HOST:PORT"},
	{"principals without authority", `principals="ops" ALICE`, 1, "only together with cert-authority", "add cert-authority"},
}

func TestMistakes(t *testing.T) {
	t.Parallel()
	for _, one := range mistakes {
		text := keysText(one.text)
		keys, faults := Parse("keys", text)
		if len(faults) != 1 {
			t.Errorf("%s: %d faults: %v", one.name, len(faults), faults)
			continue
		}
		got := faults[0]
		if got.Source != "keys" || got.Line != one.line || !strings.Contains(got.What, one.what) || !strings.Contains(got.Fix, one.fix) {
			t.Errorf("%s: %s: %s; %s\nwant %d: %s; %s", one.name, got.Where(), got.What, got.Fix, one.line, one.what, one.fix)
		}
		for _, key := range keys {
			if key.Line == one.line {
				t.Errorf("%s: its line is refused and has a key", one.name)
			}
		}
		showsNoKey(t, text, got)
	}
}

// showsNoKey fails where a fault repeats what may be a key.
func showsNoKey(t *testing.T, text string, fault Fault) {
	t.Helper()
	const most = leastKey
	said := fault.What + " " + fault.Fix
	for _, word := range strings.FieldsFunc(text, func(r rune) bool { return !strings.ContainsRune(base64Letters, r) }) {
		for at := 0; at+most <= len(word); at++ {
			if strings.Contains(said, word[at:at+most]) {
				t.Errorf("%s; %s: it repeats %s", fault.What, fault.Fix, word[at:at+most])
				return
			}
		}
	}
	for _, r := range said {
		if r < ' ' {
			t.Errorf("%q: it has a control character", said)
		}
	}
}

// A real private key, as ssh-keygen writes it, is one fault and none of it is shown.
func TestPrivateKeyIsOneFault(t *testing.T) {
	t.Parallel()
	private := ed25519.NewKeyFromSeed(bytes.Repeat([]byte{9}, ed25519.SeedSize))
	block, err := ssh.MarshalPrivateKey(private, "me")
	if err != nil {
		t.Fatal(err)
	}
	text := keysText("ALICE\n") + string(pem.EncodeToMemory(block)) + keysText("BOB\n")
	keys, faults := Parse("keys", text)
	if len(keys) != 2 || len(faults) != 1 || faults[0].Line != 2 {
		t.Fatalf("%d keys and %v", len(keys), faults)
	}
	showsNoKey(t, text, faults[0])
	// Without its first line it is a fault a line, and still not shown.
	_, rest, _ := strings.Cut(string(pem.EncodeToMemory(block)), "\n")
	_, faults = Parse("keys", rest)
	for _, fault := range faults {
		showsNoKey(t, rest, fault)
	}
}

// There is one way to write a key, so that what is compared is what was written.
func TestBase64IsStrict(t *testing.T) {
	t.Parallel()
	line := written(securityKey(alice))
	must(t, line)
	last := len(line) - len("A=")
	if line[last+1] != '=' {
		t.Fatalf("%s does not end in one equals sign", line)
	}
	for name, altered := range map[string]string{
		"bits that are not used": line[:last] + string(line[last]+1) + "=",
		"no equals sign":         line[:last+1],
		"two of them":            line + "=",
	} {
		if keys, faults := Parse("keys", altered); len(keys) != 0 || len(faults) != 1 {
			t.Errorf("%s: %d keys and %v", name, len(keys), faults)
		}
	}
}

// One bad line takes no other with it.
func TestEveryFaultAtOnce(t *testing.T) {
	t.Parallel()
	keys, faults := Parse("INMANTA_AUTHORIZED_KEYS", keysText("ALICE\nrestict BOB\n\n# who\nno-pty ALICE\r\nssh-ed25519\n"))
	var found []string
	for _, key := range keys {
		found = append(found, key.Where())
	}
	for _, fault := range faults {
		found = append(found, fault.Where()+": "+fault.What)
	}
	want := []string{
		"INMANTA_AUTHORIZED_KEYS, line 1",
		"INMANTA_AUTHORIZED_KEYS, line 5",
		`INMANTA_AUTHORIZED_KEYS, line 2: there is no option "restict"`,
		"INMANTA_AUTHORIZED_KEYS, line 6: after ssh-ed25519 there is no key",
	}
	if fmt.Sprint(found) != fmt.Sprint(want) {
		t.Errorf("found %q\nwant  %q", found, want)
	}
}

func TestLimits(t *testing.T) {
	t.Parallel()
	line := written(alice.PublicKey()) + " "
	for _, one := range []struct {
		name, text string
		keys       int
		faults     int
	}{
		{"the longest line", line + strings.Repeat("x", LongestLine-len(line)), 1, 0},
		{"a longer one", line + strings.Repeat("x", LongestLine-len(line)+1) + "\n" + keysText("BOB"), 1, 1},
		{"the most lines", strings.Repeat(line+"\n", MostLines), MostLines, 0},
		{"one more", strings.Repeat(line+"\n#\n\n", MostLines+1), MostLines, 1},
		{"many more", strings.Repeat("x\n", MostLines+2), 0, MostLines + 1},
		{"the largest text", line + strings.Repeat("\n", LargestText-len(line)), 1, 0},
		{"a larger one", line + strings.Repeat("\n", LargestText-len(line)+1), 0, 1},
		{"nothing", "", 0, 0},
		{"nothing but remarks", "# none yet\n\n", 0, 0},
	} {
		keys, faults := Parse("keys", one.text)
		if len(keys) != one.keys || len(faults) != one.faults {
			t.Errorf("%s: %d keys and %d faults, want %d and %d", one.name, len(keys), len(faults), one.keys, one.faults)
		}
		for _, fault := range faults {
			if fault.What == "" || fault.Fix == "" || len(fault.What)+len(fault.Fix) > 500 {
				t.Errorf("%s: %s; %s", one.name, fault.What, fault.Fix)
			}
		}
	}
}

package bundle

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"filippo.io/age"
	"filippo.io/age/agessh"
	"golang.org/x/crypto/ssh"

	"github.com/inmanta/inmanta-docker/problem"
)

// The IDs of what can be wrong with keys, as a problem.Problem has them.
const (
	// Encrypted is a file that is encrypted, and no key.
	Encrypted = "backup-encrypted"
	// NotEncrypted is a key for a file that is not encrypted.
	NotEncrypted = "backup-not-encrypted"
	// WrongKey is a key, or a passphrase, that does not open the file.
	WrongKey = "backup-key"
	// KeyMalformed is a key that is none.
	KeyMalformed = "key-malformed"
)

// intro is how an age file begins, of whatever version.
const intro = "age-encryption.org/"

// workFactor is the power of two of what turning a passphrase into a key takes:
// 256 MiB, and about a second. It is the most that is done for a file, too.
const workFactor = 18

// longestHead is how long an age header may be, in bytes: thousands of recipients.
const longestHead = 1 << 20

// IsEncrypted says whether a file that begins so is encrypted; 19 bytes are enough.
func IsEncrypted(head []byte) bool { return bytes.HasPrefix(head, []byte(intro)) }

// Encrypt encrypts what is written, for everyone of to, who come from Recipients,
// or for who knows the passphrase of ToPassphrase. The end is written by Close,
// which does not close the writer below.
func Encrypt(w io.Writer, to ...age.Recipient) (io.WriteCloser, error) {
	encrypted, err := age.Encrypt(w, to...)
	if err != nil {
		return nil, fmt.Errorf("encrypting the backup: %w", err)
	}
	return encrypted, nil
}

// Recipients are those that a text names, one a line: age's own ("age1…", or
// "age1pq1…", which cannot be mixed with others), "ssh-ed25519 …" or "ssh-rsa …".
// Empty lines, and those that begin with #, are passed over. The text is what
// somebody wrote on the command line, or a file; where says which.
func Recipients(where, text string) ([]age.Recipient, error) {
	var to []age.Recipient
	for number, line := range keyLines(text) {
		one, err := age.ParseRecipients(strings.NewReader(line))
		if strings.HasPrefix(line, "ssh-") {
			var r age.Recipient
			r, err = agessh.ParseRecipient(line)
			one = []age.Recipient{r}
		}
		if err != nil {
			return nil, malformedKey(where, number, "recipient", "give age1…, ssh-ed25519 … or ssh-rsa …, one a line; `age-keygen -y` prints that of a key")
		}
		to = append(to, one...)
	}
	if len(to) == 0 {
		return nil, malformedKey(where, 0, "recipient", "give age1…, ssh-ed25519 … or ssh-rsa …, one a line")
	}
	return to, nil
}

// Identities are the secret keys in a text, of a file that where names: age's own
// ("AGE-SECRET-KEY-1…", one a line), or one private key of ssh without a passphrase.
func Identities(where, text string) ([]age.Identity, error) {
	if strings.Contains(text, "-----BEGIN") {
		one, err := agessh.ParseIdentity([]byte(text))
		if err == nil {
			return []age.Identity{one}, nil
		}
		if _, locked := errors.AsType[*ssh.PassphraseMissingError](err); locked {
			return nil, problem.Problem{
				ID: KeyMalformed, Where: where, What: "this key has a passphrase of its own, and nobody is asked for it here",
				Fix: "take the passphrase off a copy of it: ssh-keygen -p -N '' -f COPY",
			}
		}
		return nil, malformedKey(where, 0, "key", "give a private key of type ed25519 or rsa")
	}
	var with []age.Identity
	for number, line := range keyLines(text) {
		one, err := age.ParseIdentities(strings.NewReader(line))
		if err != nil {
			// Not with what age says: it may repeat the line, and that is a secret.
			return nil, malformedKey(where, number, "key", "give what `age-keygen` wrote, or a private key of ssh")
		}
		with = append(with, one...)
	}
	if len(with) == 0 {
		return nil, malformedKey(where, 0, "key", "give what `age-keygen` wrote, or a private key of ssh")
	}
	return with, nil
}

// keyLines yields the lines of a text that say something, with their numbers.
func keyLines(text string) func(func(int, string) bool) {
	return func(yield func(int, string) bool) {
		number := 0
		for line := range strings.Lines(text) {
			number++
			line = strings.TrimSpace(line)
			if line != "" && !strings.HasPrefix(line, "#") && !yield(number, line) {
				return
			}
		}
	}
}

func malformedKey(where string, line int, kind, fix string) error {
	what := "there is no " + kind + " in it"
	if line > 0 {
		what = fmt.Sprintf("line %d is no %s", line, kind)
	}
	return problem.Problem{ID: KeyMalformed, Where: where, What: what, Fix: fix}
}

// ToPassphrase is whoever knows a passphrase, which is not empty. It has nobody
// beside it.
func ToPassphrase(passphrase string) (age.Recipient, error) {
	to, err := age.NewScryptRecipient(passphrase)
	if err != nil {
		return nil, problem.Problem{ID: KeyMalformed, What: "the passphrase is empty", Fix: "give one of several words"}
	}
	to.SetWorkFactor(workFactor)
	return to, nil
}

// FromPassphrase is what a passphrase, which is not empty, opens.
func FromPassphrase(passphrase string) (age.Identity, error) {
	with, err := age.NewScryptIdentity(passphrase)
	if err != nil {
		return nil, problem.Problem{ID: KeyMalformed, What: "the passphrase is empty", Fix: "give the one that the backup was encrypted with"}
	}
	with.SetMaxWorkFactor(workFactor)
	return with, nil
}

// Decrypt is what is in a file, with the keys of Identities or FromPassphrase. A
// file that is not encrypted is passed on as it is where there are none; where
// there are some it is refused, since whoever gives a key expects that nobody
// without it wrote the file, or read it. What is read is known to be what was
// encrypted; that it is all of it, only at its end.
func Decrypt(from io.Reader, where string, with ...age.Identity) (io.Reader, error) {
	source := &headLimit{from: from, left: longestHead}
	ahead := bufio.NewReader(source)
	if head, err := ahead.Peek(len(intro)); !IsEncrypted(head) {
		if err != nil && !errors.Is(err, io.EOF) {
			return nil, unreadable(where, err)
		}
		if len(with) != 0 {
			return nil, problem.Problem{
				ID: NotEncrypted, Where: where, What: "this is not encrypted, and a key was given",
				Fix: "leave the key out if you know who wrote the file",
			}
		}
		source.lift()
		return ahead, nil
	}
	opened, err := age.Decrypt(ahead, append(slices.Clone(with), noIdentity{})...)
	if err != nil {
		return nil, unopened(where, with, source, err)
	}
	source.lift()
	return &decrypted{from: opened, source: source, where: where}, nil
}

// noIdentity opens nothing. With it age says whom a file is for, whoever tries.
type noIdentity struct{}

// Unwrap implements age.Identity.
func (noIdentity) Unwrap([]*age.Stanza) ([]byte, error) { return nil, age.ErrIncorrectIdentity }

// unopened says why a file could not be opened.
func unopened(where string, with []age.Identity, source *headLimit, err error) error {
	if source.failed != nil {
		return unreadable(where, source.failed)
	}
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return unfinished(where)
	}
	none, is := errors.AsType[*age.NoIdentityMatchError](err)
	if !is {
		return damaged(where, fmt.Errorf("the header of its encryption: %w", err))
	}
	p := problem.Problem{ID: WrongKey, Where: where, Err: err}
	forPassphrase := slices.Contains(none.StanzaTypes, "scrypt")
	passphrase, key := has(with, true), has(with, false)
	switch {
	case !passphrase && !key && forPassphrase:
		p.ID, p.What, p.Fix = Encrypted, "the backup is encrypted with a passphrase, and none was given", "give the passphrase"
	case !passphrase && !key:
		p.ID, p.What, p.Fix = Encrypted, "the backup is encrypted, and no key was given", "give the file of the secret key of one whom it is encrypted for"
	case forPassphrase && !passphrase:
		p.What, p.Fix = "the backup is encrypted with a passphrase, and not for a key", "give the passphrase"
	case forPassphrase:
		p.What, p.Fix = "the passphrase is not the one that the backup was encrypted with", "give the right one; a space or a line's end at its end counts"
	case !key:
		p.What, p.Fix = "the backup is encrypted for keys, and not with a passphrase", "give the file of the secret key of one whom it is encrypted for"
	default:
		p.What, p.Fix = "the backup is not encrypted for the key that was given", "give the file of the secret key of one whom it is encrypted for"
	}
	return p
}

// has says whether there is a passphrase, or else a key, among these.
func has(with []age.Identity, passphrase bool) bool {
	return slices.ContainsFunc(with, func(i age.Identity) bool {
		_, is := i.(*age.ScryptIdentity)
		return is == passphrase
	})
}

// headLimit reads no more than left until it is lifted: age reads headers of any
// length into memory.
type headLimit struct {
	from   io.Reader
	left   int
	lifted bool
	// failed is what reading ended with, if not with the end.
	failed error
}

func (h *headLimit) lift() { h.lifted = true }

// Read implements io.Reader.
func (h *headLimit) Read(into []byte) (int, error) {
	if !h.lifted {
		if h.left == 0 {
			return 0, errors.New("it is longer than any")
		}
		into = into[:min(len(into), h.left)]
	}
	n, err := h.from.Read(into)
	h.left -= n
	if err != nil && !errors.Is(err, io.EOF) {
		h.failed = err
	}
	return n, err
}

// decrypted says what age's errors mean for a backup.
type decrypted struct {
	from   io.Reader
	source *headLimit
	where  string
}

// Read implements io.Reader.
func (d *decrypted) Read(into []byte) (int, error) {
	n, err := d.from.Read(into)
	switch {
	case err == nil, errors.Is(err, io.EOF):
		return n, err
	case d.source.failed != nil:
		return n, unreadable(d.where, d.source.failed)
	case errors.Is(err, io.ErrUnexpectedEOF): // between two of age's pieces
		return n, unfinished(d.where)
	}
	return n, damaged(d.where, errors.New("something of it was changed, or is missing, since it was encrypted"))
}

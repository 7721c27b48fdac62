package bundle

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"encoding/pem"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"filippo.io/age"
	"golang.org/x/crypto/ssh"

	"github.com/inmanta/inmanta-docker/problem"
)

// keyPair is somebody's key, as a person has it in files.
type keyPair struct{ public, secret string }

func nativeKey(t testing.TB) keyPair {
	t.Helper()
	key, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	return keyPair{key.Recipient().String(), "# created: today\n" + key.String() + "\n"}
}

func sshKey(t testing.TB, private any, passphrase string) keyPair {
	t.Helper()
	signer, err := ssh.NewSignerFromKey(private)
	if err != nil {
		t.Fatal(err)
	}
	block, err := ssh.MarshalPrivateKey(private, "")
	if passphrase != "" {
		block, err = ssh.MarshalPrivateKeyWithPassphrase(private, "", []byte(passphrase))
	}
	if err != nil {
		t.Fatal(err)
	}
	return keyPair{string(ssh.MarshalAuthorizedKey(signer.PublicKey())), string(pem.EncodeToMemory(block))}
}

func edKey(t testing.TB, passphrase string) keyPair {
	t.Helper()
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return sshKey(t, private, passphrase)
}

// seal encrypts a file.
func seal(t testing.TB, file []byte, to ...age.Recipient) []byte {
	t.Helper()
	var sealed bytes.Buffer
	w, err := Encrypt(&sealed, to...)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(file); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return sealed.Bytes()
}

// open decrypts all of a file.
func open(file []byte, with ...age.Identity) ([]byte, error) {
	from, err := Decrypt(bytes.NewReader(file), "FILE", with...)
	if err != nil {
		return nil, err
	}
	return io.ReadAll(from)
}

func recipients(t testing.TB, text string) []age.Recipient {
	t.Helper()
	to, err := Recipients("-r", text)
	if err != nil {
		t.Fatal(err)
	}
	return to
}

func identities(t testing.TB, text string) []age.Identity {
	t.Helper()
	with, err := Identities("key.txt", text)
	if err != nil {
		t.Fatal(err)
	}
	return with
}

// quick is a passphrase as both sides have it, without the second that a strong
// one takes.
func quick(t testing.TB, passphrase string) (*age.ScryptRecipient, age.Identity) {
	t.Helper()
	to, err := age.NewScryptRecipient(passphrase)
	if err != nil {
		t.Fatal(err)
	}
	to.SetWorkFactor(4)
	with, err := FromPassphrase(passphrase)
	if err != nil {
		t.Fatal(err)
	}
	return to, with
}

func TestEveryKeyOpensWhatIsEncryptedForIt(t *testing.T) {
	t.Parallel()
	file := pack(t, made{Database, "database"})
	rsaPrivate, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	hybrid, err := age.GenerateHybridIdentity()
	if err != nil {
		t.Fatal(err)
	}
	keys := map[string]keyPair{"age": nativeKey(t), "another": nativeKey(t), "ed25519": edKey(t, ""), "rsa": sshKey(t, rsaPrivate, "")}
	var all strings.Builder
	for name, key := range keys {
		all.WriteString("# " + name + "\n\n" + key.public + "\n")
	}
	sealed := seal(t, file, recipients(t, all.String())...)
	if !IsEncrypted(sealed[:19]) || IsEncrypted(file[:19]) {
		t.Error("IsEncrypted says otherwise")
	}
	for name, key := range keys {
		if got, err := open(sealed, identities(t, key.secret)...); err != nil || !bytes.Equal(got, file) {
			t.Errorf("%s does not open it: %v", name, err)
		}
	}
	sealed = seal(t, file, recipients(t, hybrid.Recipient().String())...)
	if got, err := open(sealed, identities(t, hybrid.String())...); err != nil || !bytes.Equal(got, file) {
		t.Errorf("a key against quantum computers does not open it: %v", err)
	}
	to, err := ToPassphrase("correct horse")
	if err != nil {
		t.Fatal(err)
	}
	with, err := FromPassphrase("correct horse")
	if err != nil {
		t.Fatal(err)
	}
	if got, err := open(seal(t, file, to), with); err != nil || !bytes.Equal(got, file) {
		t.Errorf("the passphrase does not open it: %v", err)
	}
	// Without a key, a file that needs none is passed on.
	if got, err := open(file); err != nil || !bytes.Equal(got, file) {
		t.Errorf("a file that is not encrypted is not passed on: %v", err)
	}
	if got, err := open(nil); err != nil || len(got) != 0 {
		t.Errorf("an empty file is not passed on: %v", err)
	}
}

func TestKeysThatDoNotOpenIt(t *testing.T) {
	t.Parallel()
	file := pack(t, made{Database, "database"})
	right, wrong, wrongSSH := nativeKey(t), nativeKey(t), edKey(t, "")
	to, with := quick(t, "correct horse")
	_, other := quick(t, "correct  horse")
	strong, err := age.NewScryptRecipient("correct horse")
	if err != nil {
		t.Fatal(err)
	}
	strong.SetWorkFactor(workFactor + 1)
	forKey, forPassphrase := seal(t, file, recipients(t, right.public)...), seal(t, file, to)
	key := identities(t, right.secret)
	for name, c := range map[string]struct {
		file     []byte
		with     []age.Identity
		id, says string
	}{
		"no key":                     {forKey, nil, Encrypted, "no key was given"},
		"no passphrase":              {forPassphrase, nil, Encrypted, "with a passphrase, and none was given"},
		"another's key":              {forKey, identities(t, wrong.secret), WrongKey, "not encrypted for the key"},
		"another's ssh key":          {forKey, identities(t, wrongSSH.secret), WrongKey, "not encrypted for the key"},
		"a passphrase for a key":     {forKey, []age.Identity{with}, WrongKey, "encrypted for keys"},
		"a key for a passphrase":     {forPassphrase, key, WrongKey, "with a passphrase, and not for a key"},
		"another passphrase":         {forPassphrase, []age.Identity{other}, WrongKey, "is not the one"},
		"a passphrase out of bounds": {seal(t, file, strong), []age.Identity{with}, Damaged, "work factor too large"},
		"not encrypted":              {file, key, NotEncrypted, "not encrypted, and a key was given"},
		"nothing, with a key":        {nil, key, NotEncrypted, "not encrypted"},
		"only the intro":             {[]byte("age-encryption.org/v1\n"), key, Unfinished, "cut short"},
		"another version":            {[]byte("age-encryption.org/v2\n"), key, Damaged, "the header of its encryption"},
		"a header of somebody else":  {[]byte("age-encryption.org/v1\nno stanza\n"), key, Damaged, "the header of its encryption"},
		"a header without an end":    {append([]byte("age-encryption.org/v1\n-> "), bytes.Repeat([]byte("x"), 2<<20)...), key, Damaged, "longer than any"},
		"something behind":           {append(bytes.Clone(forKey), 'x'), key, Damaged, "changed, or is missing"},
		"a part that is missing":     {forKey[:len(forKey)-1], key, Damaged, "changed, or is missing"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := open(c.file, c.with...)
			p, is := errors.AsType[problem.Problem](err)
			if !is || p.ID != c.id || !strings.Contains(p.What, c.says) || p.Where != "FILE" || p.Fix == "" {
				t.Errorf("%#v, %v", p, err)
			}
		})
	}
	if _, err := NewReader(bytes.NewReader(forKey), "FILE"); idOf(err) != Encrypted {
		t.Errorf("a reader takes it: %v", err)
	}
}

// No bit of an encrypted file can be changed, and no byte can be missing.
func TestEveryChangeOfAnEncryptedFileIsRefused(t *testing.T) {
	t.Parallel()
	file := pack(t, made{State, "state"})
	key := nativeKey(t)
	with := identities(t, key.secret)
	sealed := seal(t, file, recipients(t, key.public)...)
	for i := range sealed {
		if got, err := open(sealed[:i], with...); idOf(err) == "" {
			t.Fatalf("cut at %d it gives %d bytes, %v", i, len(got), err)
		}
		for bit := range 8 {
			sealed[i] ^= 1 << bit
			if got, err := open(sealed, with...); idOf(err) == "" {
				t.Fatalf("with bit %d of byte %d it gives %d bytes, %v", bit, i, len(got), err)
			}
			sealed[i] ^= 1 << bit
			if i > 1024 {
				break // of the payload one bit a byte is enough: it is one piece, and authenticated
			}
		}
	}
}

// What goes wrong below is not the file's fault.
func TestReadingThatFailsIsNoDamage(t *testing.T) {
	t.Parallel()
	broken := errors.New("the line is dead")
	file := pack(t, made{State, strings.Repeat("state", 100_000)})
	key := nativeKey(t)
	sealed := seal(t, file, recipients(t, key.public)...)
	for _, at := range []int{0, 5, 60, 200, 70_000, len(sealed)} {
		from, err := Decrypt(io.MultiReader(bytes.NewReader(sealed[:at]), iotest.ErrReader(broken)), "FILE", identities(t, key.secret)...)
		if err == nil {
			_, err = io.Copy(io.Discard, from)
		}
		if !errors.Is(err, broken) || idOf(err) != "" {
			t.Errorf("encrypted, after %d bytes: %v", at, err)
		}
	}
	for _, at := range []int{0, 5, 600, 2000, 70_000, len(file)} {
		_, _, err := Check(io.MultiReader(bytes.NewReader(file[:at]), iotest.ErrReader(broken)), "FILE", nil)
		if !errors.Is(err, broken) || idOf(err) != "" {
			t.Errorf("in clear, after %d bytes: %v", at, err)
		}
	}
}

func TestTextsThatAreNoKeys(t *testing.T) {
	t.Parallel()
	key, locked := nativeKey(t), edKey(t, "its own")
	secret := strings.TrimSpace(strings.Split(key.secret, "\n")[1])
	for name, c := range map[string]struct {
		err  error
		says string
	}{
		"nobody":                  {errorOf(Recipients("-r", "# nobody\n")), "there is no recipient in it"},
		"somebody else":           {errorOf(Recipients("-r", key.public+"\nssh-dss AAAA\n")), "line 2 is no recipient"},
		"a secret as recipient":   {errorOf(Recipients("-r", secret)), "line 1 is no recipient"},
		"no key":                  {errorOf(Identities("key.txt", "")), "there is no key in it"},
		"a recipient as key":      {errorOf(Identities("key.txt", key.public)), "line 1 is no key"},
		"a damaged key":           {errorOf(Identities("key.txt", "\n"+secret[:40])), "line 2 is no key"},
		"a misspelt key":          {errorOf(Identities("key.txt", "X"+secret)), "line 1 is no key"},
		"an ssh key that is none": {errorOf(Identities("key.txt", "-----BEGIN OPENSSH PRIVATE KEY-----\n")), "there is no key in it"},
		"an ssh key, locked":      {errorOf(Identities("key.txt", locked.secret)), "a passphrase of its own"},
		"to no passphrase":        {errorOf(ToPassphrase("")), "the passphrase is empty"},
		"from no passphrase":      {errorOf(FromPassphrase("")), "the passphrase is empty"},
	} {
		p, is := errors.AsType[problem.Problem](c.err)
		if !is || p.ID != KeyMalformed || !strings.Contains(p.What, c.says) || p.Fix == "" {
			t.Errorf("%s: %#v, %v", name, p, c.err)
		}
		if text := p.Error() + p.Fix; strings.Contains(text, secret[20:40]) {
			t.Errorf("%s: the secret is told: %s", name, text)
		}
	}
}

func errorOf[T any](_ T, err error) error { return err }

func FuzzDecrypt(f *testing.F) {
	key := nativeKey(f)
	to, with := quick(f, "correct horse")
	all := append(identities(f, key.secret), with)
	f.Add(seal(f, []byte("text"), recipients(f, key.public)...))
	f.Add(seal(f, []byte("text"), to))
	f.Add([]byte("age-encryption.org/v1\n-> X25519 x\n\n--- x\n"))
	f.Add([]byte(""))
	f.Fuzz(func(t *testing.T, file []byte) {
		got, err := open(file, all...)
		if err != nil && idOf(err) == "" {
			t.Errorf("an error that says nothing: %v", err)
		}
		if err == nil && string(got) != "text" {
			t.Errorf("it gives %q, which was never encrypted", got)
		}
	})
}

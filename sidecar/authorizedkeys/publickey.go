package authorizedkeys

import (
	"crypto/rsa"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"golang.org/x/crypto/ssh"
)

// keyTypes are the types of keys that may log in or sign certificates. DSA is
// not among them.
var keyTypes = []string{
	ssh.KeyAlgoED25519,
	ssh.KeyAlgoECDSA256, ssh.KeyAlgoECDSA384, ssh.KeyAlgoECDSA521,
	ssh.KeyAlgoRSA,
	ssh.KeyAlgoSKED25519, ssh.KeyAlgoSKECDSA256,
}

func isKeyType(word string) bool { return slices.Contains(keyTypes, word) }

// isCertificateType is true of the name under which a certificate is written.
func isCertificateType(word string) bool { return strings.HasSuffix(word, "-cert-v01@openssh.com") }

const (
	copyAgain = "copy the line of the .pub file again, whole: a key is one line without a break"
	makeNew   = "make a new key with `ssh-keygen -t ed25519` and put its .pub file's line here"
)

// parseKey reads the type and the base64 of a key.
func parseKey(kind, encoded string) (ssh.PublicKey, *Fault) {
	if encoded == "" {
		return nil, wrong(copyAgain, "after %s there is no key", kind)
	}
	blob, err := base64.StdEncoding.Strict().DecodeString(encoded)
	if err != nil {
		return nil, notBase64(encoded)
	}
	if inner := typeIn(blob); inner != kind {
		return nil, otherType(kind, inner)
	}
	public, err := ssh.ParsePublicKey(blob)
	if err != nil {
		return nil, wrong(copyAgain, "the key is cut off or altered: its base64 is of no whole %s key", kind)
	}
	if weakness := weak(public); weakness != "" {
		return nil, wrong(makeNew, "%s", weakness)
	}
	return public, nil
}

// typeIn is the type a key says it has, "" where it is cut off before it.
func typeIn(blob []byte) string {
	if len(blob) < 4 {
		return ""
	}
	length := binary.BigEndian.Uint32(blob)
	if uint64(length) > uint64(len(blob)-4) {
		return ""
	}
	return string(blob[4 : 4+length])
}

// otherType is the fault of a key that is not what its line says it is.
func otherType(kind, inner string) *Fault {
	switch {
	case isKeyType(inner):
		return wrong("write "+inner+" in front of it, or copy the line of the .pub file again",
			"the line says %s, but the key is of type %s", kind, inner)
	case isCertificateType(inner):
		return certificate()
	}
	return wrong(copyAgain, "the key is cut off or altered: its base64 is of no %s key", kind)
}

// certificate is the fault of a line that has a certificate where a key belongs.
func certificate() *Fault {
	return wrong("put the certificate authority's own public key here, with cert-authority in front of it",
		"this is a certificate, which its owner presents: a server is told who may sign them")
}

// notBase64 says why the text of a key is none.
func notBase64(encoded string) *Fault {
	foreign := strings.TrimLeft(encoded, base64Letters)
	if foreign == "" {
		return wrong(copyAgain, "the key is cut off: its base64 does not come out even")
	}
	switch found, _ := utf8.DecodeRuneInString(foreign); {
	case strings.HasPrefix(foreign, `\n`):
		return literalBreak()
	case found == ',' || found == ';':
		return severalKeys()
	default:
		return wrong(copyAgain, "the key has the character %s at place %d, which no key has", named(found), len(encoded)-len(foreign)+1)
	}
}

// base64Letters are all that a key is written with.
const base64Letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/="

// weak says why a key is not strong enough to be let in; "" where it is.
func weak(key ssh.PublicKey) string {
	if !isKeyType(key.Type()) {
		return fmt.Sprintf("keys of type %s are not accepted", key.Type())
	}
	public, is := key.(ssh.CryptoPublicKey)
	if !is {
		return ""
	}
	if modulus, is := public.CryptoPublicKey().(*rsa.PublicKey); is && modulus.N.BitLen() < SmallestRSA {
		return fmt.Sprintf("the RSA key has %d bits, and less than %d are not accepted", modulus.N.BitLen(), SmallestRSA)
	}
	return ""
}

package preflight

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"syscall"
)

// The user inside the orchestrator's image, the official one and ours: what
// must be able to read the licence.
const (
	inmantaUID = 997
	inmantaGID = 995
)

// licenceLimit is how much of a file is looked at, in bytes; a licence is a few
// hundred.
const licenceLimit = 1 << 20

// Form is what the content of a licence file looks like.
type Form string

// The forms. Unknown is that of content that could not be read.
const (
	Unknown Form = ""
	// Encrypted is a JSON Web Encryption (RFC 7516), as an entitlement is.
	Encrypted Form = "JWE"
	// Other is anything else.
	Other Form = "other"
)

// look finds out what is at the place of a licence file, seeing no further than
// the container would: links that lead out of the mount lead nowhere. ok is
// false where this user may not look.
func look(m mounted) (found LicenceFile, ok bool) {
	dir, name := m.Source, m.Name
	if name == "." {
		// The engine follows links on its way to what it mounts.
		source, err := filepath.EvalSymlinks(m.Source)
		if err != nil {
			return unseen(err)
		}
		dir, name = filepath.Split(source)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return unseen(err)
	}
	defer root.Close()
	info, err := root.Stat(name)
	if err != nil {
		if link, there := root.Lstat(name); there == nil && link.Mode()&fs.ModeSymlink != 0 {
			return LicenceFile{Irregular: true}, true
		}
		return unseen(err)
	}
	if !info.Mode().IsRegular() {
		return LicenceFile{Irregular: true}, true
	}
	found = LicenceFile{Size: info.Size(), Barred: !permits(info, mayRead)}
	if m.Name != "." {
		found.Barred = found.Barred || shut(root, path.Dir(name))
	}
	found.Barred = found.Barred && !hasACL(dir) && !hasACL(m.Path())
	// What was a file a moment ago may be a pipe by now: never wait for one.
	file, err := root.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return found, true
	}
	defer file.Close()
	content, err := io.ReadAll(io.LimitReader(file, licenceLimit))
	if err != nil {
		return found, true
	}
	digest := sha256.Sum256(content)
	found.Form, found.Digest = formOf(content), hex.EncodeToString(digest[:])
	return found, true
}

// unseen is a file that cannot be seen: it is missing, or nobody knows.
func unseen(err error) (LicenceFile, bool) {
	return LicenceFile{Missing: true}, errors.Is(err, fs.ErrNotExist)
}

// Permission bits of one class.
const (
	mayRead  fs.FileMode = 4
	mayEnter fs.FileMode = 1
)

// shut says that the orchestrator's user may not enter dir, or a directory of
// the mount on the way to it.
func shut(root *os.Root, dir string) bool {
	for ; ; dir = path.Dir(dir) {
		if info, err := root.Stat(dir); err == nil && !permits(info, mayEnter) {
			return true
		}
		if dir == "." {
			return false
		}
	}
}

// permits judges a permission bit for the orchestrator's user.
func permits(info fs.FileInfo, want fs.FileMode) bool {
	mode := info.Mode().Perm()
	owner, ok := info.Sys().(*syscall.Stat_t)
	switch {
	case !ok:
		return true
	case owner.Uid == inmantaUID:
		return mode>>6&want != 0
	case owner.Gid == inmantaGID:
		return mode>>3&want != 0
	}
	return mode&want != 0
}

// hasACL says that an access control list may allow more than the permission
// bits show. What it allows is not worked out: it gets the benefit of the doubt.
func hasACL(name string) bool {
	size, err := syscall.Getxattr(name, "system.posix_acl_access", nil)
	return err == nil && size > 0
}

// formOf judges the content of a licence file by its form alone: what is in it
// is for the orchestrator to open.
func formOf(content []byte) Form {
	content = bytes.TrimSpace(content)
	var envelope struct {
		Ciphertext string `json:"ciphertext"`
	}
	if json.Unmarshal(content, &envelope) == nil && envelope.Ciphertext != "" {
		return Encrypted
	}
	parts := strings.Split(string(content), ".")
	if len(parts) != 5 {
		return Other
	}
	for i, part := range parts {
		decoded, err := base64.RawURLEncoding.DecodeString(part)
		if err != nil {
			return Other
		}
		var header struct {
			Encryption string `json:"enc"`
		}
		if i == 0 && (json.Unmarshal(decoded, &header) != nil || header.Encryption == "") {
			return Other
		}
	}
	return Encrypted
}

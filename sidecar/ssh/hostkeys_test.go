package ssh

import (
	"bytes"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"golang.org/x/crypto/ssh"
)

// hostKeyFolder is a folder with host keys. They are made once for all tests:
// an RSA key takes its time.
func hostKeyFolder(t *testing.T) string {
	t.Helper()
	made, err := madeHostKeys()
	if err != nil {
		t.Fatal(err)
	}
	folder := filepath.Join(t.TempDir(), "host-keys")
	if err := os.Mkdir(folder, 0o700); err != nil {
		t.Fatal(err)
	}
	for name, text := range made {
		if err := os.WriteFile(filepath.Join(folder, name), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return folder
}

var madeHostKeys = sync.OnceValues(func() (map[string][]byte, error) {
	folder, err := os.MkdirTemp("", "host-keys-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(folder)
	if _, err := HostKeys(folder); err != nil {
		return nil, err
	}
	return contents(folder)
})

// contents are the files of a folder.
func contents(folder string) (map[string][]byte, error) {
	entries, err := os.ReadDir(folder)
	if err != nil {
		return nil, err
	}
	files := map[string][]byte{}
	for _, entry := range entries {
		if files[entry.Name()], err = os.ReadFile(filepath.Join(folder, entry.Name())); err != nil {
			return nil, err
		}
	}
	return files, nil
}

func publicHalves(keys []ssh.Signer) []string {
	var lines []string
	for _, key := range keys {
		lines = append(lines, strings.TrimSpace(string(ssh.MarshalAuthorizedKey(key.PublicKey()))))
	}
	return lines
}

var hostKeyNames = []string{"ssh_host_ed25519_key", "ssh_host_ecdsa_key", "ssh_host_rsa_key"}

func TestHostKeysAreMadeOnce(t *testing.T) {
	t.Parallel()
	folder := filepath.Join(t.TempDir(), "host-keys")
	if err := os.Mkdir(folder, 0o755); err != nil { // as an engine makes a volume
		t.Fatal(err)
	}
	made, err := HostKeys(folder)
	if err != nil {
		t.Fatal(err)
	}
	var types []string
	for _, key := range made {
		types = append(types, key.PublicKey().Type())
		if signer, ok := key.(ssh.MultiAlgorithmSigner); !ok || slices.Contains(signer.Algorithms(), ssh.KeyAlgoRSA) {
			t.Errorf("%s would sign with SHA-1", key.PublicKey().Type())
		}
	}
	if want := []string{ssh.KeyAlgoED25519, ssh.KeyAlgoECDSA256, ssh.KeyAlgoRSA}; !slices.Equal(types, want) {
		t.Errorf("made %s, want %s", types, want)
	}
	again, err := HostKeys(folder)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := publicHalves(again), publicHalves(made); !slices.Equal(got, want) {
		t.Errorf("then they are %s, before %s", got, want)
	}
	lines, err := PublicHostKeys(folder)
	if err != nil || !slices.Equal(lines, publicHalves(made)) {
		t.Errorf("the public halves are %s (%v)", lines, err)
	}
	files, err := contents(folder)
	if err != nil {
		t.Fatal(err)
	}
	var want []string
	for _, name := range hostKeyNames {
		want = append(want, name, name+".pub")
		mode(t, filepath.Join(folder, name), 0o600)
		mode(t, filepath.Join(folder, name+".pub"), 0o644)
	}
	slices.Sort(want)
	if names := slices.Sorted(maps.Keys(files)); !slices.Equal(names, want) {
		t.Errorf("the folder has %s, want %s", names, want)
	}
	mode(t, folder, 0o700)
}

func mode(t *testing.T, path string, want fs.FileMode) {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if got := info.Mode().Perm(); got != want {
		t.Errorf("%s is %04o, want %04o", filepath.Base(path), got, want)
	}
}

// A key that is wrong is nobody's to replace: its clients would not know why.
func TestHostile32HostKeyFiles(t *testing.T) {
	t.Parallel()
	encrypted, err := os.ReadFile("testdata/encrypted_host_key")
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		spoil func(path string) error
		says  string
	}{
		"empty":               {func(path string) error { return os.WriteFile(path, nil, 0o600) }, "is not a private key (0 bytes"},
		"garbage":             {func(path string) error { return os.WriteFile(path, bytes.Repeat([]byte{0xff}, 1000), 0o600) }, "is not a private key (1000 bytes"},
		"cut":                 {func(path string) error { return os.Truncate(path, 100) }, "is not a private key (100 bytes"},
		"encrypted":           {func(path string) error { return os.WriteFile(path, encrypted, 0o600) }, "is not a private key"},
		"readable by all":     {func(path string) error { return os.Chmod(path, 0o604) }, "can be read by others (mode 0604)"},
		"readable by a group": {func(path string) error { return os.Chmod(path, 0o640) }, "can be read by others (mode 0640)"},
		"a folder": {func(path string) error {
			_ = os.Remove(path)
			return os.Mkdir(path, 0o700)
		}, "is a directory"},
		"a dangling link": {func(path string) error {
			_ = os.Remove(path)
			return os.Symlink("/no/such/key", path)
		}, "no such file"},
		"another kind": {func(path string) error {
			other := hostKeyNames[0]
			if filepath.Base(path) == other {
				other = hostKeyNames[1]
			}
			text, err := os.ReadFile(filepath.Join(filepath.Dir(path), other))
			if err != nil {
				return err
			}
			return os.WriteFile(path, text, 0o600)
		}, "is of another kind than its name says"},
	} {
		for _, file := range hostKeyNames {
			t.Run(name+" "+file, func(t *testing.T) {
				t.Parallel()
				folder := hostKeyFolder(t)
				path := filepath.Join(folder, file)
				if err := c.spoil(path); err != nil {
					t.Fatal(err)
				}
				before, _ := os.ReadFile(path)
				_, err := HostKeys(folder)
				if err == nil || !strings.Contains(err.Error(), c.says) || !strings.Contains(err.Error(), path) {
					t.Fatalf("it says %v, want %q and where", err, c.says)
				}
				if after, _ := os.ReadFile(path); !bytes.Equal(after, before) {
					t.Error("it is changed")
				}
			})
		}
	}
}

func TestHostile32ReplicasMakeTheSameHostKeys(t *testing.T) {
	t.Parallel()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	folder := t.TempDir()
	const many = 4
	said := make([]string, many)
	inTurn(many, many, func(n int) {
		output, err := exec.Command(self, "host-keys", folder).CombinedOutput()
		if err != nil {
			t.Errorf("%v: %s", err, output)
		}
		said[n] = string(output)
	})
	for _, lines := range said {
		if lines != said[0] || strings.Count(lines, "\n") != len(hostKeyNames) {
			t.Errorf("one has\n%s\nanother\n%s", lines, said[0])
		}
	}
	lines, err := PublicHostKeys(folder)
	if err != nil || strings.Join(lines, "\n")+"\n" != said[0] {
		t.Errorf("the public halves are %s (%v)", lines, err)
	}
	files, err := contents(folder)
	if err != nil || len(files) != 2*len(hostKeyNames) {
		t.Errorf("the folder has %s (%v)", slices.Sorted(maps.Keys(files)), err)
	}
}

// Replicas that start when the keys are there, and their public halves are not.
func TestHostile32ReplicasPublishAtOnce(t *testing.T) {
	t.Parallel()
	folder := hostKeyFolder(t)
	for range 25 {
		for _, name := range hostKeyNames {
			_ = os.Remove(filepath.Join(folder, name+".pub"))
		}
		inTurn(4, 4, func(int) {
			if _, err := HostKeys(folder); err != nil {
				t.Error(err)
			}
		})
		if t.Failed() {
			break
		}
	}
	if files, err := contents(folder); err != nil || len(files) != 2*len(hostKeyNames) {
		t.Errorf("the folder has %s (%v)", slices.Sorted(maps.Keys(files)), err)
	}
}

func TestPublicHalvesAreMadeAgain(t *testing.T) {
	t.Parallel()
	folder := hostKeyFolder(t)
	want, err := PublicHostKeys(folder)
	if err != nil {
		t.Fatal(err)
	}
	for name, spoil := range map[string]func(path string) error{
		"missing": os.Remove,
		"wrong":   func(path string) error { return os.WriteFile(path, []byte("ssh-ed25519 AAAA\n"), 0o644) },
		"empty":   func(path string) error { return os.Truncate(path, 0) },
	} {
		for _, file := range hostKeyNames {
			if err := spoil(filepath.Join(folder, file+".pub")); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := HostKeys(folder); err != nil {
			t.Fatal(err)
		}
		if got, err := PublicHostKeys(folder); err != nil || !slices.Equal(got, want) {
			t.Errorf("%s: they are %s (%v)", name, got, err)
		}
	}
}

func TestHostKeyFolders(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o700); err != nil {
		t.Fatal(err)
	}
	for name, folder := range map[string]string{"missing": filepath.Join(t.TempDir(), "none"), "a file": file, "read-only": "/proc/self/net"} {
		if _, err := HostKeys(folder); err == nil {
			t.Errorf("%s: no error", name)
		} else {
			t.Log(name, err)
		}
	}
	if _, err := PublicHostKeys(t.TempDir()); err == nil || !strings.Contains(err.Error(), "when it first starts") {
		t.Errorf("of an empty folder it says %v", err)
	}
}

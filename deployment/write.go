package deployment

import (
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	inmantadocker "github.com/inmanta/inmanta-docker"
	"github.com/inmanta/inmanta-docker/problem"
	"github.com/inmanta/inmanta-docker/settings"
)

// Written is one file that was written, or left because it was there.
type Written struct {
	Path string `json:"path"`
	// Kept says that a file was already there and stays as it is.
	Kept bool `json:"kept"`
}

// Materialise puts the topology's files that are not on disk into the project
// directory, so that the stock tool finds them too.
func (d Deployment) Materialise() ([]Written, Deployment, error) {
	var written []Written
	d.Files = slices.Clone(d.Files)
	for i, f := range d.Files {
		if f.Embedded == nil || f.Path == Stdin {
			continue
		}
		path := filepath.Join(d.Dir, f.Name())
		if err := writeFile(path, f.Embedded, 0o644); err != nil {
			return written, d, err
		}
		written = append(written, Written{Path: path})
		d.Files[i] = File{Path: path}
	}
	return written, d, nil
}

// Remember stores the topology in .env as COMPOSE_FILE, when the command line
// chose one that differs from what the next command would find by itself. With
// --env-file nothing is stored: those files are the operator's own. Nor is a
// topology of which a part came from standard input.
func (d Deployment) Remember() (changed bool, err error) {
	if !d.Chosen || d.ExplicitEnvFiles || len(d.EnvFiles) != 1 || d.FromStdin() {
		return false, nil
	}
	names := make([]string, len(d.Files))
	for i, f := range d.Files {
		names[i] = f.Path
		if relative, err := filepath.Rel(d.Dir, f.Path); err == nil && !strings.HasPrefix(relative, "..") {
			names[i] = relative
		}
	}
	list := strings.Join(names, string(os.PathListSeparator))
	file := d.EnvFiles[0]
	before := d.Variables["COMPOSE_FILE"]
	if before.Value == list || before.Value == "" && list == Base {
		return false, nil
	}
	return true, file.Set("COMPOSE_FILE", list).Write(false)
}

// Store sets variables in the deployment's .env.
func (d Deployment) Store(values map[string]string) error {
	file, err := ReadEnvFile(filepath.Join(d.Dir, ".env"))
	if err != nil {
		return err
	}
	secret := false
	for _, s := range settings.All {
		if value, ok := values[s.Name]; ok {
			file = file.Set(s.Name, value)
			secret = secret || s.Secret
		}
	}
	return file.Write(secret)
}

// Init makes a deployment in dir: every compose file that this binary carries,
// the licence folder, the sidecar binary if sidecar names one, and an .env with
// generated passwords for the database and the code server. What is there stays
// as it is. With keepPassword the database gets none: a volume that exists has its own.
func Init(dir, sidecar string, topology []string, keepPassword bool) ([]Written, error) {
	if err := os.MkdirAll(filepath.Join(dir, "license"), 0o755); err != nil {
		return nil, problem.Problem{
			ID: "init", Where: dir, What: fmt.Sprintf("the directory cannot be made: %v", unwrapPath(err)),
			Fix: "choose a directory that this user may write to", Err: err,
		}
	}
	var written []Written
	put := func(name string, mode fs.FileMode, content func() ([]byte, error)) error {
		path := filepath.Join(dir, name)
		if exists(path) {
			written = append(written, Written{Path: path, Kept: true})
			return nil
		}
		bytes, err := content()
		if err != nil {
			return err
		}
		if err := writeFile(path, bytes, mode); err != nil {
			return err
		}
		written = append(written, Written{Path: path})
		return nil
	}
	err := fs.WalkDir(inmantadocker.Files, ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		return put(name, 0o644, func() ([]byte, error) { return inmantadocker.Files.ReadFile(name) })
	})
	if err != nil {
		return written, err
	}
	if sidecar != "" {
		if err := put(SidecarFile, 0o755, func() ([]byte, error) { return os.ReadFile(sidecar) }); err != nil {
			return written, err
		}
	}
	return written, errors.Join(initEnv(dir, topology, keepPassword, &written))
}

func initEnv(dir string, topology []string, keepPassword bool, written *[]Written) error {
	path := filepath.Join(dir, ".env")
	file, err := ReadEnvFile(path)
	if err != nil {
		return err
	}
	before := file.text
	if file.Line(settings.DatabasePassword) == 0 && !keepPassword {
		file = file.Set(settings.DatabasePassword, Password())
	}
	for _, name := range []string{settings.ReplicationSecret, settings.CodeServerSecret} {
		if file.Line(name) == 0 {
			file = file.Set(name, Password())
		}
	}
	if len(topology) > 1 {
		file = file.Set("COMPOSE_FILE", strings.Join(topology, string(os.PathListSeparator)))
	}
	if file.text == before {
		if exists(path) {
			*written = append(*written, Written{Path: path, Kept: true})
		}
		return nil
	}
	*written = append(*written, Written{Path: path})
	return file.Write(true)
}

// Password is a new password: 192 random bits.
func Password() string {
	bytes := make([]byte, 24)
	if _, err := rand.Read(bytes); err != nil {
		panic(err) // documented never to happen
	}
	return base64.RawURLEncoding.EncodeToString(bytes)
}

package preflight

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/compose-spec/compose-go/v2/types"

	"github.com/inmanta/inmanta-docker/sidecar/authorizedkeys"
	"github.com/inmanta/inmanta-docker/topology"
)

// KeyFile is one file of authorized keys that the ssh sidecar is given.
type KeyFile struct {
	// Path is its place on the host, or in the compose files where it is a text
	// of theirs: "configs.keys".
	Path string
	Text string
	// Irregular says that it is no file that the container can see.
	Irregular bool
	// Barred says that the sidecar's user cannot read it.
	Barred bool
	// Unseen says that this user cannot read it, and the sidecar's can.
	Unseen bool
}

// keySources are where a service's authorized keys come from.
type keySources struct {
	// mounted are files and directories on the host.
	mounted []string
	// written are texts in the compose files and the environment.
	written []KeyFile
	// elsewhere says that keys may come from where nobody can look: a volume.
	elsewhere bool
}

// keysOf finds where the ssh sidecar's authorized keys come from; there is none
// in most topologies.
func keysOf(project *types.Project) (s keySources, ok bool) {
	service, ok := project.Services[topology.SSH]
	if !ok {
		return s, false
	}
	for _, place := range authorizedkeys.Places {
		if m, found := bindOf(service, place); found {
			s.mounted = append(s.mounted, m.Path())
		}
	}
	for _, v := range service.Volumes {
		target := path.Clean(v.Target)
		switch {
		case !within(target, authorizedkeys.Places) && !above(target, authorizedkeys.Places):
		case v.Type != types.VolumeTypeBind:
			s.elsewhere = true
		case !slices.Contains(s.mounted, v.Source) && within(target, authorizedkeys.Places):
			s.mounted = append(s.mounted, v.Source)
		}
	}
	add := func(kind, folder, source, target string, object types.FileObjectConfig) {
		if target == "" {
			target = source
		}
		if !path.IsAbs(target) {
			target = path.Join(folder, target)
		}
		switch text := object.Content; {
		case !within(path.Clean(target), authorizedkeys.Places):
		case bool(object.External):
			s.elsewhere = true
		case object.File != "":
			s.mounted = append(s.mounted, object.File)
		default:
			if text == "" {
				text = project.Environment[object.Environment]
			}
			s.written = append(s.written, KeyFile{Path: kind + "." + source, Text: text})
		}
	}
	for _, c := range service.Configs {
		add("configs", "/", c.Source, c.Target, types.FileObjectConfig(project.Configs[c.Source]))
	}
	for _, c := range service.Secrets {
		add("secrets", "/run/secrets", c.Source, c.Target, types.FileObjectConfig(project.Secrets[c.Source]))
	}
	return s, true
}

// within says that target is one of the places, or below one.
func within(target string, places []string) bool {
	return slices.ContainsFunc(places, func(place string) bool { return target == place || strings.HasPrefix(target, place+"/") })
}

// above says that one of the places is below target.
func above(target string, places []string) bool {
	return slices.ContainsFunc(places, func(place string) bool { return strings.HasPrefix(place, strings.TrimSuffix(target, "/")+"/") })
}

// keyFiles reads what is mounted: files, and the files of directories as the
// sidecar picks them. What is not there gives none.
func keyFiles(mounted []string) []KeyFile {
	files := []KeyFile{}
	for _, source := range mounted {
		// The engine follows links on its way to what it mounts.
		at, err := filepath.EvalSymlinks(source)
		if err != nil {
			if !errors.Is(err, fs.ErrNotExist) {
				files = append(files, KeyFile{Path: source, Unseen: true})
			}
			continue
		}
		info, err := os.Stat(at)
		switch {
		case err != nil:
			files = append(files, KeyFile{Path: source, Unseen: true})
		case !info.IsDir():
			files = append(files, readKeyFile(filepath.Dir(at), filepath.Base(at), source))
		case !permits(info, mayRead) || !permits(info, mayEnter):
			files = append(files, KeyFile{Path: source, Barred: !hasACL(at), Unseen: hasACL(at)})
		default:
			entries, err := os.ReadDir(at)
			if err != nil {
				files = append(files, KeyFile{Path: source, Unseen: true})
			}
			for _, entry := range entries {
				if !strings.HasPrefix(entry.Name(), ".") && !entry.IsDir() {
					files = append(files, readKeyFile(at, entry.Name(), filepath.Join(source, entry.Name())))
				}
			}
		}
	}
	return files
}

// readKeyFile reads one file, seeing no further than the container would: a
// link that leads out of dir leads nowhere.
func readKeyFile(dir, name, path string) KeyFile {
	found := KeyFile{Path: path}
	root, err := os.OpenRoot(dir)
	if err != nil {
		found.Unseen = true
		return found
	}
	defer root.Close()
	info, err := root.Stat(name)
	if err != nil || !info.Mode().IsRegular() {
		found.Irregular = true
		return found
	}
	found.Barred = !permits(info, mayRead) && !hasACL(filepath.Join(dir, name))
	// What was a file a moment ago may be a pipe by now: never wait for one.
	file, err := root.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		found.Unseen = !found.Barred
		return found
	}
	defer file.Close()
	// One byte more than is allowed says that there are more.
	text, err := io.ReadAll(io.LimitReader(file, authorizedkeys.LargestText+1))
	found.Text, found.Unseen = string(text), err != nil && !found.Barred
	return found
}

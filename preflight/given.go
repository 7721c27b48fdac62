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

// GivenFile is one file that a sidecar is given to go by.
type GivenFile struct {
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

// given is where what a service finds at some of its paths comes from.
type given struct {
	// mounted are files and directories on the host.
	mounted []string
	// written are texts in the compose files and the environment.
	written []GivenFile
	// elsewhere says that more may come from where nobody can look: a volume.
	elsewhere bool
}

// keysOf finds where the ssh sidecar's authorized keys come from; there is none
// in most topologies.
func keysOf(project *types.Project) (given, bool) {
	return givenAt(project, topology.SSH, authorizedkeys.Places)
}

// givenAt finds what a service, if there is one of that name, is given at places
// in its container.
func givenAt(project *types.Project, name string, places []string) (s given, ok bool) {
	service, ok := project.Services[name]
	if !ok {
		return s, false
	}
	for _, place := range places {
		if m, found := bindOf(service, place); found {
			s.mounted = append(s.mounted, m.Path())
		}
	}
	for _, v := range service.Volumes {
		target := path.Clean(v.Target)
		switch {
		case !within(target, places) && !above(target, places):
		case v.Type != types.VolumeTypeBind:
			s.elsewhere = true
		case !slices.Contains(s.mounted, v.Source) && within(target, places):
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
		case !within(path.Clean(target), places):
		case bool(object.External):
			s.elsewhere = true
		case object.File != "":
			s.mounted = append(s.mounted, object.File)
		default:
			if text == "" {
				text = project.Environment[object.Environment]
			}
			s.written = append(s.written, GivenFile{Path: kind + "." + source, Text: text})
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

// readGiven reads what is mounted: files of at most largest bytes and, where
// folders may be given, the files of directories as the sidecar picks them. What
// is not there gives none.
func readGiven(mounted []string, folders bool, largest int64) []GivenFile {
	files := []GivenFile{}
	for _, source := range mounted {
		// The engine follows links on its way to what it mounts.
		at, err := filepath.EvalSymlinks(source)
		if err != nil {
			if !errors.Is(err, fs.ErrNotExist) {
				files = append(files, GivenFile{Path: source, Unseen: true})
			}
			continue
		}
		info, err := os.Stat(at)
		switch {
		case err != nil:
			files = append(files, GivenFile{Path: source, Unseen: true})
		case !info.IsDir() || !folders:
			files = append(files, readOne(filepath.Dir(at), filepath.Base(at), source, largest))
		case !permits(info, mayRead) || !permits(info, mayEnter):
			files = append(files, GivenFile{Path: source, Barred: !hasACL(at), Unseen: hasACL(at)})
		default:
			entries, err := os.ReadDir(at)
			if err != nil {
				files = append(files, GivenFile{Path: source, Unseen: true})
			}
			for _, entry := range entries {
				if !strings.HasPrefix(entry.Name(), ".") && !entry.IsDir() {
					files = append(files, readOne(at, entry.Name(), filepath.Join(source, entry.Name()), largest))
				}
			}
		}
	}
	return files
}

// readOne reads one file, seeing no further than the container would: a
// link that leads out of dir leads nowhere.
func readOne(dir, name, path string, largest int64) GivenFile {
	found := GivenFile{Path: path}
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
	text, err := io.ReadAll(io.LimitReader(file, largest+1))
	found.Text, found.Unseen = string(text), err != nil && !found.Barred
	return found
}

// Package deployment is one deployment on disk: a directory with its compose
// files and its .env, the topology chosen for it, and its settings with where
// each came from.
package deployment

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"sort"
	"strings"

	"github.com/compose-spec/compose-go/v2/cli"
	"github.com/compose-spec/compose-go/v2/dotenv"

	inmantadocker "github.com/inmanta/inmanta-docker"
	"github.com/inmanta/inmanta-docker/problem"
	"github.com/inmanta/inmanta-docker/settings"
)

// Base is the compose file that every topology begins with.
const Base = "docker-compose.yml"

// None is the ID of the problem that there is no deployment where one was looked for.
const None = "no-deployment"

// Request is what the command line asks for. The zero value means the
// deployment in WorkDir.
type Request struct {
	// Files are -f: paths of compose files, in order; Stdin for standard input.
	Files []string
	// With are --with: names of overlays to add to Base.
	With []string
	// EnvFiles are --env-file; default is .env in the project directory.
	EnvFiles []string
	// Env are --env: NAME=value, or NAME to take it from the shell.
	Env []string
	// ProjectName is -p.
	ProjectName string
	// ProjectDirectory is --project-directory.
	ProjectDirectory string
	// Composing are the flags that say how to compose the files.
	Composing Composing
	// Stdin reads standard input to its end, and gives the same at each call.
	Stdin func() ([]byte, error)
	// WorkDir is where the command runs; absolute.
	WorkDir string
	// Environ is the shell's environment, NAME=value each.
	Environ []string
}

// Composing are the stock tool's flags that say how compose files become a project.
type Composing struct {
	// Profiles are --profile: those whose services belong to it.
	Profiles []string
	// Compatibility is --compatibility: names as Compose 1 made them.
	Compatibility bool
}

// File is one compose file of the topology.
type File struct {
	// Path is absolute, or Stdin.
	Path string
	// Embedded is set where the file is not on disk: its text comes from this
	// binary or from standard input.
	Embedded []byte
}

// Name is the file's name.
func (f File) Name() string { return filepath.Base(f.Path) }

// Source is where a variable got its value.
type Source string

// Where values come from, the strongest first.
const (
	Flag    Source = "--env"
	Shell   Source = "shell"
	FromEnv Source = "env file"
)

// Variable is one variable with where its value came from.
type Variable struct {
	Name   string `json:"name"`
	Value  string `json:"value"`
	Source Source `json:"source"`
	// Where is the file and line for FromEnv: "/srv/inmanta/.env:3".
	Where string `json:"where,omitempty"`
}

// Place says in words where the value came from.
func (v Variable) Place() string {
	switch v.Source {
	case Shell:
		return "the shell's " + v.Name
	case Flag:
		return "--env " + v.Name
	default:
		return v.Where
	}
}

// Deployment is an opened deployment.
type Deployment struct {
	// Dir is the project directory; absolute.
	Dir string
	// Files are the topology.
	Files []File
	// ProjectName is as asked with -p; empty to let Compose find it.
	ProjectName string
	// EnvFiles are the environment files read.
	EnvFiles []EnvFile
	// ExplicitEnvFiles says that they were named with --env-file.
	ExplicitEnvFiles bool
	// Composing are the flags that say how to compose the files.
	Composing Composing
	// Variables are all variables that compose files may interpolate.
	Variables map[string]Variable
	// Chosen says that the topology was named on the command line, and so is
	// to be remembered by `up`.
	Chosen bool
}

// Open finds the deployment that req means. It changes nothing, and reports
// everything wrong with the request at once.
func Open(req Request) (Deployment, error) {
	var problems problem.List
	shell := map[string]string{}
	for _, pair := range req.Environ {
		name, value, _ := strings.Cut(pair, "=")
		shell[name] = value
	}
	flags, flagProblems := envFlags(req.Env, shell)
	problems = append(problems, flagProblems...)

	d := Deployment{
		ProjectName: req.ProjectName, ExplicitEnvFiles: len(req.EnvFiles) > 0, Composing: req.Composing,
		Chosen: len(req.Files)+len(req.With) > 0,
	}
	d.Dir = req.WorkDir
	if req.ProjectDirectory != "" {
		d.Dir = absolute(req.WorkDir, req.ProjectDirectory)
	} else if dir, ok := besides(composeFiles(req.WorkDir, req.Files)); ok {
		d.Dir = dir
	}
	if info, err := os.Stat(d.Dir); err != nil || !info.IsDir() {
		return Deployment{}, append(problems, problem.Problem{
			ID: "no-directory", Where: d.Dir, What: "there is no such directory",
			Fix: "name the deployment's directory, or make it with inmanta-docker init", Err: err,
		})
	}

	paths, err := d.topology(req, shell, flags)
	problems = append(problems, problem.In(err)...)
	if dir, ok := besides(paths); ok && req.ProjectDirectory == "" && len(req.Files) == 0 {
		d.Dir = dir
	}
	files, fileProblems := open(paths, req.Stdin)
	d.Files = files
	problems = append(problems, fileProblems...)

	envFiles, err := readEnvFiles(d.Dir, req, shell)
	problems = append(problems, problem.In(err)...)
	d.EnvFiles = envFiles
	variables, err := merge(flags, shell, envFiles)
	problems = append(problems, problem.In(err)...)
	d.Variables = variables
	return d, problems.OrNil()
}

func absolute(dir, path string) string {
	if filepath.IsAbs(path) {
		return filepath.Clean(path)
	}
	return filepath.Join(dir, path)
}

var nameForm = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

func envFlags(pairs []string, shell map[string]string) (map[string]string, problem.List) {
	flags := map[string]string{}
	var problems problem.List
	for _, pair := range pairs {
		name, value, given := strings.Cut(pair, "=")
		if !nameForm.MatchString(name) {
			problems = append(problems, problem.Problem{
				ID: "env-flag", Where: "--env " + name, What: fmt.Sprintf("%q is not a variable's name", name),
				Fix: "write --env NAME=value, or --env NAME to take it from the shell",
			})
			continue
		}
		if !given {
			var ok bool
			if value, ok = shell[name]; !ok {
				problems = append(problems, problem.Problem{
					ID: "env-flag", Where: "--env " + name, What: "the shell has no such variable",
					Fix: fmt.Sprintf("export it first, or write --env %s=value", name),
				})
				continue
			}
		}
		flags[name] = value
	}
	return flags, problems
}

// topology lists the compose files: -f and --with; else COMPOSE_FILE; else
// what the stock tool would find from here.
func (d Deployment) topology(req Request, shell, flags map[string]string) ([]string, error) {
	paths := composeFiles(req.WorkDir, req.Files)
	if len(req.With) > 0 {
		if len(paths) == 0 {
			paths = []string{filepath.Join(d.Dir, Base)}
		}
		var problems problem.List
		for _, name := range req.With {
			file := OverlayFile(name)
			path := filepath.Join(d.Dir, file)
			if !slices.Contains(Overlays(), name) && !exists(path) {
				problems = append(problems, UnknownOverlay("--with "+name, name))
				continue
			}
			if !slices.Contains(paths, path) {
				paths = append(paths, path)
			}
		}
		if len(problems) > 0 {
			return nil, problems
		}
	}
	if len(paths) > 0 {
		return paths, nil
	}

	lookup := func(name string) string {
		if v, ok := flags[name]; ok {
			return v
		}
		if v, ok := shell[name]; ok {
			return v
		}
		files, err := readEnvFiles(d.Dir, req, shell)
		if err != nil {
			return "" // reported by Open
		}
		variables, _ := merge(flags, shell, files)
		return variables[name].Value
	}
	if list := lookup("COMPOSE_FILE"); list != "" {
		separator := lookup("COMPOSE_PATH_SEPARATOR")
		if separator == "" {
			separator = string(os.PathListSeparator)
		}
		return composeFiles(req.WorkDir, strings.Split(list, separator)), nil
	}
	for dir := d.Dir; ; dir = filepath.Dir(dir) {
		for _, name := range cli.DefaultFileNames {
			if !exists(filepath.Join(dir, name)) {
				continue
			}
			paths = append(paths, filepath.Join(dir, name))
			for _, override := range cli.DefaultOverrideFileNames {
				if exists(filepath.Join(dir, override)) {
					return append(paths, filepath.Join(dir, override)), nil
				}
			}
			return paths, nil
		}
		if dir == filepath.Dir(dir) {
			break
		}
	}
	return nil, problem.Problem{
		ID: None, Where: d.Dir, What: "there is no deployment here: no docker-compose.yml and no COMPOSE_FILE in .env",
		Fix: "go to the deployment's directory, or make one here with inmanta-docker init",
	}
}

func exists(path string) bool {
	info, err := os.Stat(path)
	return err == nil && !info.IsDir()
}

// Overlays are the names of the overlays that this binary carries.
func Overlays() []string {
	entries, _ := fs.Glob(inmantadocker.Files, "docker-compose.*.yml")
	var names []string
	for _, e := range entries {
		names = append(names, strings.TrimSuffix(strings.TrimPrefix(e, "docker-compose."), ".yml"))
	}
	sort.Strings(names)
	return names
}

// OverlayFile is the file of the overlay called name.
func OverlayFile(name string) string { return "docker-compose." + name + ".yml" }

// UnknownOverlay is the problem of naming an overlay that this binary does not carry.
func UnknownOverlay(where, name string) problem.Problem {
	return problem.Problem{
		ID: "unknown-overlay", Where: where, What: fmt.Sprintf("there is no overlay %q", name),
		Fix: "the overlays are: " + strings.Join(Overlays(), ", "),
	}
}

// open takes each file from disk, or from this binary where it is one of ours.
func open(paths []string, stdin func() ([]byte, error)) ([]File, problem.List) {
	var files []File
	var problems problem.List
	for i, path := range paths {
		if path == Stdin {
			f, err := openStdin(slices.Contains(paths[:i], Stdin), stdin)
			files, problems = append(files, f), append(problems, problem.In(err)...)
			continue
		}
		f := File{Path: path}
		if _, err := os.Stat(path); err == nil {
			files = append(files, f)
			continue
		} else if !errors.Is(err, fs.ErrNotExist) {
			problems = append(problems, problem.Problem{
				ID: "compose-file-unreadable", Where: path, What: fmt.Sprintf("the compose file cannot be read: %v", unwrapPath(err)),
				Fix: "give this user the right to read it, or run as its owner", Err: err,
			})
			continue
		}
		content, err := inmantadocker.Files.ReadFile(f.Name())
		if err != nil {
			problems = append(problems, problem.Problem{
				ID: "unknown-overlay", Where: path, What: "there is no such compose file, and this binary carries none of that name",
				Fix: "check the path; the files it carries are " + Base + ", docker-compose." +
					strings.Join(Overlays(), ".yml, docker-compose.") + ".yml",
			})
			continue
		}
		f.Embedded = content
		files = append(files, f)
	}
	return files, problems
}

// readEnvFiles reads --env-file, or COMPOSE_ENV_FILES, or .env in dir.
func readEnvFiles(dir string, req Request, shell map[string]string) ([]EnvFile, error) {
	paths := slices.Clone(req.EnvFiles)
	if len(paths) == 0 {
		paths = strings.FieldsFunc(shell["COMPOSE_ENV_FILES"], func(r rune) bool { return r == ',' })
	}
	explicit := len(paths) > 0
	if !explicit {
		paths = []string{filepath.Join(dir, ".env")}
	}
	var files []EnvFile
	var problems problem.List
	for _, path := range paths {
		path = absolute(req.WorkDir, path)
		if explicit && !exists(path) {
			problems = append(problems, problem.Problem{
				ID: "env-file-missing", Where: path, What: "there is no such environment file", Fix: "check the path given with --env-file",
			})
			continue
		}
		file, err := ReadEnvFile(path)
		if err != nil {
			problems = append(problems, problem.In(err)...)
			continue
		}
		files = append(files, file)
	}
	return files, problems.OrNil()
}

// merge gives every variable its value: --env over the shell over environment files.
func merge(flags, shell map[string]string, files []EnvFile) (map[string]Variable, error) {
	variables := map[string]Variable{}
	known := map[string]string{}
	for _, layer := range []struct {
		source Source
		values map[string]string
	}{{Flag, flags}, {Shell, shell}} {
		for name, value := range layer.values {
			if _, ok := known[name]; !ok {
				known[name] = value
				variables[name] = Variable{Name: name, Value: value, Source: layer.source}
			}
		}
	}
	values := map[string]string{}
	for _, f := range files {
		parsed, err := dotenv.ParseWithLookup(strings.NewReader(f.text), func(name string) (string, bool) {
			if v, ok := known[name]; ok {
				return v, true
			}
			v, ok := values[name]
			return v, ok
		})
		if err != nil {
			return nil, malformed(f.Path, f.text, err)
		}
		maps.Copy(values, parsed)
		for _, name := range f.Names() {
			if _, stronger := known[name]; !stronger {
				variables[name] = Variable{Name: name, Value: values[name], Source: FromEnv, Where: fmt.Sprintf("%s:%d", f.Path, f.Line(name))}
			}
		}
	}
	return variables, nil
}

// Setting is what a setting of that name is worth here, and the variable that
// says so; ok is false where its default holds.
func (d Deployment) Setting(name string) (value string, from Variable, ok bool) {
	if v := d.Variables[name]; v.Value != "" {
		return v.Value, v, true
	}
	s, _ := settings.Find(name)
	return s.Default, Variable{}, false
}

// Env are all variables as NAME=value, for Compose.
func (d Deployment) Env() []string {
	pairs := make([]string, 0, len(d.Variables))
	for _, v := range d.Variables {
		pairs = append(pairs, v.Name+"="+v.Value)
	}
	sort.Strings(pairs)
	return pairs
}

package deployment

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/inmanta/inmanta-docker/problem"
)

// directory is a new directory with files by name.
func directory(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestTopologyOfARequest(t *testing.T) {
	const mine = "services: {}\n"
	for _, c := range []struct {
		name  string
		files map[string]string
		req   Request
		want  []string // names of the files; "+" before those of this binary
	}{
		{"what is there", map[string]string{"docker-compose.yml": mine}, Request{}, []string{"docker-compose.yml"}},
		{"an override, as the stock tool", map[string]string{"compose.yaml": mine, "compose.override.yml": mine}, Request{}, []string{"compose.yaml", "compose.override.yml"}},
		{"-f", map[string]string{"docker-compose.yml": mine, "b.yml": mine}, Request{Files: []string{"docker-compose.yml", "b.yml"}}, []string{"docker-compose.yml", "b.yml"}},
		{"-f of this binary", nil, Request{Files: []string{"docker-compose.yml", "docker-compose.iso.yml"}}, []string{"+docker-compose.yml", "+docker-compose.iso.yml"}},
		{"--with", map[string]string{"docker-compose.yml": mine}, Request{With: []string{"iso"}}, []string{"docker-compose.yml", "+docker-compose.iso.yml"}},
		{"--with twice the same", nil, Request{With: []string{"iso", "iso"}}, []string{"+docker-compose.yml", "+docker-compose.iso.yml"}},
		{"--with an overlay of one's own", map[string]string{"docker-compose.mine.yml": mine}, Request{With: []string{"mine"}}, []string{"+docker-compose.yml", "docker-compose.mine.yml"}},
		{"-f and --with", map[string]string{"b.yml": mine}, Request{Files: []string{"docker-compose.yml", "b.yml"}, With: []string{"iso"}}, []string{"+docker-compose.yml", "b.yml", "+docker-compose.iso.yml"}},
		{"remembered", map[string]string{".env": "COMPOSE_FILE=docker-compose.yml:b.yml\n", "docker-compose.yml": mine, "b.yml": mine}, Request{}, []string{"docker-compose.yml", "b.yml"}},
		{"remembered, with another separator", map[string]string{".env": "COMPOSE_PATH_SEPARATOR=,\nCOMPOSE_FILE=docker-compose.yml,b.yml\n", "docker-compose.yml": mine, "b.yml": mine}, Request{}, []string{"docker-compose.yml", "b.yml"}},
		{"the shell over .env", map[string]string{".env": "COMPOSE_FILE=b.yml\n", "docker-compose.yml": mine, "b.yml": mine}, Request{Environ: []string{"COMPOSE_FILE=docker-compose.yml"}}, []string{"docker-compose.yml"}},
		{"-f over what is remembered", map[string]string{".env": "COMPOSE_FILE=b.yml\n", "docker-compose.yml": mine, "b.yml": mine}, Request{Files: []string{"docker-compose.yml"}}, []string{"docker-compose.yml"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.req.WorkDir = directory(t, c.files)
			d, err := Open(c.req)
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, f := range d.Files {
				name := f.Name()
				if f.Embedded != nil {
					name = "+" + name
				}
				got = append(got, name)
			}
			if !slices.Equal(got, c.want) {
				t.Errorf("got %v, want %v", got, c.want)
			}
		})
	}
}

func TestVariablesAndWhereTheyComeFrom(t *testing.T) {
	dir := directory(t, map[string]string{
		"docker-compose.yml": "services: {}\n",
		".env":               "A=env\nB=env\nC=env\nD=${A}-${X}\n",
	})
	d, err := Open(Request{WorkDir: dir, Environ: []string{"B=shell", "C=shell", "X=shell"}, Env: []string{"C=flag", "X"}})
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]Variable{
		"A": {"A", "env", FromEnv, filepath.Join(dir, ".env") + ":1"},
		"B": {"B", "shell", Shell, ""},
		"C": {"C", "flag", Flag, ""},
		"D": {"D", "env-shell", FromEnv, filepath.Join(dir, ".env") + ":4"},
		"X": {"X", "shell", Flag, ""},
	} {
		if got := d.Variables[name]; got != want {
			t.Errorf("%s: %+v, want %+v", name, got, want)
		}
	}
}

func TestEverythingWrongWithARequestAtOnce(t *testing.T) {
	dir := directory(t, map[string]string{"docker-compose.yml": "services: {}\n"})
	_, err := Open(Request{
		WorkDir: dir, Files: []string{"docker-compose.yml", "nope.yml"},
		Env: []string{"A B=1", "NOT_THERE"}, EnvFiles: []string{"missing.env"},
	})
	var where []string
	for _, p := range problem.In(err) {
		if p.Fix == "" {
			t.Errorf("%v has no fix", p)
		}
		where = append(where, p.Where)
	}
	want := []string{"--env A B", "--env NOT_THERE", filepath.Join(dir, "nope.yml"), filepath.Join(dir, "missing.env")}
	if !slices.Equal(where, want) {
		t.Errorf("got %q, want %q", where, want)
	}
}

func TestRememberAndMaterialise(t *testing.T) {
	dir := directory(t, map[string]string{".env": "# mine\n"})
	d, err := Open(Request{WorkDir: dir, With: []string{"iso"}})
	if err != nil {
		t.Fatal(err)
	}
	written, d, err := d.Materialise()
	if err != nil || len(written) != 2 {
		t.Fatalf("wrote %v: %v", written, err)
	}
	if changed, err := d.Remember(); err != nil || !changed {
		t.Fatalf("remembered: %v, %v", changed, err)
	}
	text, err := os.ReadFile(filepath.Join(dir, ".env"))
	if err != nil || string(text) != "# mine\nCOMPOSE_FILE=docker-compose.yml:docker-compose.iso.yml\n" {
		t.Errorf(".env is %q: %v", text, err)
	}
	again, err := Open(Request{WorkDir: dir, With: []string{"iso"}})
	if err != nil {
		t.Fatal(err)
	}
	if changed, err := again.Remember(); err != nil || changed {
		t.Errorf("remembered what was remembered: %v, %v", changed, err)
	}
	// The operator's own environment files are not written to.
	explicit, err := Open(Request{WorkDir: dir, Files: []string{"docker-compose.yml"}, EnvFiles: []string{".env"}})
	if err != nil {
		t.Fatal(err)
	}
	if changed, err := explicit.Remember(); err != nil || changed {
		t.Errorf("remembered in --env-file: %v, %v", changed, err)
	}
}

func TestStandardInput(t *testing.T) {
	dir := directory(t, map[string]string{"docker-compose.yml": "services: {}\n", ".env": ""})
	below := filepath.Join(dir, "below")
	if err := os.Mkdir(below, 0o755); err != nil {
		t.Fatal(err)
	}
	text := func() ([]byte, error) { return []byte("services: {}\n"), nil }
	for name, c := range map[string]struct {
		req Request
		dir string
	}{
		"alone":             {Request{WorkDir: below, Files: []string{"-"}, Stdin: text}, below},
		"beside another":    {Request{WorkDir: below, Files: []string{"-", "../docker-compose.yml"}, Stdin: text}, dir},
		"with a directory":  {Request{WorkDir: below, Files: []string{"-"}, ProjectDirectory: "..", Stdin: text}, dir},
		"from the shell":    {Request{WorkDir: below, Environ: []string{"COMPOSE_FILE=-:../docker-compose.yml"}, Stdin: text}, dir},
		"below an overlay":  {Request{WorkDir: dir, Files: []string{"-"}, With: []string{"iso"}, Stdin: text}, dir},
		"and --env-file":    {Request{WorkDir: dir, Files: []string{"-"}, EnvFiles: []string{".env"}, Stdin: text}, dir},
		"and a lone --with": {Request{WorkDir: dir, With: []string{"iso"}, Environ: []string{"COMPOSE_FILE=-"}}, dir},
	} {
		d, err := Open(c.req)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if d.Dir != c.dir {
			t.Errorf("%s: in %s, want %s", name, d.Dir, c.dir)
		}
		if want := c.req.Stdin != nil; d.FromStdin() != want {
			t.Errorf("%s: from standard input: %v", name, !want)
		}
		if !d.FromStdin() {
			continue
		}
		if written, _, err := d.Materialise(); err != nil || len(written) != len(c.req.With) {
			t.Errorf("%s: wrote %v: %v", name, written, err)
		}
		if changed, err := d.Remember(); err != nil || changed {
			t.Errorf("%s: remembered: %v, %v", name, changed, err)
		}
	}

	for name, c := range map[string]struct {
		files []string
		text  string
		err   error
		id    string
	}{
		"empty":      {[]string{"-"}, "", nil, "compose-file-empty"},
		"unreadable": {[]string{"-"}, "", os.ErrClosed, "compose-file-unreadable"},
		"twice":      {[]string{"-", "docker-compose.yml", "-"}, "services: {}\n", nil, "stdin-twice"},
	} {
		_, err := Open(Request{WorkDir: dir, Files: c.files, Stdin: func() ([]byte, error) { return []byte(c.text), c.err }})
		if problems := problem.In(err); len(problems) != 1 || problems[0].ID != c.id || problems[0].Fix == "" {
			t.Errorf("%s: %#v, want one %s", name, problems, c.id)
		}
	}
}

func TestPasswordsDiffer(t *testing.T) {
	a, b := Password(), Password()
	if a == b || len(a) != 32 || strings.ContainsAny(a+b, "+/=$ ") {
		t.Errorf("%q and %q", a, b)
	}
}

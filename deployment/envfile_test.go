package deployment

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/compose-spec/compose-go/v2/dotenv"

	"github.com/inmanta/inmanta-docker/problem"
)

func TestEnvFileLines(t *testing.T) {
	text := "# comment\nA=1\n\nexport B = two # no\nC='three\nlines'\nINHERITED\nD: yaml\nA=last"
	f, err := parseEnvFile(".env", text)
	if err != nil {
		t.Fatal(err)
	}
	for name, line := range map[string]int{"A": 9, "B": 4, "C": 5, "D": 8, "INHERITED": 0, "Z": 0} {
		if got := f.Line(name); got != line {
			t.Errorf("%s is set in line %d, want %d", name, got, line)
		}
	}
	if got := f.Names(); !slices.Equal(got, []string{"A", "B", "C", "D"}) {
		t.Errorf("names %v", got)
	}
}

func TestEnvFileMalformedNamesTheLine(t *testing.T) {
	for text, where := range map[string]string{
		"A=1\nB C=2\n":     "x/.env:2",
		"A=1\n\n@=2\n":     "x/.env:3",
		"A=1\nB='open\n..": "x/.env:",
	} {
		_, err := parseEnvFile("x/.env", text)
		p := problem.In(err)
		if len(p) != 1 || p[0].ID != "env-file-malformed" || !strings.HasPrefix(p[0].Where, where) {
			t.Errorf("%q: %#v, want a problem at %s", text, p, where)
		}
	}
}

func TestEnvFileSetKeepsTheRest(t *testing.T) {
	before := "# mine\nA=1\nB='x\ny' \n# end"
	f, err := parseEnvFile(".env", before)
	if err != nil {
		t.Fatal(err)
	}
	got := f.Set("B", "it's $5").Set("NEW", "a b").text
	want := "# mine\nA=1\nB=\"it's \\$5\" \n# end\nNEW='a b'\n"
	if got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestEnvFileWrite(t *testing.T) {
	path := filepath.Join(t.TempDir(), ".env")
	mode := func() os.FileMode {
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		return info.Mode().Perm()
	}
	f, err := ReadEnvFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Set("A", "1").Write(false); err != nil {
		t.Fatal(err)
	}
	if mode() != 0o600 {
		t.Errorf("a new file has mode %o", mode())
	}
	if err := os.Chmod(path, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := f.Set("A", "2").Write(false); err != nil {
		t.Fatal(err)
	}
	if mode() != 0o644 {
		t.Errorf("an existing file's mode became %o", mode())
	}
	if err := f.Set("A", "secret").Write(true); err != nil {
		t.Fatal(err)
	}
	if mode() != 0o600 {
		t.Errorf("a file with a secret has mode %o", mode())
	}
	if entries, _ := os.ReadDir(filepath.Dir(path)); len(entries) != 1 {
		t.Errorf("left behind: %v", entries)
	}
}

// Whatever compose-go accepts, the scanner finds the same names in it, and
// setting one changes that one and no other.
func FuzzEnvFile(f *testing.F) {
	f.Add("A=1\nexport B=\"x\\\"y\"\nC='a\nb' # c\nD: 5\nE\n", "B", "v")
	f.Add("A=$B ${C:-x}\r\n", "A", "it's \\ \"$HOME\" # no")
	f.Add("", "NEW", " ends ")
	f.Add("A='x'B=2\n", "B", "\x00\n\t")
	f.Fuzz(func(t *testing.T, text, name, value string) {
		none := func(string) (string, bool) { return "", false }
		before, err := dotenv.ParseWithLookup(strings.NewReader(text), none)
		if err != nil {
			return
		}
		delete(before, "") // a last line without an end and without a sign
		file, err := parseEnvFile(".env", text)
		if err != nil {
			return
		}
		names := slices.Sorted(slices.Values(file.Names()))
		if want := slices.Sorted(maps.Keys(before)); !slices.Equal(names, want) {
			t.Fatalf("%q sets %q, the scanner found %q", text, want, names)
		}
		if !nameForm.MatchString(name) || strings.ContainsAny(value, "\x00\r") || !plainText(value) {
			return
		}
		after, err := dotenv.ParseWithLookup(strings.NewReader(file.Set(name, value).text), none)
		if err != nil {
			t.Fatalf("after Set(%q, %q) on %q: %v", name, value, text, err)
		}
		if after[name] != value {
			t.Fatalf("Set(%q, %q) reads back as %q", name, value, after[name])
		}
	})
}

func plainText(s string) bool {
	for _, r := range s {
		if r == 0xfffd || (r < ' ' && r != '\n' && r != '\t') || r >= 0x7f && r < 0xa0 || !strings.ContainsRune(s, r) {
			return false
		}
	}
	return true
}

// Ways to write public keys, of which the README and the seed know several.
func TestEnvFileWithPublicKeys(t *testing.T) {
	const one, two = "ssh-rsa AAAA+/= me@host", "ssh-ed25519 AAAA you"
	for text, want := range map[string]struct {
		value string
		// lines are where the value's lines stand.
		lines []int
		// stray is where a key stands that is in no value; 0 for none.
		stray int
	}{
		"K=" + one:                                   {one, []int{1}, 0},
		"# me\nK=" + one + "\n":                      {one, []int{2}, 0},
		"K=" + one + " # laptop\n":                   {one, []int{1}, 0},
		"K='" + one + " # laptop'\n":                 {one + " # laptop", []int{1}, 0},
		"A=1\nK='" + one + "\n" + two + "'\n":        {one + "\n" + two, []int{2, 3}, 0},
		"A=1\nK=\"" + one + "\n" + two + "\"\nB=1\n": {one + "\n" + two, []int{2, 3}, 0},
		"A=1\nK=\"" + one + `\n` + two + "\"\n":      {one + "\n" + two, []int{2, 2}, 0},
		"K='\n" + one + "\n\n" + two + "\n'\n":       {"\n" + one + "\n\n" + two + "\n", []int{1, 2, 3, 4}, 0},
		"K=" + one + "\nK=" + two + "\n":             {two, []int{2}, 0},
		`K=from="10.0.0.0/8" ` + one + "\n":          {`from="10.0.0.0/8" ` + one, []int{1}, 0},
		"K=" + one + "\n" + two + "\n":               {stray: 2},
		"K=" + one + "\n" + one + "\n":               {stray: 2},
		"K=\n" + two + "\n":                          {stray: 2},
		"# " + one + "\nK='" + one + "'\n " + two:    {stray: 3},
		"K='" + one + "\n" + two + "'\n" + one:       {stray: 3},
	} {
		file, err := parseEnvFile(".env", text)
		if want.stray > 0 {
			p := problem.In(err)
			if len(p) != 1 || !strings.Contains(p[0].What, "this public key is not part") || p[0].Where != ".env:"+strconv.Itoa(want.stray) || !strings.Contains(p[0].Fix, "single quotes") {
				t.Errorf("%q: %#v, want a stray key in line %d", text, p, want.stray)
			}
			continue
		}
		if err != nil {
			t.Errorf("%q: %v", text, err)
			continue
		}
		variables, err := merge(nil, nil, []EnvFile{file})
		if err != nil || variables["K"].Value != want.value {
			t.Errorf("%q is %q (%v), want %q", text, variables["K"].Value, err, want.value)
		}
		for i, line := range want.lines {
			if got := file.ValueLine("K", i+1); got != line {
				t.Errorf("%q: line %d of the value stands in line %d, want %d", text, i+1, got, line)
			}
		}
	}
}

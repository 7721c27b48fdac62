package modulesource

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/inmanta/inmanta-docker/problem"
)

func TestURLs(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]Repository{
		"https://github.com/me/hello.git":          {Transport: HTTPS, Host: "github.com"},
		"https://deploy@git.example.com:8443/a/b":  {Transport: HTTPS, Host: "git.example.com:8443", User: "deploy"},
		"http://git/hello":                         {Transport: HTTP, Host: "git"},
		"ssh://git@git.example.com:2222/hello.git": {Transport: SSH, Host: "git.example.com:2222", User: "git"},
		"git@github.com:me/hello.git":              {Transport: SSH, Host: "github.com", User: "git"},
		"github.com:me/hello":                      {Transport: SSH, Host: "github.com"},
		"git@[::1]:hello.git":                      {Transport: SSH, Host: "[::1]", User: "git"},
		"git://127.0.0.1/hello":                    {Transport: Git, Host: "127.0.0.1"},
		"file:///srv/hello.git":                    {Transport: File},
		"/srv/inmanta-offline/hello":               {Transport: File},
	} {
		got, err := ParseURL(text)
		want.URL = text
		if err != nil || got != want {
			t.Errorf("%s is read as %+v, %v; want %+v", text, got, err, want)
		}
		if got.Name() != "hello" && !strings.HasSuffix(text, "/a/b") {
			t.Errorf("%s is called %q", text, got.Name())
		}
	}
	for text, id := range map[string]string{
		"":                                  "module-url",
		"hello":                             "module-url",
		"./hello":                           "module-url",
		"--upload-pack=touch /tmp/x":        "module-url",
		"-oProxyCommand=x:y":                "module-url",
		"ext::sh -c id":                     "module-url",
		"ext::id":                           "module-url",
		"ftp://example.com/hello":           "module-url",
		"https:///hello":                    "module-url",
		"ssh://-oProxyCommand=id/hello":     "module-url",
		"https://a b/c":                     "module-url",
		"https://a/b\nc":                    "module-url",
		"https://me:hunter22@git/hello":     "module-url-secret",
		"https://:hunter22@git/hello":       "module-url-secret",
		"https://ghp_hunter22@github.com/x": "module-url-secret",
		"https://me:hunter22@git:port/x":    "module-url",
	} {
		_, err := ParseURL(text)
		var p problem.Problem
		if !errors.As(err, &p) || p.ID != id || p.Fix == "" {
			t.Errorf("%q is answered with %#v, want %s", text, err, id)
		}
		if strings.Contains(p.What+p.Fix, "hunter22") {
			t.Errorf("%q: the message shows the secret: %s", text, p.What)
		}
	}
}

func TestBranches(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"master", "feature/x", "v1.2.3", "a-b_c", "ünïcode", "issue#7"} {
		if err := CheckBranch(name); err != nil {
			t.Errorf("%q is refused: %v", name, err)
		}
	}
	for _, name := range []string{"", "-x", "--upload-pack=x", "a b", "a..b", "HEAD~1", "x^", "a:b", "a//b", "/a", "a/", "a.", "a/.b", "a.lock", "a.lock/b", "@", "x@{1}", "a\tb"} {
		if CheckBranch(name) == nil {
			t.Errorf("%q is taken", name)
		}
	}
}

func TestArguments(t *testing.T) {
	t.Parallel()
	for text, want := range map[string][]string{
		"":                                  nil,
		"tests":                             {"tests"},
		"tests -k 'a or b' -x":              {"tests", "-k", "a or b", "-x"},
		`tests "-m=not slow" a\ b`:          {"tests", "-m=not slow", "a b"},
		"tests; rm -rf $HOME `id` $(id) *#": {"tests;", "rm", "-rf", "$HOME", "`id`", "$(id)", "*#"},
		"a\nb":                              {"a", "b"},
	} {
		got, err := Arguments(text)
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("%q is split into %q, %v; want %q", text, got, err, want)
		}
	}
	for _, text := range []string{"'open", `"open`, `end\`} {
		var p problem.Problem
		if _, err := Arguments(text); !errors.As(err, &p) || p.Fix == "" {
			t.Errorf("%q is answered with %v", text, err)
		}
	}
}

// Whatever is read, git gets no option of it and no way to run a program.
func FuzzURL(f *testing.F) {
	for _, seed := range []string{"https://a/b", "git@a:b", "a:b", "-a:b", "ext::x", "ssh://-x/y", "//a", "file:///a", "[::1]:a", "a@-b:c"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		r, err := ParseURL(text)
		if err != nil {
			return
		}
		helper, _, _ := strings.Cut(r.URL, "::") // git-remote-HELPER is a program
		if strings.HasPrefix(r.URL, "-") || strings.HasPrefix(r.Host, "-") || strings.HasPrefix(r.User, "-") || helper != r.URL && !strings.ContainsAny(helper, "/@[:") {
			t.Fatalf("%q is taken as %+v", text, r)
		}
		if (r.Host == "") != (r.Transport == File) {
			t.Fatalf("%q is taken as %+v", text, r)
		}
		_ = r.Name()
	})
}

// What is split and quoted again is what it was.
func FuzzArguments(f *testing.F) {
	for _, seed := range []string{"tests", "a 'b c' \"d\" e\\ f", "$(x) `y` ; | &", "'", "\\"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		words, err := Arguments(text)
		if err != nil {
			return
		}
		var quoted []string
		for _, w := range words {
			quoted = append(quoted, "'"+strings.ReplaceAll(w, "'", `'\''`)+"'")
		}
		again, err := Arguments(strings.Join(quoted, " "))
		if err != nil || !slices.Equal(again, words) {
			t.Fatalf("%q is split into %q and then %q, %v", text, words, again, err)
		}
	})
}

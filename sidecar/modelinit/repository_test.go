package modelinit

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/inmanta/inmanta-docker/sidecar/initrecord"
	"github.com/inmanta/inmanta-docker/sidecar/modulesource"
)

// exit128 is how git fails.
var exit128 = exec.Command("sh", "-c", "exit 128").Run()

// What git 2.47 and OpenSSH 10.0 print.
var gitFailures = []struct {
	url, key, token, text string
	code                  initrecord.Code
	says                  string
}{
	{"https://git.example.com/x", "", "", "fatal: unable to access 'https://git.example.com/x/': Could not resolve host: git.example.com", initrecord.CodeHostName, "no host called git.example.com"},
	{"git@nowhere.invalid:x", "", "", "ssh: Could not resolve hostname nowhere.invalid: Name or service not known\nfatal: Could not read from remote repository.", initrecord.CodeHostName, "nowhere.invalid"},
	{"git://nowhere/x", "", "", "fatal: unable to look up nowhere (port 9418) (Temporary failure in name resolution)", initrecord.CodeHostName, "nowhere"},
	{"https://git.example.com/x", "", "", "fatal: could not read Username for 'https://git.example.com': terminal prompts disabled", initrecord.CodeCredentials, "none are set"},
	{"https://git.example.com/x", "", "t", "fatal: Authentication failed for 'https://git.example.com/x/'", initrecord.CodeCredentials, "does not take the token"},
	{"https://git.example.com/x", "", "t", "fatal: unable to access 'https://git.example.com/x/': The requested URL returned error: 403", initrecord.CodeCredentials, "token"},
	{"git@git.example.com:x", "", "", "git@git.example.com: Permission denied (publickey).\nfatal: Could not read from remote repository.", initrecord.CodeCredentials, "asks for a key"},
	{"git@git.example.com:x", "k", "", "git@git.example.com: Permission denied (publickey,password).", initrecord.CodeCredentials, "does not take the key"},
	{"git@git.example.com:x", "k", "", "No ED25519 host key is known for git.example.com and you have requested strict checking.\nHost key verification failed.", initrecord.CodeHostKey, "not known"},
	{"git@git.example.com:x", "k", "", "@    WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED!     @\nHost key verification failed.", initrecord.CodeHostKey, "another host key"},
	{"https://git.example.com/x", "", "", "fatal: unable to access 'https://git.example.com/x/': SSL certificate problem: unable to get local issuer certificate", initrecord.CodeCertificate, "not trusted"},
	{"https://git.example.com/x", "", "", "fatal: unable to access 'https://git.example.com/x/': server certificate verification failed. CAfile: none CRLfile: none", initrecord.CodeCertificate, "not trusted"},
	{"https://git.example.com/x", "", "", "fatal: unable to access 'https://git.example.com/x/': Failed to connect to git.example.com port 443 after 0 ms: Could not connect to server", initrecord.CodeUnreachable, "cannot be reached"},
	{"https://git.example.com/x", "", "", "fatal: unable to access 'https://git.example.com/x/': Operation too slow. Less than 1 bytes/sec transferred the last 20 seconds", initrecord.CodeUnreachable, "cannot be reached"},
	{"git://git/x", "", "", "fatal: unable to connect to git:\ngit[0: 10.0.0.1]: errno=Connection refused", initrecord.CodeUnreachable, "cannot be reached"},
	{"git@git.example.com:x", "", "", "ssh: connect to host git.example.com port 22: Connection timed out", initrecord.CodeUnreachable, "cannot be reached"},
	{"https://git.example.com/x", "", "", "remote: Not Found\nfatal: repository 'https://git.example.com/x/' not found", initrecord.CodeRepository, "no repository at https://git.example.com/x"},
	{"git://git/x", "", "", "fatal: remote error: access denied or repository not exported: /x", initrecord.CodeRepository, "no repository"},
	{"/srv/x", "", "", "fatal: '/srv/x' does not appear to be a git repository\nfatal: Could not read from remote repository.", initrecord.CodeRepository, "no repository at /srv/x"},
	{"https://git.example.com/x", "", "", "warning: Could not find remote branch gone to clone.\nfatal: Remote branch gone not found in upstream origin", initrecord.CodeBranch, "called main"},
	{"https://git.example.com/x", "", "", "fatal: write error: No space left on device", initrecord.CodeDiskFull, "full"},
	{"https://git.example.com/x", "", "", "", initrecord.CodeRepository, "it said nothing"},
}

func TestWhyGitFails(t *testing.T) {
	t.Parallel()
	for _, c := range gitFailures {
		r, err := modulesource.ParseURL(c.url)
		if err != nil {
			t.Fatal(err)
		}
		err = gitFailure(exit128, strings.Split(c.text, "\n"), Config{Repository: r, Branch: "main", Key: c.key, Token: c.token})
		var f failure
		if !errors.As(err, &f) || f.code != c.code || !strings.Contains(f.what, c.says) || f.fix == "" {
			t.Errorf("%s\n%s\nis told as %d, %q, %q; want %d and %q", c.url, c.text, f.code, f.what, f.fix, c.code, c.says)
		}
	}
	if err := gitFailure(exec.ErrNotFound, nil, Config{}); !errors.Is(err, exec.ErrNotFound) {
		t.Errorf("git that could not be started is told as %v", err)
	}
}

func TestReferences(t *testing.T) {
	t.Parallel()
	a, b, c := strings.Repeat("a", 40), strings.Repeat("b", 40), strings.Repeat("c", 64)
	lines := []string{
		"warning: something", a + "\trefs/heads/master", b + "\trefs/heads/feature/x", c + "\trefs/heads/both",
		a + "\trefs/tags/v1", b + "\trefs/tags/v1^{}", b + "\trefs/tags/light", a + "\trefs/tags/both", a + "\trefs/pull/1/head",
	}
	for branch, want := range map[string]string{"master": a, "feature/x": b, "v1": b, "light": b, "both": c, "x": "", "heads/master": "", "1/head": ""} {
		got, branches := references(lines, branch)
		if got != want || len(branches) != 3 {
			t.Errorf("%s is at %q, want %q (of %v)", branch, got, want, branches)
		}
	}
	if f := noBranch("x", nil); !strings.Contains(f.what, "empty") {
		t.Errorf("an empty repository: %+v", f)
	}
	if f := noBranch("x", []string{"main", "dev"}); !strings.Contains(f.fix, "main, dev") {
		t.Errorf("the branches there are: %+v", f)
	}
}

// A repository with more tags than lines of a program's are kept.
func TestCommitAmongManyTags(t *testing.T) {
	t.Parallel()
	repository := t.TempDir()
	git := func(in string, args ...string) string {
		t.Helper()
		command := exec.Command("git", append([]string{"-C", repository, "-c", "user.name=a", "-c", "user.email=a@localhost"}, args...)...)
		command.Stdin = strings.NewReader(in)
		out, err := command.CombinedOutput()
		if err != nil {
			t.Fatalf("git %v: %v\n%s", args, err, out)
		}
		return strings.TrimSpace(string(out))
	}
	git("", "init", "-q", "--bare")
	commit := git("", "commit-tree", "-m", "x", git("", "mktree"))
	annotated := git("object "+commit+"\ntype commit\ntag both\ntagger a <a@localhost> 0 +0000\n\nx\n", "mktag")
	var updates strings.Builder
	fmt.Fprintf(&updates, "create refs/heads/master %[1]s\ncreate refs/heads/feature/x %[1]s\ncreate refs/heads/other/master %[1]s\ncreate refs/tags/v1.0 %[2]s\n", commit, annotated)
	for i := range 2*mostLines + 1 {
		fmt.Fprintf(&updates, "create refs/tags/z/%d %s\n", i, commit)
	}
	git(updates.String(), "update-ref", "--stdin")

	j, _ := jobFor(t, "")
	j.config.Environment = os.Environ()
	j.config.Repository = modulesource.Repository{URL: repository, Transport: modulesource.File}
	if err := errors.Join(j.clear(), j.prepareGit()); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"master", "feature/x", "v1.0", "z/7"} {
		j.config.Branch = name
		if got, err := j.commit(t.Context()); got != commit || err != nil {
			t.Errorf("%s is at %q (%v), want %s", name, got, err, commit)
		}
	}
	j.config.Branch = "x"
	_, err := j.commit(t.Context())
	if f := explained(t.Context(), err); f.code != initrecord.CodeBranch || !strings.Contains(f.fix, "feature/x, master, other/master") {
		t.Errorf("a branch that it has not is told as %d, %q, %q", f.code, f.what, f.fix)
	}
}

func FuzzReferences(f *testing.F) {
	f.Add(strings.Repeat("0", 40)+"\trefs/heads/master\n", "master")
	f.Add("x\ty\n", "")
	f.Fuzz(func(t *testing.T, text, branch string) {
		commit, branches := references(strings.Split(text, "\n"), branch)
		if commit != "" && (len(commit) < 40 || !strings.Contains(text, commit)) {
			t.Fatalf("%q of %q is at %q", branch, text, commit)
		}
		_ = noBranch(branch, branches)
	})
}

func TestCredentialsAreForOneHost(t *testing.T) {
	t.Parallel()
	c := Config{Places: places(t), Token: "hunter22", Self: "/x"}
	c.Repository, _ = modulesource.ParseURL("https://git.example.com:8443/hello.git")
	j := &job{config: c, log: newNarrator(&strings.Builder{})}
	if err := j.clear(); err != nil {
		t.Fatal(err)
	}
	shut, err := j.open()
	if err != nil {
		t.Fatal(err)
	}
	for asked, want := range map[string]string{
		"protocol=https\nhost=git.example.com:8443\n\n":              "username=oauth2\npassword=hunter22\n",
		"protocol=https\nhost=git.example.com:8443\nusername=me\n\n": "username=me\npassword=hunter22\n",
		"protocol=https\nhost=evil.example.com\n\n":                  "",
		"protocol=https\nhost=git.example.com\n\n":                   "",
		"protocol=http\nhost=git.example.com:8443\n\n":               "",
		"": "",
	} {
		var out strings.Builder
		if err := Credential([]string{j.tokenSocket(), "get"}, strings.NewReader(asked), &out); err != nil || out.String() != want {
			t.Errorf("%q is answered with %q, %v", asked, out.String(), err)
		}
	}
	var out strings.Builder
	if err := Credential([]string{j.tokenSocket(), "erase"}, strings.NewReader(""), &out); err != nil || out.Len() > 0 {
		t.Errorf("erase is answered with %q, %v", out.String(), err)
	}
	shut()
	if err := Credential([]string{j.tokenSocket(), "get"}, strings.NewReader("protocol=https\nhost=git.example.com:8443\n\n"), &out); err == nil {
		t.Error("the token can be had when git does not run any more")
	}
}

func FuzzReadCredential(f *testing.F) {
	f.Add("protocol=https\nhost=a\nusername=b\n\n")
	f.Add("=\n\x00")
	f.Fuzz(func(t *testing.T, text string) {
		c, err := readCredential(strings.NewReader(text))
		if err == nil && (strings.ContainsAny(c.Host+c.Protocol+c.User, "\n") || c.Password != "") {
			t.Fatalf("%q is read as %+v", text, c)
		}
	})
}

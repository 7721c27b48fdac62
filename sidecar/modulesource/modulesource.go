// Package modulesource reads what names an init test case: the repository that
// has it, the branch, and pytest's arguments. It only reads: nothing is asked of
// anybody, so that `up` can refuse what the init sidecar would.
package modulesource

import (
	"errors"
	"fmt"
	"net/url"
	"path"
	"regexp"
	"slices"
	"strings"
	"unicode"

	"github.com/kballard/go-shellquote"
	"golang.org/x/crypto/ssh"

	"github.com/inmanta/inmanta-docker/problem"
)

// Transport is how a repository is reached.
type Transport string

// The transports.
const (
	HTTPS Transport = "https"
	HTTP  Transport = "http"
	SSH   Transport = "ssh"
	Git   Transport = "git"
	File  Transport = "file"
)

// Repository is where a git repository is.
type Repository struct {
	// URL is what git is given.
	URL       string
	Transport Transport
	// User is the one in the URL; empty for none.
	User string
	// Host is the host, with its port where the URL has one; empty for File.
	Host string
}

// scpForm is USER@HOST:PATH, which has no slash before the colon.
var scpForm = regexp.MustCompile(`^(?:([^/@:]+)@)?(\[[^\]/]+\]|[^/@:\[\]]+):(.+)$`)

// tokens begin what is no user's name, although it stands where one belongs.
var tokens = []string{"ghp_", "gho_", "ghs_", "github_pat_", "glpat-", "gldt-", "ATBB", "ATCTT"}

// ParseURL reads the URL of a repository. Its error is a problem.Problem
// without a place, and never holds what looks like a secret.
func ParseURL(text string) (Repository, error) {
	refuse := func(what string) (Repository, error) {
		return Repository{}, problem.Problem{
			ID: "module-url", What: what,
			Fix: "write one that git clones from, such as https://github.com/me/my-module.git or git@github.com:me/my-module.git",
		}
	}
	switch {
	case text == "":
		return refuse("there is no URL of a module's repository, so there is nothing to initialise the orchestrator with")
	case strings.ContainsFunc(text, func(r rune) bool { return unicode.IsControl(r) || unicode.IsSpace(r) }):
		return refuse("the repository's URL holds a space or a control character")
	case strings.HasPrefix(text, "-"):
		return refuse("the repository's URL begins with a dash, which makes it an option")
	case strings.HasPrefix(text, "/"):
		return Repository{URL: text, Transport: File}, nil
	case !strings.Contains(text, "://"):
		m := scpForm.FindStringSubmatch(text)
		if m == nil || strings.HasPrefix(m[2], "-") || strings.HasPrefix(m[3], ":") {
			return refuse("the repository's URL is neither a URL, nor USER@HOST:PATH, nor an absolute path")
		}
		return Repository{URL: text, Transport: SSH, User: m[1], Host: m[2]}, nil
	}
	parsed, err := url.Parse(text)
	if err != nil { // whose text would repeat it, a password included
		return refuse("the repository's URL cannot be read")
	}
	r := Repository{URL: text, Transport: Transport(parsed.Scheme), User: parsed.User.Username(), Host: parsed.Host}
	_, password := parsed.User.Password()
	switch {
	case !slices.Contains([]Transport{HTTPS, HTTP, SSH, Git, File}, r.Transport):
		return refuse("the repository's URL is none that is taken: https, http, ssh, git or file")
	case password || slices.ContainsFunc(tokens, func(t string) bool { return strings.HasPrefix(r.User, t) }):
		return Repository{}, problem.Problem{
			ID: "module-url-secret", What: "the repository's URL holds a password or a token, which `docker inspect` and logs would show",
			Fix: "take it out of the URL and put it into INMANTA_MODULE_REPO_TOKEN, and change it: it has been seen",
		}
	case r.Transport == File:
		r.Host = ""
	case parsed.Hostname() == "" || strings.HasPrefix(parsed.Hostname(), "-") || strings.HasPrefix(r.User, "-"):
		return refuse("the repository's URL names no host")
	}
	return r, nil
}

// Name is what the repository is called: the last part of its path.
func (r Repository) Name() string {
	at := strings.TrimRight(r.URL, "/")
	if r.Transport == SSH && !strings.Contains(at, "://") {
		at = at[strings.LastIndex(at, ":")+1:]
	}
	return strings.TrimSuffix(path.Base(at), ".git")
}

// CheckBranch says what is wrong with the name of a branch or a tag, as
// git-check-ref-format(1) has it.
func CheckBranch(name string) error {
	bad := func(why string) error {
		return problem.Problem{
			ID: "module-branch", What: fmt.Sprintf("%q is not the name of a branch: %s", name, why),
			Fix: "write the name of a branch or of a tag, such as master",
		}
	}
	switch {
	case name == "":
		return bad("it is empty")
	case strings.HasPrefix(name, "-"):
		return bad("it begins with a dash")
	case strings.ContainsFunc(name, func(r rune) bool { return unicode.IsControl(r) || strings.ContainsRune(" ~^:?*[\\", r) }):
		return bad("it holds a character that no branch has")
	case strings.Contains(name, "..") || strings.Contains(name, "@{") || strings.Contains(name, "//") || name == "@":
		return bad("it is an expression for some commit")
	case strings.HasPrefix(name, "/") || strings.HasSuffix(name, "/") || strings.HasSuffix(name, "."):
		return bad("it begins or ends with a slash, or ends with a dot")
	}
	for part := range strings.SplitSeq(name, "/") {
		if strings.HasPrefix(part, ".") || strings.HasSuffix(part, ".lock") {
			return bad("a part of it begins with a dot, or ends with .lock")
		}
	}
	return nil
}

// CheckKey says why a private key cannot be used.
func CheckKey(text string) error {
	_, err := ssh.ParseRawPrivateKey([]byte(text))
	var encrypted *ssh.PassphraseMissingError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &encrypted):
		return problem.Problem{
			ID: "module-key", What: "the repository's private key has a passphrase, and nobody is there to type it",
			Fix: "make a deploy key without one: ssh-keygen -t ed25519 -N '' -f deploy-key",
		}
	}
	return problem.Problem{
		ID: "module-key", What: "the repository's private key cannot be read",
		Fix: "put in the whole file, from -----BEGIN to END-----, between single quotes",
	}
}

// Arguments splits pytest's arguments as a shell would: quotes and backslashes
// count. Nothing is evaluated: $VARIABLES, globs and ; are letters like others.
func Arguments(text string) ([]string, error) {
	words, err := shellquote.Split(text)
	if err == nil {
		return words, nil
	}
	return nil, problem.Problem{
		ID: "pytest-arguments", What: fmt.Sprintf("pytest's arguments cannot be split into words: %v", err),
		Fix: "close every quote, and put a word with spaces between quotes", Err: err,
	}
}

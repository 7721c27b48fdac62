package modelinit

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"github.com/inmanta/inmanta-docker/sidecar/initrecord"
	"github.com/inmanta/inmanta-docker/sidecar/modulesource"
)

// answerTime is how long a repository may take to say what it has: git itself
// waits minutes for a host that is silent.
const answerTime = time.Minute

// git is a program of git's, which asks nobody anything.
func (j *job) git(args ...string) (program, error) {
	path, err := exec.LookPath("git")
	if err != nil {
		return program{}, failure{code: initrecord.CodeSettings, what: "the image has no git", fix: "set INMANTA_ORCHESTRATOR_IMAGE to an image of the orchestrator"}
	}
	ssh := []string{
		"ssh", "-F", "/dev/null", "-o", "BatchMode=yes", "-o", "ConnectTimeout=10", "-o", "ServerAliveInterval=10", "-o", "ServerAliveCountMax=2",
		"-o", "StrictHostKeyChecking=yes", "-o", "UpdateHostKeys=no", "-o", "UserKnownHostsFile=" + j.knownHosts(), "-o", "GlobalKnownHostsFile=/etc/ssh/ssh_known_hosts",
		"-o", "IdentityFile=none", "-o", "IdentityAgent=" + j.agentSocket(), "-o", "ClearAllForwardings=yes",
	}
	environment := append(withoutGit(j.config.Environment),
		"GIT_CONFIG_GLOBAL="+j.gitConfig(), "GIT_TERMINAL_PROMPT=0", "GIT_ASKPASS=", "SSH_ASKPASS=", "SSH_ASKPASS_REQUIRE=never",
		"GIT_ALLOW_PROTOCOL=http:https:git:ssh:file", "GIT_SSH_COMMAND="+strings.Join(ssh, " "), "LC_ALL=C",
	)
	return program{path: path, args: append([]string{"git"}, args...), environment: environment}, nil
}

// withoutGit leaves out what would make git ask, or run, something else.
func withoutGit(environ []string) []string {
	var kept []string
	for _, variable := range environ {
		if !strings.HasPrefix(variable, "GIT_") || strings.HasPrefix(variable, "GIT_SSL_CAINFO=") {
			kept = append(kept, variable)
		}
	}
	return kept
}

func (j *job) gitConfig() string   { return filepath.Join(j.config.work(), "gitconfig") }
func (j *job) knownHosts() string  { return filepath.Join(j.config.work(), "known_hosts") }
func (j *job) agentSocket() string { return filepath.Join(j.config.work(), "agent") }
func (j *job) tokenSocket() string { return filepath.Join(j.config.work(), "token") }

// prepareGit writes git's configuration and the host keys that are believed.
// That a repository on a mounted volume is somebody else's is no danger: nothing
// in it is run.
func (j *job) prepareGit() error {
	config := "[safe]\n\tdirectory = *\n[http]\n\tlowSpeedLimit = 1\n\tlowSpeedTime = 10\n[advice]\n\tdetachedHead = false\n"
	if j.config.Token != "" {
		config += fmt.Sprintf("[credential]\n\thelper = \"!%s init credential %s\"\n", j.config.Self, j.tokenSocket())
	}
	for path, text := range map[string]string{j.gitConfig(): config, j.knownHosts(): j.config.KnownHosts + "\n"} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			return fmt.Errorf("preparing git: %w", err)
		}
	}
	return nil
}

// commit asks the repository which commit the branch, or the tag, is at. It asks
// for no other: of what a program prints, only the end is kept, and repositories
// have thousands of tags.
func (j *job) commit(ctx context.Context) (string, error) {
	tag := "refs/tags/" + j.config.Branch
	lines, err := j.ask(ctx, "refs/heads/"+j.config.Branch, tag, tag+"^{}")
	if err != nil {
		return "", err
	}
	commit, _ := references(lines, j.config.Branch)
	if commit != "" {
		return commit, nil
	}
	if lines, err = j.ask(ctx, "refs/heads/*"); err != nil {
		return "", err
	}
	_, branches := references(lines, j.config.Branch)
	return "", noBranch(j.config.Branch, branches)
}

// ask asks the repository for its references of those names.
func (j *job) ask(ctx context.Context, names ...string) (lines []string, err error) {
	limited, cancel := context.WithTimeout(ctx, answerTime)
	defer cancel()
	p, err := j.git(append([]string{"ls-remote", "--", j.config.Repository.URL}, names...)...)
	if err != nil {
		return nil, err
	}
	lines, err = j.run(limited, p)
	if limited.Err() != nil && ctx.Err() == nil {
		return nil, failure{
			code: initrecord.CodeUnreachable, what: fmt.Sprintf("%s does not answer within %s", j.config.Repository.Host, answerTime),
			fix: "check INMANTA_MODULE_REPO_URL, and from this host: git ls-remote " + j.config.Repository.URL,
		}
	}
	if err != nil {
		return nil, gitFailure(err, lines, j.config)
	}
	return lines, nil
}

// reference is a line of ls-remote. A tag that is an object of its own is
// followed by the commit that it is for, as NAME^{}.
var reference = regexp.MustCompile(`^([0-9a-f]{40,64})\s+refs/(heads|tags)/(.+?)(\^\{\})?$`)

// references are the commit that the branch is at, or else the tag of that
// name, and the names of all branches.
func references(lines []string, branch string) (commit string, branches []string) {
	tag := ""
	for _, line := range lines {
		m := reference.FindStringSubmatch(line)
		switch {
		case m == nil:
		case m[2] == "heads":
			branches = append(branches, m[3])
			if m[3] == branch {
				commit = m[1]
			}
		case m[3] == branch && (tag == "" || m[4] != ""):
			tag = m[1]
		}
	}
	if commit == "" {
		commit = tag
	}
	return commit, branches
}

// mostNames is how many branches are named to somebody who named another.
const mostNames = 10

func noBranch(branch string, branches []string) failure {
	f := failure{code: initrecord.CodeBranch, what: fmt.Sprintf("the repository has no branch and no tag called %s", branch)}
	switch {
	case len(branches) == 0:
		f.what, f.fix = "the repository has no branch at all: it is empty", "push the module to it, or check INMANTA_MODULE_REPO_URL"
	case len(branches) > mostNames:
		f.fix = fmt.Sprintf("set INMANTA_MODULE_REPO_BRANCH to one that it has, such as %s", strings.Join(branches[:mostNames], ", "))
	default:
		f.fix = fmt.Sprintf("set INMANTA_MODULE_REPO_BRANCH to one that it has: %s", strings.Join(branches, ", "))
	}
	return f
}

// clone gets the branch's files, and says which commit they are of: somebody
// may have pushed since it was asked for.
func (j *job) clone(ctx context.Context) (commit string, err error) {
	p, err := j.git("clone", "--no-progress", "--single-branch", "--branch", j.config.Branch, "--", j.config.Repository.URL, j.module())
	if err != nil {
		return "", err
	}
	p.line = j.log.output
	if lines, err := j.run(ctx, p); err != nil {
		return "", gitFailure(err, lines, j.config)
	}
	if p, err = j.git("-C", j.module(), "rev-parse", "HEAD"); err != nil {
		return "", err
	}
	lines, err := j.run(ctx, p)
	if err != nil {
		return "", gitFailure(err, lines, j.config)
	}
	return last(lines), nil
}

// module is where the module's files are.
func (j *job) module() string { return filepath.Join(j.config.work(), j.config.Repository.Name()) }

// gitFailure tells from what git printed why it failed.
func gitFailure(err error, lines []string, c Config) error {
	if _, ran := exitCode(err); !ran {
		return err
	}
	r := c.Repository
	trace := " (" + last(lines) + ")"
	for _, known := range []struct {
		words     []string
		code      initrecord.Code
		what, fix string
	}{
		{[]string{noSpace}, initrecord.CodeDiskFull, "the disk is full", spaceFix},
		{
			[]string{"Could not resolve host", "Name or service not known", "Temporary failure in name resolution", "No address associated with hostname", "unable to look up"},
			initrecord.CodeHostName, "there is no host called " + r.Host, "check INMANTA_MODULE_REPO_URL, and that containers can resolve that name",
		},
		{
			[]string{"SSL certificate problem", "certificate verify failed", "server certificate verification failed", "SSL_ERROR", "CAfile"},
			initrecord.CodeCertificate, r.Host + " shows a certificate that is not trusted" + trace, "set INMANTA_CA_BUNDLE to a file with the authority that made it",
		},
		{
			[]string{"Host key verification failed"}, initrecord.CodeHostKey, hostKeyWhat(lines, r),
			"put its host keys into INMANTA_MODULE_REPO_KNOWN_HOSTS, once you have made sure that they are its own: ssh-keyscan " + withoutPort(r.Host),
		},
		{
			[]string{"could not read Username", "could not read Password", "Authentication failed", "Permission denied (", "Access denied", "The requested URL returned error: 401", "The requested URL returned error: 403", "terminal prompts disabled"},
			initrecord.CodeCredentials, refusedWhat(c), refusedFix(c),
		},
		{
			[]string{"Connection refused", "timed out", "Operation too slow", "Failed to connect", "Couldn't connect", "Could not connect", "unable to connect", "Connection reset", "No route to host", "Network is unreachable", "Connection closed by"},
			initrecord.CodeUnreachable, r.Host + " cannot be reached" + trace, "check INMANTA_MODULE_REPO_URL, and proxies and firewalls between this host and " + r.Host,
		},
		{[]string{"Remote branch"}, initrecord.CodeBranch, fmt.Sprintf("the repository has no branch and no tag called %s", c.Branch), "set INMANTA_MODULE_REPO_BRANCH to one that it has"},
	} {
		if _, ok := says(lines, known.words...); ok {
			return failure{code: known.code, what: known.what, fix: known.fix}
		}
	}
	if _, missing := exec.LookPath("ssh"); r.Transport == modulesource.SSH && errors.Is(missing, exec.ErrNotFound) {
		return failure{code: initrecord.CodeSettings, what: "the image has no ssh client, without which git cannot reach " + r.Host, fix: "use an https URL, or an image that has one"}
	}
	return failure{
		code: initrecord.CodeRepository, what: fmt.Sprintf("there is no repository at %s%s", r.URL, trace),
		fix: "check INMANTA_MODULE_REPO_URL; from this host: git ls-remote " + r.URL,
	}
}

func withoutPort(host string) string {
	name, _, _ := strings.Cut(host, ":")
	return name
}

func hostKeyWhat(lines []string, r modulesource.Repository) string {
	if _, changed := says(lines, "REMOTE HOST IDENTIFICATION HAS CHANGED"); changed {
		return r.Host + " shows another host key than the one that is known: it is another machine, or somebody is in between"
	}
	return "the host key of " + r.Host + " is not known, so it could be anybody"
}

func refusedWhat(c Config) string {
	switch {
	case c.Repository.Transport == modulesource.SSH && c.Key == "":
		return c.Repository.Host + " asks for a key, and none is set"
	case c.Repository.Transport == modulesource.SSH:
		return c.Repository.Host + " does not take the key, or it may not read this repository"
	case c.Token == "":
		return c.Repository.Host + " asks for credentials, and none are set (hosts ask for them as well where there is no such repository)"
	}
	return c.Repository.Host + " does not take the token, or it may not read this repository"
}

func refusedFix(c Config) string {
	if c.Repository.Transport == modulesource.SSH {
		return "set INMANTA_MODULE_REPO_SSH_KEY to a private key that may read it"
	}
	return "set INMANTA_MODULE_REPO_TOKEN to a token that may read it, and put the user it belongs to into the URL where the host wants one"
}

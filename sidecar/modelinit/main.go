package modelinit

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"regexp"
	"syscall"

	"github.com/inmanta/inmanta-docker/problem"
	"github.com/inmanta/inmanta-docker/sidecar/initrecord"
	"github.com/inmanta/inmanta-docker/sidecar/passwd"
	"github.com/inmanta/inmanta-docker/sidecar/privilege"
	"github.com/inmanta/inmanta-docker/sidecar/process"
)

// Main is the sidecar: it writes what happens to log, and returns its exit code.
func Main(log io.Writer) initrecord.Code {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	config, err := FromEnvironment(os.Environ(), InContainer)
	secrets := []string{config.Token, config.Key}
	narrator := newNarrator(log, append(secrets, urlPasswords(config.Environment)...)...)
	j := &job{config: config, log: narrator, children: &process.Nursery{}}
	if err != nil {
		for _, p := range problem.In(err) {
			narrator.say(initrecord.Event{Event: initrecord.EventProblem, Problem: p.Error(), Fix: p.Fix, Code: initrecord.CodeSettings})
		}
		return initrecord.CodeSettings
	}
	if err := j.becomeUser(); err != nil {
		return j.failed(ctx, err)
	}
	// What programs leave behind is buried as it ends; zombies cost little.
	go func() { _ = j.children.Bury(ctx) }()
	return j.initialise(ctx)
}

// becomeUser does what takes root, and gives it up for good.
func (j *job) becomeUser() error {
	if os.Getuid() != 0 {
		return fmt.Errorf("started as user %d: it takes root to take over a fresh volume and to read the repository's credentials; the overlay's `user:` has to stay as it is", os.Getuid())
	}
	account, err := passwd.Find(passwd.Inmanta)
	if err != nil {
		return failure{code: initrecord.CodeSettings, what: err.Error(), fix: "set INMANTA_ORCHESTRATOR_IMAGE to an image of the orchestrator"}
	}
	if j.config.Self, err = os.Executable(); err != nil {
		return fmt.Errorf("finding the sidecar's own binary: %w", err)
	}
	j.config.Launcher = []string{j.config.Self, "session"}
	if err := takeOver(j.config.folders(), account.UID, account.GID); err != nil {
		return err
	}
	if err := offerRsync(j.config.Self); err != nil {
		return err
	}
	if err := privilege.Guard(privilege.Identity{UID: account.UID, GID: account.GID, Groups: account.Groups}); err != nil {
		return fmt.Errorf("giving up root, without which nothing is run: %w", err)
	}
	return nil
}

// passwordForm is the password of a URL, as it stands there.
var passwordForm = regexp.MustCompile(`://[^/@\s:]*:([^/@\s]+)@`)

// urlPasswords are the passwords in the URLs of an environment, such as those of
// a package index.
func urlPasswords(environ []string) []string {
	var passwords []string
	for _, variable := range environ {
		for _, m := range passwordForm.FindAllStringSubmatch(variable, -1) {
			passwords = append(passwords, m[1])
		}
	}
	return passwords
}

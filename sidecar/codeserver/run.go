package codeserver

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/inmanta/inmanta-docker/sidecar/passwd"
	"github.com/inmanta/inmanta-docker/sidecar/privilege"
	"github.com/inmanta/inmanta-docker/sidecar/process"
	"github.com/inmanta/inmanta-docker/sidecar/release"
)

// grace is how long code-server, and those who are being answered, may go on
// once the sidecar is told to stop.
const grace = 10 * time.Second

// startPatience is how long code-server may take until it answers.
const startPatience = 2 * time.Minute

// roomForFront is how many of the container's processes are the sidecar's own.
const roomForFront = 128

// Run is the sidecar: it serves until it is told to stop, or code-server ends,
// and writes what happens to log. It starts as root and is nobody in particular
// from before the first byte of anybody is read.
func Run(log io.Writer) error {
	if os.Getuid() != 0 {
		return fmt.Errorf("started as user %d: it takes root to read the password; the overlay's `user:` has to stay as it is", os.Getuid())
	}
	self, err := os.Executable()
	if err != nil {
		return fmt.Errorf("finding the sidecar's own binary: %w", err)
	}
	j := &journal{out: log}
	settings, err := configFrom(os.Getenv)
	if err != nil {
		return err
	}
	account, err := passwd.Find(passwd.Inmanta)
	if err != nil {
		return err
	}
	https, warning, err := readTLS(certificateFile, keyFile, time.Now())
	if err != nil {
		return err
	}
	if warning != "" {
		j.write(event{Event: eventProblem, Problem: warning, Fix: "put a new one at " + certificateFile + " and restart the container"})
	}
	if err := prepareHome(dataFolder, account); err != nil {
		return err
	}
	front := newFront(settings, https, j)
	if !settings.open {
		word, where, err := readPassword(passwordFile, dataFolder)
		if err != nil {
			return err
		}
		secret := newPassword(word)
		front.secret = &secret
		if where != passwordFile {
			j.write(event{
				Event: eventProblem, Problem: "no password is configured, so one was made up, once",
				Fix: "`docker exec CONTAINER inmanta-sidecar code password` shows it; or set INMANTA_CODE_SERVER_PASSWORD and run `inmanta-docker up` again",
			})
		}
	}
	if err := prepareRun(runFolder, account); err != nil {
		return err
	}
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return fmt.Errorf("listening: %w", err)
	}
	if err := process.KeepRoom(roomForFront); err != nil {
		return err
	}
	if err := privilege.Guard(privilege.Identity{UID: account.UID, GID: account.GID, Groups: account.Groups}); err != nil {
		return fmt.Errorf("giving up root, without which nothing is served: %w", err)
	}
	stop, hurry, cancel := process.UntilTold(grace)
	defer cancel()
	if err := tryHome(dataFolder); err != nil {
		return err
	}
	// No reason to serve nobody: there is something to look at.
	mind(j, func() error { return room(places) })
	installed, err := verify(releaseFolder, settings.checksum, j)
	if err != nil {
		return err
	}
	account.Home = home(dataFolder)
	mind(j, func() error { return writeFirstSettings(account.Home) })
	e := &editor{
		release: installed, launcher: []string{self, "session"}, environment: account.Environment(os.Environ()),
		configuration: filepath.Join(runFolder, configurationName), socket: socketPath(runFolder),
		folder: environments, children: &process.Nursery{}, journal: j,
	}
	// Zombies cost little: no reason to serve nobody.
	go mind(j, func() error { return e.children.Bury(context.Background()) })
	return front.run(stop, hurry, listener, https, e)
}

// configurationName is of the file that code-server is told to read.
const configurationName = "config.yaml"

// prepareRun makes what code-server needs while it runs. It takes root.
func prepareRun(run string, account passwd.Account) error {
	err := os.MkdirAll(run, 0o755)
	if err == nil {
		err = os.WriteFile(filepath.Join(run, configurationName), []byte("auth: none\n"), 0o644)
	}
	if err == nil {
		err = ownFolder(filepath.Dir(socketPath(run)), account)
	}
	if err != nil {
		return fmt.Errorf("preparing %s: %w", run, err)
	}
	return nil
}

// verify finds the release in the volume, reading every byte of it.
func verify(volume, checksum string, j *journal) (release.Installed, error) {
	began := time.Now()
	installed, err := release.Verified(volume, checksum, runtime.GOARCH)
	if errors.Is(err, release.ErrAbsent) {
		return installed, fmt.Errorf("%w: `inmanta-docker image ensure` puts it there", err)
	}
	if err != nil {
		return installed, fmt.Errorf("%w: `inmanta-docker image ensure` puts it there anew", err)
	}
	text := "code-server " + installed.Version
	if installed.Tarball != release.Checksum(runtime.GOARCH) {
		text += ", not of the project's own tarball for this version of inmanta-docker (" + release.Version + ")"
	}
	j.write(event{Event: eventVerified, Text: text, Seconds: time.Since(began).Seconds()})
	return installed, nil
}

// newFront is a front that needs no password until it has been given one.
func newFront(settings config, https *tls.Config, j *journal) *front {
	f := &front{
		hosts:    hosts{names: settings.names, loopback: settings.open},
		sessions: newSessions(time.Now), guesses: newGuesses(time.Now),
		secure: https != nil, journal: j,
	}
	if https != nil {
		f.hosts.certificate = https.Certificates[0].Leaf
	}
	return f
}

// run serves the editor until stopping is done, or until it ends by itself,
// which is an error.
func (f *front) run(stopping, hurry context.Context, listener net.Listener, https *tls.Config, e *editor) error {
	reach := transport(e.socket)
	f.reach(reach)
	life, end := context.WithCancel(stopping)
	defer end()
	go mind(f.journal, func() error { return answerHealth(life, listener.Addr(), reach) })
	var serving error
	served := make(chan struct{})
	go func() {
		defer close(served)
		serving = serve(life, hurry, newServer(f, https), listener)
	}()
	f.journal.write(event{Event: eventListening, Text: listener.Addr().String()})

	e.installExtensions(life, extensionsFolder, home(dataFolder))
	command, ended, err := e.start()
	if err != nil {
		return err
	}
	go f.await(life, reach, time.Now())
	select {
	case err := <-ended:
		if stopping.Err() == nil {
			return fmt.Errorf("code-server has ended by itself (%s): the engine starts it again", how(err))
		}
	case <-served:
		stop(command, ended, hurry)
	case <-stopping.Done():
		f.journal.write(event{Event: eventStopping})
		stop(command, ended, hurry)
	}
	<-served
	if serving != nil {
		return serving
	}
	f.journal.write(event{Event: eventStopped})
	return nil
}

// reach tells the front where the editor is.
func (f *front) reach(at http.RoundTripper) {
	f.healthy = func(r *http.Request) error {
		ctx, cancel := context.WithTimeout(r.Context(), healthPatience)
		defer cancel()
		return ask(ctx, at)
	}
	f.editor = upstream(at, func(r *http.Request) []string {
		return []string{f.cookieName(sessionCookie, r), f.cookieName(knownCookie, r)}
	}, f.journal)
}

// await lets requests through once the editor answers, and says how long that took.
func (f *front) await(ctx context.Context, reach http.RoundTripper, began time.Time) {
	limited, cancel := context.WithTimeout(ctx, startPatience)
	defer cancel()
	if answers(limited, reach) == nil {
		f.ready.Store(true)
		f.journal.write(event{Event: eventReady, Seconds: time.Since(began).Seconds()})
		return
	}
	if ctx.Err() == nil {
		f.journal.write(event{
			Event: eventProblem, Problem: fmt.Sprintf("code-server has not answered within %s", startPatience),
			Fix: "see what it says above; restart the container",
		})
	}
}

// mind writes down what becomes of a part of the sidecar.
func mind(j *journal, part func() error) {
	if err := part(); err != nil {
		j.write(event{Event: eventProblem, Problem: strings.TrimSpace(err.Error())})
	}
}

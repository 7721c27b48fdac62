package codeserver

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// extensionPatience is how long one extension may take to install.
const extensionPatience = 2 * time.Minute

// noGallery has code-server know of nowhere to get extensions from. Else it looks
// for those that one depends on, for minutes where a firewall answers nothing,
// while everybody waits.
const noGallery = `EXTENSIONS_GALLERY={"serviceUrl":""}`

// installExtensions installs the .vsix files of a folder that have not been
// installed before, by content. Those that fail are told, and tried again at the
// next start: an editor without an extension is better than none.
func (e *editor) installExtensions(ctx context.Context, folder, home string) {
	if !isGiven(folder) {
		return
	}
	entries, err := os.ReadDir(folder)
	if err != nil {
		e.journal.write(event{Event: eventProblem, Problem: "the folder of extensions cannot be read: " + err.Error(), Fix: "let everybody read it: chmod -R a+rX"})
		return
	}
	for _, entry := range entries {
		if name := entry.Name(); strings.HasSuffix(name, ".vsix") && !strings.HasPrefix(name, ".") {
			if err := e.installExtension(ctx, filepath.Join(folder, name), filepath.Join(home, ".local/share/inmanta-sidecar/extensions")); err != nil {
				e.journal.write(event{Event: eventProblem, Problem: fmt.Sprintf("extension %s was not installed: %v", name, err), Fix: "see what code-server says of it above; the editor goes on without it"})
			}
		}
	}
}

// installExtension installs one, unless the folder has a mark that it was.
func (e *editor) installExtension(ctx context.Context, file, marks string) error {
	digest, err := digestOf(file)
	if err != nil {
		return err
	}
	mark := filepath.Join(marks, digest)
	if _, err := os.Stat(mark); err == nil {
		return nil
	}
	began := time.Now()
	if err := e.runExtension(ctx, file); err != nil {
		return err
	}
	e.journal.write(event{Event: eventExtension, Text: filepath.Base(file), Seconds: time.Since(began).Seconds()})
	if err := os.MkdirAll(marks, 0o700); err != nil {
		return err
	}
	return os.WriteFile(mark, []byte(filepath.Base(file)+"\n"), 0o600)
}

func (e *editor) runExtension(ctx context.Context, file string) error {
	command := e.command(append(e.arguments(), "--install-extension", file, "--force")...)
	command.Env = append(slices.Clone(command.Env), noGallery)
	if err := e.children.Start(command); err != nil {
		return err
	}
	ended := make(chan error, 1)
	go func() { ended <- e.children.Wait(command) }()
	limited, cancel := context.WithTimeout(ctx, extensionPatience)
	defer cancel()
	select {
	case err := <-ended:
		if err != nil {
			return errors.New(how(err))
		}
		return nil
	case <-limited.Done():
		gone, now := context.WithCancel(context.Background())
		now()
		stop(command, ended, gone)
		if ctx.Err() != nil {
			return errors.New("the sidecar was told to stop meanwhile")
		}
		return fmt.Errorf("it took longer than %s", extensionPatience)
	}
}

func digestOf(file string) (string, error) {
	opened, err := os.Open(file)
	if err != nil {
		return "", err
	}
	defer opened.Close()
	sum := sha256.New()
	if _, err := io.Copy(sum, opened); err != nil {
		return "", err
	}
	return hex.EncodeToString(sum.Sum(nil)), nil
}

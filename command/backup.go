package command

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"filippo.io/age"
	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/inmanta/inmanta-docker/backup"
	"github.com/inmanta/inmanta-docker/bundle"
	"github.com/inmanta/inmanta-docker/deployment"
	"github.com/inmanta/inmanta-docker/problem"
	"github.com/inmanta/inmanta-docker/progress"
	"github.com/inmanta/inmanta-docker/store"
	"github.com/inmanta/inmanta-docker/ui"
)

// backupFolder is where backups go if nobody says where, in the deployment's directory.
const backupFolder = "backups"

// keys are the flags that say what a backup is encrypted with.
type keys struct {
	recipients, recipientFiles, identities []string
	ask                                    bool
	passphraseFile                         string
}

// backupOptions are the flags of backup.
type backupOptions struct {
	online bool
	keys   keys
	kept   backup.Retention
}

func (a *app) backupVerb() *cobra.Command {
	var o backupOptions
	verb := &cobra.Command{
		Use:   "backup [FILE | FOLDER/ | s3://BUCKET/PREFIX/]",
		Short: "Back up database and state in one file; verify, list",
		Long: `Back up the database and the orchestrator's state volume, of one and the same moment,
in one file: by default a new one in ` + backupFolder + `/ of the deployment's directory.

Environments are halted until what they were at is done and the state volume has been
read, and then resumed, whatever happens: also if this command is killed. With
--online nothing is halted; the database is of one moment then, but files of the state
volume may be newer, and some may have changed while they were read.

For S3 the usual variables say where and who: AWS_ENDPOINT_URL, AWS_REGION,
AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY.`,
		Example: `  inmanta-docker backup
  inmanta-docker backup /mnt/backups/ --keep 14
  inmanta-docker backup s3://backups/inmanta/ --recipient age1…`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				args = []string{""}
			}
			return a.backup(cmd.Context(), args[0], o)
		},
		SuggestionsMinimumDistance: 2,
	}
	flags := verb.Flags()
	flags.BoolVar(&o.online, "online", false, "Halt nothing: the state volume may then be newer than the database")
	flags.StringArrayVar(&o.keys.recipients, "recipient", nil, "Encrypt it for this `key`: age1…, ssh-ed25519 … or ssh-rsa …; may be repeated")
	flags.StringArrayVar(&o.keys.recipientFiles, "recipients-file", nil, "Encrypt it for the keys in this `file`, one a line")
	flags.BoolVar(&o.keys.ask, "passphrase", false, "Encrypt it with a passphrase, which is asked for")
	flags.StringVar(&o.keys.passphraseFile, "passphrase-file", "", "Encrypt it with the passphrase in this `file`")
	flags.IntVar(&o.kept.Keep, "keep", 0, "Then remove all but the newest `n` backups of this deployment there (default: keep all)")
	flags.DurationVar(&o.kept.MaxAge, "max-age", 0, "Then remove those older than this, such as 720h (default: keep all)")
	a.jsonFlag(verb, "what was made")
	verb.AddCommand(a.backupListVerb(), a.backupVerifyVerb(), a.backupScheduleVerb())
	return verb
}

// place is where backups are, and which one is meant.
type place struct {
	store store.Store
	// name is empty where one is to be chosen.
	name string
}

func (p place) String() string { return strings.TrimSuffix(p.store.String(), "/") + "/" + p.name }

// placeAt is the place that somebody names; the deployment's own where they do not.
func placeAt(d deployment.Deployment, where string) (place, error) {
	if where == "" {
		where = filepath.Join(d.Dir, backupFolder) + "/"
		if err := os.MkdirAll(where, 0o700); err != nil {
			return place{}, problem.Problem{ID: "backup-folder", Where: where, What: fmt.Sprintf("the folder cannot be made: %v", err), Fix: "name another one", Err: err}
		}
	}
	if !strings.HasPrefix(where, "s3://") {
		// Remembered as it is found from anywhere; a slash at its end says that it is a folder.
		absolute, err := filepath.Abs(where)
		if err != nil {
			return place{}, fmt.Errorf("finding %s: %w", where, err)
		}
		if strings.HasSuffix(where, "/") {
			absolute += "/"
		}
		where = absolute
	}
	// The deployment's settings and the shell, the stronger of both.
	kept, name, err := store.At(where, func(name string) string { return d.Variables[name].Value })
	return place{kept, name}, err
}

// recipients are whom a backup is encrypted for; none where it is not.
func (a *app) recipients(k keys) ([]age.Recipient, error) {
	var to []age.Recipient
	for _, file := range k.recipientFiles {
		text, err := readKeys(file)
		if err != nil {
			return nil, err
		}
		more, err := bundle.Recipients(file, text)
		if err != nil {
			return nil, err
		}
		to = append(to, more...)
	}
	for _, one := range k.recipients {
		more, err := bundle.Recipients("--recipient", one)
		if err != nil {
			return nil, err
		}
		to = append(to, more...)
	}
	if !k.ask && k.passphraseFile == "" {
		return to, nil
	}
	if len(to) > 0 {
		return nil, problem.Problem{ID: "keys", Where: "--passphrase", What: "a backup is encrypted for keys or with a passphrase, not both", Fix: "give one of them"}
	}
	passphrase, err := a.passphrase(k, true)
	if err != nil {
		return nil, err
	}
	one, err := bundle.ToPassphrase(passphrase)
	return []age.Recipient{one}, err
}

// opening is what an encrypted backup is opened with.
func (a *app) opening(k keys) ([]age.Identity, error) {
	var with []age.Identity
	for _, file := range k.identities {
		text, err := readKeys(file)
		if err != nil {
			return nil, err
		}
		more, err := bundle.Identities(file, text)
		if err != nil {
			return nil, err
		}
		with = append(with, more...)
	}
	if !k.ask && k.passphraseFile == "" {
		return with, nil
	}
	passphrase, err := a.passphrase(k, false)
	if err != nil {
		return nil, err
	}
	one, err := bundle.FromPassphrase(passphrase)
	return append(with, one), err
}

func readKeys(file string) (string, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return "", problem.Problem{ID: "key-file", Where: file, What: fmt.Sprintf("it cannot be read: %v", err), Fix: "name a file that this user may read", Err: err}
	}
	return string(text), nil
}

// passphrase is the one in a file, without the end of its line, or the one that
// is typed; a new one is to be typed twice.
func (a *app) passphrase(k keys, isNew bool) (string, error) {
	if k.passphraseFile != "" {
		text, err := readKeys(k.passphraseFile)
		return strings.TrimRight(text, "\r\n"), err
	}
	if !term.IsTerminal(int(a.streams.In.Fd())) {
		return "", problem.Problem{ID: "no-terminal", Where: "--passphrase", What: "there is no terminal to ask for it on", Fix: "give --passphrase-file"}
	}
	ask := func(prompt string) (string, error) {
		fmt.Fprint(a.streams.Err, prompt)
		typed, err := term.ReadPassword(int(a.streams.In.Fd()))
		fmt.Fprintln(a.streams.Err)
		return string(typed), err
	}
	typed, err := ask("Passphrase: ")
	if err == nil && isNew {
		var again string
		if again, err = ask("The same again: "); err == nil && again != typed {
			err = problem.Problem{ID: "passphrase", Where: "--passphrase", What: "both are not the same", Fix: "try again"}
		}
	}
	return typed, err
}

func (a *app) backup(ctx context.Context, where string, o backupOptions) error {
	if o.kept.Keep < 0 || o.kept.MaxAge < 0 {
		return problem.Problem{ID: "retention", Where: "backup", What: "--keep and --max-age cannot be negative", Fix: "leave them out to keep all"}
	}
	u := a.ui()
	to, err := a.recipients(o.keys)
	if err != nil {
		return err
	}
	release, err := a.turn(ctx, u)
	if err != nil {
		return err
	}
	defer release()
	s, record, err := a.backupSurvey(ctx)
	if err != nil {
		return err
	}
	defer s.engine.Close()
	at, err := placeAt(s.deployment, where)
	if err != nil {
		return err
	}
	began := time.Now()
	id, name := backup.Name(s.stack.Project.Name, began)
	if at.name == "" {
		at.name = name
	}
	report, stop := u.Progress()
	defer stop()
	upload, err := at.store.Create(ctx, at.name)
	if err != nil {
		return err
	}
	defer func() { _ = upload.Abort() }() // nothing is left of what was not finished
	made, err := s.take(ctx, &record, naming{id: id, began: began, tool: a.version}, o.online, to, at, upload, report)
	if err != nil {
		return err
	}
	stop()
	if err := record.Change(s.deployment.Dir, func(r *backup.Record) { r.Note(made) }); err != nil {
		return err
	}
	if err := s.retain(ctx, u, at, o.kept); err != nil {
		return err
	}
	if a.json {
		u.Value(made)
		return u.Err()
	}
	showMade(u, made)
	return u.Err()
}

func showMade(u *ui.UI, made backup.Made) {
	what := "database and state of one moment"
	if !made.Consistent {
		what = "taken online: files of the state may be newer than the database"
	}
	u.Note(progress.Done, fmt.Sprintf("%s, %s, %s (%.1f s, environments halted for %.1f s)", made.Where, bytesText(made.Size), what, made.Seconds, made.HaltedSeconds))
	u.Note("", "Next: inmanta-docker backup verify "+made.Where)
}

// retain removes the backups of this deployment that are not to be kept.
func (s survey) retain(ctx context.Context, u *ui.UI, at place, kept backup.Retention) error {
	if kept == (backup.Retention{}) {
		return nil
	}
	entries, err := at.store.List(ctx)
	if err != nil {
		return err
	}
	for _, e := range kept.Outdated(backup.Own(s.stack.Project.Name, entries), time.Now()) {
		if err := at.store.Remove(ctx, e.Name); err != nil {
			return err
		}
		u.Note(progress.Done, "removed "+place{at.store, e.Name}.String())
	}
	return nil
}

// encrypting is a backup's file that is encrypted, or not; closing it ends the
// encryption and leaves the upload open.
func encrypting(upload io.Writer, to []age.Recipient) (io.WriteCloser, error) {
	buffered := bufio.NewWriterSize(upload, 1<<20)
	if len(to) == 0 {
		return flushing{buffered, buffered.Flush}, nil
	}
	encrypted, err := bundle.Encrypt(buffered, to...)
	if err != nil {
		return nil, err
	}
	return flushing{encrypted, func() error { return errors.Join(encrypted.Close(), buffered.Flush()) }}, nil
}

type flushing struct {
	io.Writer
	close func() error
}

// Close implements io.Closer.
func (f flushing) Close() error { return f.close() }

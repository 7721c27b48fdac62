package command

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"filippo.io/age"
	"github.com/spf13/cobra"

	"github.com/inmanta/inmanta-docker/backup"
	"github.com/inmanta/inmanta-docker/bundle"
	"github.com/inmanta/inmanta-docker/database"
	"github.com/inmanta/inmanta-docker/deployment"
	"github.com/inmanta/inmanta-docker/problem"
	"github.com/inmanta/inmanta-docker/progress"
	"github.com/inmanta/inmanta-docker/topology"
	"github.com/inmanta/inmanta-docker/ui"
)

// restoreOptions are the flags of restore.
type restoreOptions struct {
	keys                           keys
	replace, halted, goOn, putBack bool
	// moment is one of the archive to go back to, in the place of a backup.
	moment  string
	timeout time.Duration
}

// keyFlags are those that open an encrypted backup.
func keyFlags(verb *cobra.Command, k *keys) {
	flags := verb.Flags()
	flags.StringArrayVarP(&k.identities, "identity", "i", nil, "Open it with the secret key in this `file`, of age-keygen or ssh-keygen; may be repeated")
	flags.BoolVar(&k.ask, "passphrase", false, "Open it with a passphrase, which is asked for")
	flags.StringVar(&k.passphraseFile, "passphrase-file", "", "Open it with the passphrase in this `file`")
}

func (a *app) restoreVerb() *cobra.Command {
	var o restoreOptions
	verb := &cobra.Command{
		Use:   "restore {FILE | s3://BUCKET/FILE}",
		Short: "Restore a backup into this deployment, new or not",
		Long: `Restore a backup into this deployment. All of the file is checked first, and whether it
fits: another edition, another major version of PostgreSQL or a newer orchestrator
is refused before anything is touched.

It is loaded beside what is there, which stays in use, and compared with what the
backup says of every table. Only then both change places, and the orchestrator is
started with it. What was there is kept until it serves, and put back if it does not.

With --halted its environments stay halted: a second orchestrator that manages the same
devices as one that runs elsewhere deploys to them as well.

A restore that was cut short is gone on with by --continue, or undone by --put-back;
until then up refuses.`,
		Example: `  inmanta-docker restore backups/inmanta-20261127T140102Z.inmanta-backup
  inmanta-docker restore --continue`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			where := strings.Join(args, "")
			if (where == "") != (o.goOn || o.putBack) || o.goOn && o.putBack {
				return problem.Problem{ID: "restore-what", Where: "restore", What: "it takes a backup, or --continue, or --put-back", Fix: "see which there are: inmanta-docker backup ls"}
			}
			return a.restore(cmd.Context(), where, o)
		},
	}
	flags := verb.Flags()
	flags.BoolVar(&o.replace, "replace", false, "Replace the environments that the deployment has")
	flags.BoolVar(&o.halted, "halted", false, "Leave all of its environments halted, so that nothing is deployed from here")
	flags.BoolVar(&o.goOn, "continue", false, "Go on with a restore that was cut short")
	flags.BoolVar(&o.putBack, "put-back", false, "Undo a restore that was cut short")
	flags.DurationVar(&o.timeout, "timeout", 10*time.Minute, "How long to wait until the orchestrator serves with it")
	keyFlags(verb, &o.keys)
	return verb
}

// source is a backup to be read, as often as it takes.
type source struct {
	place
	with []age.Identity
}

// open opens it; read is told how much of its size has been read, and may be nil.
func (b source) open(ctx context.Context, read func(n, size int64)) (io.Reader, io.Closer, int64, error) {
	file, size, err := b.store.Open(ctx, b.name)
	if err != nil {
		return nil, nil, 0, err
	}
	from := io.Reader(file)
	if read != nil {
		from = &metered{from: file, read: func(n int64) { read(n, size) }}
	}
	plain, err := bundle.Decrypt(from, b.String(), b.with...)
	if err != nil {
		return nil, nil, 0, errors.Join(err, file.Close())
	}
	return plain, file, size, nil
}

// metered tells how much has gone through it, at most once for each MiB.
type metered struct {
	from    io.Reader
	n, told int64
	read    func(int64)
}

func (m *metered) count(n int) {
	if m.n += int64(n); m.n-m.told >= 1<<20 {
		m.told = m.n
		m.read(m.n)
	}
}

// Read implements io.Reader.
func (m *metered) Read(p []byte) (int, error) {
	n, err := m.from.Read(p)
	m.count(n)
	return n, err
}

// Write implements io.Writer.
func (m *metered) Write(p []byte) (int, error) {
	m.count(len(p))
	return len(p), nil
}

// check reads all of it.
func (b source) check(ctx context.Context, report progress.Report) (bundle.Header, bundle.Manifest, int64, error) {
	event := progress.Event{ID: "Backup", Text: "Checking", Detail: b.String(), Status: progress.Working}
	report(event)
	plain, closer, size, err := b.open(ctx, func(n, size int64) {
		now := event
		now.Current, now.Total = n, size
		report(now)
	})
	if err != nil {
		return bundle.Header{}, bundle.Manifest{}, 0, err
	}
	defer closer.Close()
	h, m, err := bundle.Check(plain, b.String(), nil)
	if err != nil {
		return h, m, size, err
	}
	event.Text, event.Status = "Whole", progress.Done
	event.Detail = fmt.Sprintf("%s, of %s, %s", bytesText(size), h.Created.Local().Format(time.DateTime), h.Project)
	report(event)
	return h, m, size, nil
}

// backupAt is the backup that somebody names.
func (a *app) backupAt(d deployment.Deployment, where string, k keys) (source, error) {
	with, err := a.opening(k)
	if err != nil {
		return source{}, err
	}
	at, err := placeAt(d, where)
	if err == nil && at.name == "" {
		err = problem.Problem{ID: "no-backup-named", Where: where, What: "this names no backup, but where some may be", Fix: "see which there are: inmanta-docker backup ls " + where}
	}
	return source{at, with}, err
}

func (a *app) restore(ctx context.Context, where string, o restoreOptions) error {
	u := a.ui()
	release, err := a.turn(ctx, u)
	if err != nil {
		return err
	}
	defer release()
	s, err := a.survey(ctx, u, false)
	if err != nil {
		return err
	}
	defer s.engine.Close()
	j, cutShort, err := backup.UnderWay(s.deployment.Dir)
	switch resumes := o.goOn || o.putBack; {
	case err != nil:
		return err
	case cutShort && !resumes:
		return j.CutShort()
	case !cutShort && resumes:
		return problem.Problem{ID: "no-restore", Where: s.deployment.Dir, What: "no restore was cut short here", Fix: "name a backup to restore: inmanta-docker backup ls"}
	case cutShort:
		where, o.moment = j.Where, j.Moment
	}
	record, err := backup.Remembered(s.deployment.Dir)
	if err == nil {
		err = s.endAbandoned(ctx, &record)
	}
	if err != nil {
		return err
	}
	if !cutShort {
		// An orchestrator that does not answer may be why somebody restores.
		if err := s.resumeLeft(ctx, &record); err != nil {
			u.Note(progress.Warning, firstLine(err))
		}
	}
	report, stop := u.Progress()
	defer stop()
	r := restoring{app: a, survey: s, report: report, timeout: o.timeout, ui: u, alone: o.moment != ""}
	if cutShort {
		// As after a `down` in between: up refuses to start them.
		if err := r.databases(ctx, false); err != nil {
			return err
		}
	}
	switch {
	case o.putBack && j.Phase == backup.Keeping:
		return problem.Problem{ID: "restore-done", Where: j.Where, What: "it serves already, and what was there before is being removed", Fix: "finish it: inmanta-docker restore --continue"}
	case o.putBack:
		j.Why = "it was asked for"
		err = r.putBack(ctx, &j)
	case cutShort && j.Phase != backup.Loading:
		err = r.carryOn(ctx, &j)
	case o.moment != "":
		err = r.recover(ctx, o.moment, o.replace || cutShort)
	default:
		var from source
		if from, err = a.backupAt(s.deployment, where, o.keys); err == nil {
			err = r.begin(ctx, from, o.replace || cutShort, o.halted || cutShort && j.LeaveHalted)
		}
	}
	stop()
	if err != nil {
		return err
	}
	return u.Err()
}

// restoring is a restore at work.
type restoring struct {
	app     *app
	survey  survey
	report  progress.Report
	ui      *ui.UI
	timeout time.Duration
	// alone is that the database alone is restored: the state volume is left as it is.
	alone bool
}

// onState does something with the state volume, if that is restored.
func (r restoring) onState(ctx context.Context, verb string) error {
	if r.alone {
		return nil
	}
	_, err := r.survey.onVolume(ctx, verb)
	return err
}

// say reports that a step of the restore begins, or is done.
func (r restoring) say(text, detail string, status progress.Status) {
	r.report(progress.Event{ID: "Restore", Text: text, Detail: detail, Status: status})
}

// targetOf is what is known of where a backup is to be restored before anything runs.
func targetOf(d deployment.Deployment, where string) backup.Target {
	return backup.Target{Where: where, DatabaseFree: -1, StateFree: -1, Service: slices.ContainsFunc(d.Files, func(f deployment.File) bool {
		return f.Name() == deployment.OverlayFile("iso")
	})}
}

// begin restores a backup from its beginning; halted leaves its environments so.
func (r restoring) begin(ctx context.Context, from source, replace, halted bool) error {
	s := r.survey
	h, m, _, err := from.check(ctx, r.report)
	if err != nil {
		return err
	}
	target := targetOf(s.deployment, s.deployment.Dir)
	// What needs nothing to run is refused before anything is started.
	if problems := backup.Problems(from.String(), h, m, target); len(problems) > 0 {
		return problems
	}
	if err := r.mayReplace(ctx, "inmanta-docker restore --replace "+from.String(), replace); err != nil {
		return err
	}
	load, err := r.prepare(ctx)
	if err != nil {
		return err
	}
	target, err = load.facts(ctx, target)
	if err != nil {
		return err
	}
	if problems := backup.Problems(from.String(), h, m, target); len(problems) > 0 {
		return problems
	}
	j := backup.Journal{ID: h.ID, Where: from.String(), Began: time.Now().UTC(), Halted: m.Content.Halted, LeaveHalted: halted, Edition: h.Orchestrator.Edition}
	if halted {
		j.Halted = nil
	}
	return r.replace(ctx, load, &j, func() error {
		err := load.load(ctx, from, m)
		if err == nil && halted {
			err = database.HaltAll(ctx, s.engine, load.database.ID, database.Loaded)
		}
		return err
	})
}

// replace has something loaded beside what is there, and gives it its place.
func (r restoring) replace(ctx context.Context, l loading, j *backup.Journal, load func() error) error {
	dir := r.survey.deployment.Dir
	if err := j.Enter(dir, backup.Loading); err != nil {
		return err
	}
	if err := load(); err != nil {
		// What was there was not touched: nothing of the attempt is to stay.
		if left := l.forget(context.WithoutCancel(ctx)); left != nil {
			return errors.Join(err, j.CutShort()) // an engine that is gone, for one
		}
		return errors.Join(err, j.Over(dir))
	}
	if err := j.Enter(dir, backup.Swapping); err != nil {
		return err
	}
	return r.carryOn(ctx, j)
}

// mayReplace refuses to replace environments that nobody has said are to go; again
// is the command that says so.
func (r restoring) mayReplace(ctx context.Context, again string, replace bool) error {
	if replace {
		return nil
	}
	containers, err := r.survey.engine.Containers(ctx, r.survey.stack.Project.Name)
	if err != nil {
		return err
	}
	running := slices.ContainsFunc(containers, func(c engineContainer) bool { return slices.Contains(pairServices, c.Service) && c.State == "running" })
	if !running {
		volume, ok := r.survey.databaseVolume(topology.Database)
		if !ok {
			return nil
		}
		if has, err := r.survey.engine.HasVolume(ctx, volume); err != nil || !has {
			return err
		}
		return problem.Problem{
			ID: "restore-replaces", Where: "volume " + volume, What: "the deployment has a database, which does not run, so that nobody can say what a restore would replace",
			Fix: "start it to look (inmanta-docker up), or say that it is to be replaced: " + again,
		}
	}
	names, err := r.survey.environmentNames(ctx)
	if err != nil || len(names) == 0 {
		return err
	}
	return problem.Problem{
		ID: "restore-replaces", Where: r.survey.deployment.Dir,
		What: "a restore replaces the environments that the deployment has: " + some(names),
		Fix:  "back them up first (inmanta-docker backup), and say that they are to be replaced: " + again,
	}
}

// some are the first of many names.
func some(names []string) string {
	const most = 5
	if more := len(names) - most; more > 0 {
		return fmt.Sprintf("%s and %d more", strings.Join(names[:most], ", "), more)
	}
	return strings.Join(names, ", ")
}

// carryOn goes on with a restore whose backup has been loaded.
func (r restoring) carryOn(ctx context.Context, j *backup.Journal) error {
	dir := r.survey.deployment.Dir
	if j.Phase == backup.PuttingBack {
		return r.putBack(ctx, j)
	}
	if j.Phase == backup.Keeping {
		// It has served, and may be down by now: nobody would resume its environments.
		if err := r.start(ctx, ""); err != nil {
			return err
		}
	}
	if j.Phase == backup.Swapping {
		r.say("Swapping", "the orchestrator is down for a moment", progress.Working)
		if err := r.swap(ctx, true); err != nil {
			return r.failed(ctx, j, err)
		}
		if err := j.Enter(dir, backup.Starting); err != nil {
			return err
		}
	}
	if j.Phase == backup.Starting {
		r.say("Starting", "the orchestrator with what was restored", progress.Working)
		if err := r.start(ctx, j.Edition); err != nil {
			return r.failed(ctx, j, err)
		}
		if err := j.Enter(dir, backup.Keeping); err != nil {
			return err
		}
	}
	r.say("Keeping", "what was there before is removed", progress.Working)
	if err := r.survey.resume(ctx, j.Halted); err != nil {
		r.ui.Note(progress.Warning, firstLine(err))
	}
	// Those that a backup had left halted were of the database that goes.
	if err := (&backup.Record{}).Change(dir, func(now *backup.Record) { now.Halted = nil }); err != nil {
		return err
	}
	if err := r.discard(ctx, true); err != nil {
		return err
	}
	if err := j.Over(dir); err != nil {
		return err
	}
	r.say("Restored", j.Where, progress.Done)
	return nil
}

// failed puts back what was there, unless somebody only interrupted.
func (r restoring) failed(ctx context.Context, j *backup.Journal, err error) error {
	if ctx.Err() != nil {
		return errors.Join(ctx.Err(), j.CutShort())
	}
	j.Why = firstLine(err)
	return errors.Join(r.putBack(ctx, j), err)
}

// putBack undoes a restore, and returns when what was there serves again. It is an
// error when that was not asked for.
func (r restoring) putBack(ctx context.Context, j *backup.Journal) error {
	dir := r.survey.deployment.Dir
	r.say("Putting back", "what was there before", progress.Warning)
	loading := j.Phase == backup.Loading
	if err := j.Enter(dir, backup.PuttingBack); err != nil {
		return err
	}
	if !loading {
		if err := r.swap(ctx, false); err != nil {
			return err
		}
		if err := r.start(ctx, ""); err != nil {
			return err
		}
	}
	if err := r.discard(ctx, false); err != nil {
		return err
	}
	if err := j.Over(dir); err != nil {
		return err
	}
	r.say("Put back", "what was there before serves as it did", progress.Done)
	return nil
}

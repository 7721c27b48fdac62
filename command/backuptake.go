package command

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"time"

	"filippo.io/age"
	"github.com/docker/go-units"
	"github.com/moby/moby/client"
	"golang.org/x/sync/errgroup"

	"github.com/inmanta/inmanta-docker/backup"
	"github.com/inmanta/inmanta-docker/bundle"
	"github.com/inmanta/inmanta-docker/database"
	"github.com/inmanta/inmanta-docker/orchestrator"
	"github.com/inmanta/inmanta-docker/pair"
	"github.com/inmanta/inmanta-docker/problem"
	"github.com/inmanta/inmanta-docker/progress"
	"github.com/inmanta/inmanta-docker/readiness"
	"github.com/inmanta/inmanta-docker/settings"
	"github.com/inmanta/inmanta-docker/sidecar/volume"
	"github.com/inmanta/inmanta-docker/store"
	"github.com/inmanta/inmanta-docker/topology"
)

func bytesText(n int64) string { return units.BytesSize(float64(n)) }

// backupSurvey is the deployment, its engine and what is remembered of its
// backups. What an earlier one left behind that was killed is put right. The
// caller closes the engine.
func (a *app) backupSurvey(ctx context.Context) (survey, backup.Record, error) {
	d, stack, err := a.open(ctx)
	if err != nil {
		return survey{}, backup.Record{}, err
	}
	s := survey{deployment: d, stack: stack}
	if underWay, ok, err := backup.UnderWay(d.Dir); err != nil || ok {
		if err == nil {
			err = underWay.CutShort()
		}
		return s, backup.Record{}, err
	}
	record, err := backup.Remembered(d.Dir)
	if err != nil {
		return s, record, err
	}
	if s.engine, err = a.reach(ctx); err != nil {
		return s, record, err
	}
	err = s.endAbandoned(ctx, &record)
	if err == nil {
		err = s.resumeLeft(ctx, &record)
	}
	if err != nil {
		return s, record, errors.Join(err, s.engine.Close())
	}
	return s, record, nil
}

// endAbandoned ends what a backup or a restore that was killed has left at work.
func (s survey) endAbandoned(ctx context.Context, record *backup.Record) error {
	// What resumes environments may have done so: somebody may have halted them since.
	resumed, err := s.engine.Accomplished(ctx, s.stack.Project.Name, "halt")
	if err != nil {
		return err
	}
	if resumed && len(record.Halted) > 0 {
		if err := record.Change(s.deployment.Dir, func(r *backup.Record) { r.Halted = nil }); err != nil {
			return err
		}
	}
	_, err = s.engine.RemoveAbandoned(ctx, s.stack.Project.Name)
	return err
}

// resumeLeft resumes the environments that a backup has left halted.
func (s survey) resumeLeft(ctx context.Context, record *backup.Record) error {
	if len(record.Halted) == 0 {
		return nil
	}
	containers, err := s.engine.Containers(ctx, s.stack.Project.Name)
	if err != nil {
		return err
	}
	if !slices.ContainsFunc(containers, func(c engineContainer) bool { return c.Service == topology.Orchestrator && c.State == "running" }) {
		return nil // there is nobody to ask; they stay on record
	}
	if err := s.resume(ctx, record.Halted); err != nil {
		return err
	}
	return record.Change(s.deployment.Dir, func(r *backup.Record) { r.Halted = nil })
}

// primaryDatabase is the container of the database that takes writes.
func (s survey) primaryDatabase(ctx context.Context) (readiness.Container, error) {
	node := topology.Database
	if s.hasPair() {
		found, err := s.pair(ctx)
		if err != nil {
			return readiness.Container{}, err
		}
		if found.Primary == "" {
			return readiness.Container{}, problem.Problem{ID: "no-primary", Where: s.deployment.Dir, What: found.Verdict, Fix: found.Fix}
		}
		if n, _ := found.Node(found.Primary); n.ContainerState == pair.Elsewhere {
			return readiness.Container{}, problem.Problem{
				ID: "primary-elsewhere", Where: s.deployment.Dir, What: "the primary database, " + found.Primary + ", is on another machine", Fix: "do this on that machine",
			}
		}
		node = found.Primary
	}
	return s.runningSidecar(ctx, node)
}

// running is what a backup is taken of.
type running struct {
	database readiness.Container
	// up says that the orchestrator runs, and may write.
	up bool
	// status is nil where it does not run, or asks for a login and gives none.
	status *orchestrator.Status
	// token is what lets it be asked; empty where it asks for no login.
	token        string
	environments []orchestrator.Environment
	// images are what the services run.
	images map[string]bundle.Image
}

// toHalt are the environments that are not halted already.
func (r running) toHalt() []string {
	var ids []string
	for _, e := range r.environments {
		if !e.Halted {
			ids = append(ids, e.ID)
		}
	}
	return ids
}

// contents are the environments as a backup notes them.
func (r running) contents() []bundle.Environment {
	list := []bundle.Environment{}
	for _, e := range r.environments {
		resources := e.Resources
		if e.Unknown != "" {
			resources = -1
		}
		list = append(list, bundle.Environment{ID: e.ID, Name: e.Name, Halted: e.Halted, Resources: resources})
	}
	return list
}

// consistent says whether a backup is of one moment.
func (r running) consistent(online bool) bool { return !r.up || !online }

// observeRunning asks what there is. An orchestrator that runs has to answer: what it does
// would go on otherwise.
func (s survey) observeRunning(ctx context.Context, online bool) (running, error) {
	var r running
	var err error
	if r.database, err = s.primaryDatabase(ctx); err != nil {
		return r, err
	}
	containers, err := readiness.Observe(ctx, s.engine.API(), s.stack.Project.Name)
	if err != nil {
		return r, err
	}
	r.images = map[string]bundle.Image{}
	for _, c := range containers {
		inspected, err := s.engine.API().ContainerInspect(ctx, c.ID, client.ContainerInspectOptions{})
		if err != nil {
			return r, fmt.Errorf("looking at container %s: %w", c.Name, err)
		}
		r.images[c.Service] = bundle.Image{Reference: c.Image, ID: inspected.Container.Image}
	}
	found := status{}
	r.token, err = s.askOrchestrator(ctx, containers, &found, true)
	for _, c := range containers {
		if c.Service == topology.Orchestrator {
			r.up = r.up || c.State == "running" || c.State == "restarting"
			if err == nil && c.State == "restarting" {
				err = errors.New("it ends, and is started again and again")
			}
		}
	}
	if err = unheard(s.deployment.Dir, r.up && found.Orchestrator == nil, online, err); err != nil {
		return r, err
	}
	r.status, r.environments = found.Orchestrator, found.Environments
	return r, nil
}

// unheard is why no backup is taken of an orchestrator that did not say all that was
// asked, for the reason err; silent is that it runs and did not even say what it is.
// nil where that does no harm: to everybody it says only that it is well.
func unheard(where string, silent, online bool, err error) error {
	login := errors.Is(err, orchestrator.ErrLogin) || err == nil && silent
	switch {
	case err == nil && !silent, login && online:
		return nil
	case login:
		return problem.Problem{
			ID: "orchestrator-login", Where: where, What: "the orchestrator's environments cannot be halted from here: " + firstLine(errors.Join(err, orchestrator.ErrLogin)),
			Fix: "give its configuration a key to sign tokens with (a section auth_jwt_… with sign = true); or stop it for the backup (inmanta-docker stop " + topology.Orchestrator + "), or take the backup with --online", Err: orchestrator.ErrLogin,
		}
	}
	return problem.Problem{
		ID: "orchestrator-silent", Where: where, What: "the orchestrator runs and does not say how it is: " + firstLine(err),
		Fix: "see what is wrong: inmanta-docker status; or stop it for the backup: inmanta-docker stop " + topology.Orchestrator, Err: err,
	}
}

// naming is what is known of a backup before anything is asked.
type naming struct {
	id, tool string
	began    time.Time
}

// login is who somebody is, in an address.
var login = regexp.MustCompile(`://[^/\s]+@`)

// header is the header of a backup.
func (s survey) header(h naming, consistent bool, r running, moment *database.Snapshot) bundle.Header {
	full := bundle.Header{
		ID: h.id, Created: h.began, Project: s.stack.Project.Name, Tool: h.tool, Consistent: consistent,
		Settings: map[string]string{}, Images: r.images,
		Database: bundle.Server{
			Version: moment.Server, Major: moment.Major, Name: database.User, Bytes: moment.Bytes,
			Encoding: moment.Encoding, Collation: moment.Collation,
		},
		Orchestrator: bundle.Orchestrator{Schema: moment.Schema},
	}
	for _, f := range s.deployment.Files {
		full.Topology = append(full.Topology, f.Name())
	}
	for _, one := range settings.All {
		if value, _, ok := s.deployment.Setting(one.Name); ok && !settings.IsSecret(one.Name) {
			full.Settings[one.Name] = login.ReplaceAllString(value, "://")
		}
	}
	if r.status != nil {
		full.Orchestrator.Product, full.Orchestrator.Edition, full.Orchestrator.Version = r.status.Product, r.status.Edition, r.status.Version
	}
	return full
}

// take takes a backup and hands it in.
func (s survey) take(ctx context.Context, record *backup.Record, h naming, online bool, to []age.Recipient, at place, upload store.Upload, report progress.Report) (made backup.Made, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	r, err := s.observeRunning(ctx, online)
	if err != nil {
		return made, err
	}
	if err := database.EndDumps(ctx, s.engine, r.database.ID); err != nil {
		return made, err
	}
	room, err := s.room(ctx)
	if err != nil {
		return made, err
	}
	var halting []string
	if !online {
		halting = r.toHalt()
	}
	// Those that an earlier backup has left halted, in an orchestrator that is down now.
	left := record.Halted
	still, err := s.halt(ctx, record, r.token, halting, report)
	if err != nil {
		return made, err
	}
	defer func() { err = errors.Join(err, still.end(s, record)) }()
	moment, err := database.OpenSnapshot(ctx, s.engine, r.database.ID)
	if err != nil {
		return made, err
	}
	defer func() { _ = moment.Close() }() // it was only read
	full := s.header(h, r.consistent(online), r, moment)
	counted := &metered{read: func(int64) {}}
	file, err := encrypting(io.MultiWriter(upload, counted), to)
	if err != nil {
		return made, err
	}
	writer, err := bundle.NewWriter(file, full)
	if err != nil {
		return made, err
	}
	content := bundle.Content{Halted: slices.Concat([]string{}, halting, left), Environments: r.contents()}
	if content.State, err = s.writeState(ctx, writer, at, room, func() error { return still.end(s, record) }, report); err != nil {
		return made, err
	}
	if content.Tables, err = s.writeDatabase(ctx, writer, moment, report); err != nil {
		return made, err
	}
	if _, err := writer.Finish(content); err != nil {
		return made, err
	}
	if err := file.Close(); err != nil {
		return made, err
	}
	if err := upload.Commit(); err != nil {
		return made, err
	}
	report(progress.Event{ID: "Backup", Text: "Written", Detail: bytesText(counted.n), Status: progress.Done})
	made = backup.Made{
		ID: h.id, Project: full.Project, Where: at.String(), Created: full.Created, Size: counted.n, Consistent: full.Consistent, Encrypted: len(to) > 0,
		Seconds: time.Since(h.began).Seconds(),
	}
	if len(halting) > 0 {
		made.HaltedSeconds = still.over.Seconds()
	}
	return made, nil
}

// writeState packs the state volume into the backup and says resume when it has
// been read: before it is written, where writing may take longer than reading.
func (s survey) writeState(ctx context.Context, w *bundle.Writer, at place, room volume.Room, resume func() error, report progress.Report) (bundle.Volume, error) {
	event := progress.Event{ID: "State", Text: "Packing", Status: progress.Working}
	report(event)
	part, err := w.Part(bundle.State)
	if err != nil {
		return bundle.Volume{}, err
	}
	var summary volume.Summary
	packed := &metered{read: func(n int64) {
		now := event
		now.Detail = fmt.Sprintf("%s so far, of %s before compression", bytesText(n), bytesText(room.Bytes))
		report(now)
	}}
	if _, near := at.store.(store.Folder); near {
		if summary, err = s.packState(ctx, io.MultiWriter(part, packed)); err == nil {
			err = resume()
		}
	} else {
		summary, err = s.spoolState(ctx, part, packed, resume)
	}
	if err == nil {
		err = part.Close()
	}
	if err != nil {
		return bundle.Volume{}, err
	}
	event.Text, event.Status = "Packed", progress.Done
	event.Detail = fmt.Sprintf("%d files, %s", summary.Files, bytesText(summary.Bytes))
	if n := int64(len(summary.Changed)) + summary.MoreChanged; n > 0 {
		event.Status, event.Detail = progress.Warning, fmt.Sprintf("%s; %d of them changed while they were read, such as %s", event.Detail, n, summary.Changed[0])
	}
	report(event)
	return bundle.Volume{Files: summary.Files, Bytes: summary.Bytes, UID: int(summary.UID), GID: int(summary.GID)}, nil
}

// spoolState packs the state volume into a file without a name first.
func (s survey) spoolState(ctx context.Context, part, packed io.Writer, resume func() error) (volume.Summary, error) {
	folder := filepath.Join(s.deployment.Dir, backup.Folder)
	fail := func(err error) (volume.Summary, error) {
		return volume.Summary{}, fmt.Errorf("keeping the state volume in %s for a moment: %w", folder, err)
	}
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return fail(err)
	}
	spool, err := os.CreateTemp(folder, ".state-*")
	if err != nil {
		return fail(err)
	}
	defer spool.Close()
	if err := os.Remove(spool.Name()); err != nil {
		return fail(err)
	}
	summary, err := s.packState(ctx, io.MultiWriter(spool, packed))
	if err != nil {
		return summary, err
	}
	if err := resume(); err != nil {
		return summary, err
	}
	if _, err := spool.Seek(0, io.SeekStart); err != nil {
		return fail(err)
	}
	_, err = io.Copy(part, spool)
	return summary, err
}

// writeDatabase dumps the database into the backup, and counts and hashes its
// rows meanwhile.
func (s survey) writeDatabase(ctx context.Context, w *bundle.Writer, moment *database.Snapshot, report progress.Report) ([]bundle.Table, error) {
	part, err := w.Part(bundle.Database)
	if err != nil {
		return nil, err
	}
	var total int64
	for _, t := range moment.Tables {
		total += t.Bytes
	}
	dumping := progress.Event{ID: "Database", Text: "Dumping", Status: progress.Working, Total: total}
	report(dumping)
	var sums []database.Sum
	group, working := errgroup.WithContext(ctx)
	group.Go(func() error {
		return moment.Dump(working, s.engine, part, func(read int64) {
			now := dumping
			now.Current = read
			report(now)
		})
	})
	group.Go(func() (err error) {
		sums, err = moment.Sums(working, s.engine, func(database.Sum) {})
		return err
	})
	if err := group.Wait(); err != nil {
		return nil, err
	}
	if err := part.Close(); err != nil {
		return nil, err
	}
	dumping.Text, dumping.Status, dumping.Current = "Dumped", progress.Done, total
	dumping.Detail = fmt.Sprintf("%d tables, %s on the disk", len(sums), bytesText(moment.Bytes))
	report(dumping)
	return tablesOf(sums), nil
}

// tablesOf are sums as a backup notes them, by name.
func tablesOf(sums []database.Sum) []bundle.Table {
	list := []bundle.Table{}
	for _, one := range sums {
		list = append(list, bundle.Table(one))
	}
	slices.SortFunc(list, func(a, b bundle.Table) int {
		return slices.Compare([]string{a.Schema, a.Name}, []string{b.Schema, b.Name})
	})
	return list
}

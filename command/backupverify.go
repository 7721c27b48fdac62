package command

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/compose-spec/compose-go/v2/types"
	"github.com/spf13/cobra"

	"github.com/inmanta/inmanta-docker/backup"
	"github.com/inmanta/inmanta-docker/bundle"
	"github.com/inmanta/inmanta-docker/database"
	"github.com/inmanta/inmanta-docker/deployment"
	"github.com/inmanta/inmanta-docker/lock"
	"github.com/inmanta/inmanta-docker/orchestrator"
	"github.com/inmanta/inmanta-docker/problem"
	"github.com/inmanta/inmanta-docker/progress"
	"github.com/inmanta/inmanta-docker/readiness"
	"github.com/inmanta/inmanta-docker/settings"
	"github.com/inmanta/inmanta-docker/topology"
)

func (a *app) backupVerifyVerb() *cobra.Command {
	var k keys
	var timeout time.Duration
	verb := &cobra.Command{
		Use:   "verify {FILE | s3://BUCKET/FILE}",
		Short: "Restore a backup into a stack of its own, and see that it serves",
		Long: `Restore a backup into a stack of its own with the real orchestrator, and wait until it
serves: every row of every table is compared with what the backup says, and the
environments with those that it had. The stack is removed again, whatever comes of it.

Its network leads nowhere and its environments stay halted, so that it deploys
nothing. The deployment itself is not touched; it may be down.

What came of it is remembered: inmanta-docker status and backup ls show it.`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.verifyBackup(cmd.Context(), args[0], k, timeout)
		},
	}
	keyFlags(verb, &k)
	verb.Flags().DurationVar(&timeout, "timeout", 10*time.Minute, "How long to wait until the orchestrator serves with it")
	a.jsonFlag(verb, "what came of it")
	return verb
}

// isolated makes a stack of a deployment's files that cannot be mistaken for it:
// it is on no network that leads anywhere, publishes nothing and stays down when
// its engine starts again. What somebody's own files say of the sidecars, which are
// left out, would be of services that are not there.
const isolated = `services:
  db:
    container_name: %[1]s-db
    restart: "no"
    networks: !reset null
    ports: !reset []
  server:
    container_name: %[1]s-orchestrator
    restart: "no"
    networks: !reset null
    ports: !reset []
  db-replica: !override {image: unused}
  ssh: !override {image: unused}
  logrotate: !override {image: unused}
  init: !override {image: unused}
  code: !override {image: unused}
  db-dump: !override {image: unused}
  db-archive: !override {image: unused}
networks:
  default:
    internal: true
`

func (a *app) verifyBackup(ctx context.Context, where string, k keys, timeout time.Duration) error {
	u := a.ui()
	d, stack, err := a.open(ctx)
	if err != nil {
		return err
	}
	if _, err := backup.Remembered(d.Dir); err != nil {
		return err // before the work is done
	}
	// One at a time: both would be of the same name.
	folder := filepath.Join(d.Dir, backup.Folder)
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return problem.Problem{ID: "backup-notes", Where: folder, What: fmt.Sprintf("it cannot be made: %v", err), Fix: "make the directory writable", Err: err}
	}
	release, err := lock.Take(ctx, folder, func() { u.Note(progress.Warning, "Another verification is at work; waiting for it to be done.") })
	if err != nil {
		return err
	}
	defer release()
	from, err := a.backupAt(d, where, k)
	if err != nil {
		return err
	}
	began := time.Now()
	report, stop := u.Progress()
	defer stop()
	h, m, size, err := from.check(ctx, report)
	if err != nil {
		return err
	}
	failed := a.restoreApart(ctx, d, stack.Project.Name+"-verify", from, h, m, timeout, report)
	stop()
	if ctx.Err() != nil {
		return errors.Join(ctx.Err(), failed)
	}
	var record backup.Record
	var made backup.Made
	noted := record.Change(d.Dir, func(r *backup.Record) {
		var known bool
		if made, known = r.Find(h.Project, h.ID); !known {
			made = backup.Made{ID: h.ID, Project: h.Project, Created: h.Created, Consistent: h.Consistent, Encrypted: len(from.with) > 0}
		}
		made.Where, made.Size = from.String(), size
		made.Verified = &backup.Verified{At: time.Now().UTC().Truncate(time.Second), Seconds: time.Since(began).Seconds()}
		if failed != nil {
			made.Verified.Problem = firstLine(failed)
		}
		r.Note(made)
	})
	if err := errors.Join(failed, noted); err != nil {
		return err
	}
	if a.json {
		u.Value(made)
		return u.Err()
	}
	with := ""
	if said(h) {
		with = fmt.Sprintf(", with %d environments", len(m.Content.Environments))
	}
	u.Note(progress.Done, fmt.Sprintf("%s can be restored: the orchestrator serves with it%s, and every row of %d tables is as it was (%.1f s)",
		from.name, with, len(m.Content.Tables), made.Verified.Seconds))
	return u.Err()
}

// restoreApart restores a backup into a stack of its own, which it removes again.
func (a *app) restoreApart(ctx context.Context, d deployment.Deployment, name string, from source, h bundle.Header, m bundle.Manifest, timeout time.Duration, report progress.Report) (err error) {
	s, clean, err := a.apart(ctx, d, name)
	if err != nil {
		return err
	}
	defer clean()
	defer s.engine.Close()
	if err := s.cleared(ctx, name); err != nil {
		return err
	}
	defer func() {
		removing, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
		defer cancel()
		err = errors.Join(err, s.engine.Down(removing, name))
	}()
	r := restoring{app: a, survey: s, report: report, timeout: timeout, ui: a.ui()}
	load, err := r.prepare(ctx)
	if err != nil {
		return err
	}
	target, err := load.facts(ctx, targetOf(d, "the stack that it was restored into"))
	if err != nil {
		return err
	}
	if problems := backup.Problems(from.String(), h, m, target); len(problems) > 0 {
		return problems
	}
	if err := load.load(ctx, from, m); err != nil {
		return err
	}
	// Nothing may be deployed from here, also where the backup was taken online.
	if err := database.HaltAll(ctx, s.engine, load.database.ID, database.Loaded); err != nil {
		return err
	}
	if err := r.swap(ctx, true); err != nil {
		return err
	}
	if err := r.start(ctx, h.Orchestrator.Edition); err != nil {
		return err
	}
	containers, err := readiness.Observe(ctx, s.engine.API(), name)
	if err != nil {
		return err
	}
	found := status{}
	if _, err := s.askOrchestrator(ctx, containers, &found, true); err != nil && !errors.Is(err, orchestrator.ErrLogin) {
		return err
	}
	return sameEnvironments(from.String(), h, m.Content.Environments, found)
}

// said says whether the orchestrator of a backup told which environments it had: one
// that was down, or asks for a login, did not.
func said(h bundle.Header) bool { return h.Orchestrator.Version != "" }

// sameEnvironments compares what the orchestrator shows with what the backup had. Where
// one of them could not be asked, that every row is the same has to do.
func sameEnvironments(where string, h bundle.Header, want []bundle.Environment, found status) error {
	if !said(h) || found.Orchestrator == nil {
		return nil
	}
	var differences []string
	for _, w := range want {
		i := slices.IndexFunc(found.Environments, func(e orchestrator.Environment) bool { return e.ID == w.ID })
		switch {
		case i < 0:
			differences = append(differences, fmt.Sprintf("environment %s is missing", w.Name))
		case found.Environments[i].Name != w.Name:
			differences = append(differences, fmt.Sprintf("environment %s is called %s", w.Name, found.Environments[i].Name))
		case w.Resources >= 0 && found.Environments[i].Unknown == "" && found.Environments[i].Resources != w.Resources:
			differences = append(differences, fmt.Sprintf("environment %s has %d resources, not %d", w.Name, found.Environments[i].Resources, w.Resources))
		}
	}
	if len(found.Environments) > len(want) {
		differences = append(differences, fmt.Sprintf("there are %d environments, not %d", len(found.Environments), len(want)))
	}
	if len(differences) == 0 {
		return nil
	}
	return problem.Problem{
		ID: "backup-differs", Where: where, What: "the orchestrator does not show what the backup had: " + some(differences), Fix: "take another backup",
	}
}

// apart is composeApart with an engine, which the caller closes.
func (a *app) apart(ctx context.Context, d deployment.Deployment, name string) (s survey, clean func(), err error) {
	if s, clean, err = a.composeApart(ctx, d, name); err != nil {
		return s, nil, err
	}
	if s.engine, err = a.reach(ctx); err != nil {
		clean()
	}
	return s, clean, err
}

// composeApart is a survey of a stack of its own, of that project name, made of the
// deployment's files: without its sidecars and without its data. The caller calls clean.
func (a *app) composeApart(ctx context.Context, d deployment.Deployment, name string) (s survey, clean func(), err error) {
	folder, err := os.MkdirTemp("", "inmanta-docker-verify-")
	if err != nil {
		return s, nil, fmt.Errorf("making a folder for a compose file: %w", err)
	}
	remove := func() { os.RemoveAll(folder) }
	defer func() {
		if err != nil {
			remove()
		}
	}()
	override := filepath.Join(folder, "docker-compose.verify.yml")
	if err := os.WriteFile(override, fmt.Appendf(nil, isolated, name), 0o600); err != nil {
		return s, nil, fmt.Errorf("writing a compose file: %w", err)
	}
	request := a.request
	request.Files, request.With = nil, nil
	for _, f := range d.Files {
		// Of our overlays, the one that says which orchestrator it is.
		overlay, ours := strings.CutSuffix(strings.TrimPrefix(f.Name(), "docker-compose."), ".yml")
		if ours && overlay != "iso" && slices.Contains(deployment.Overlays(), overlay) {
			continue
		}
		request.Files = append(request.Files, f.Path)
	}
	request.Files = append(request.Files, override)
	request.ProjectName, request.ProjectDirectory = name, d.Dir
	request.Env = append(slices.Clone(request.Env), settings.DatabasePassword+"="+deployment.Password())
	s.deployment, err = deployment.Open(request)
	if err != nil {
		return s, nil, err
	}
	if s.stack, err = topology.Load(ctx, s.deployment); err != nil {
		return s, nil, err
	}
	if s.stack.Project, err = s.stack.Project.WithSelectedServices([]string{topology.Database, topology.Orchestrator}); err != nil {
		return s, nil, err
	}
	if err := s.keepsApart(name); err != nil {
		return s, nil, err
	}
	mark(s.stack.Project)
	return s, remove, nil
}

// apartLabel marks what is of a stack to verify a backup: its project's name may be
// that of a deployment, and whatever is of the stack is removed.
const apartLabel = "com.inmanta.docker.verify"

// mark gives everything of a project that label.
func mark(p *types.Project) {
	for name, service := range p.Services {
		service.Labels = service.Labels.Add(apartLabel, "true")
		p.Services[name] = service
	}
	for name, v := range p.Volumes {
		v.Labels = v.Labels.Add(apartLabel, "true")
		p.Volumes[name] = v
	}
	for name, n := range p.Networks {
		n.Labels = n.Labels.Add(apartLabel, "true")
		p.Networks[name] = n
	}
}

// cleared removes what a verification that was killed has left. A deployment that
// has the name of such a stack stays as it is, also where only its data is left.
func (s survey) cleared(ctx context.Context, name string) error {
	others, err := s.engine.Unmarked(ctx, name, apartLabel)
	if err == nil && len(others) == 0 {
		err = s.engine.Down(ctx, name)
	}
	for _, v := range s.stack.Project.Volumes {
		if err != nil || len(others) > 0 {
			break
		}
		var there bool
		if there, err = s.engine.HasVolume(ctx, v.Name); there {
			others = append(others, "volume "+v.Name)
		}
	}
	if err != nil || len(others) == 0 {
		return err
	}
	return problem.Problem{
		ID: "verify-name", Where: "project " + name, What: "a deployment has the name that a stack to verify backups has, and all of such a stack is removed: " + some(others),
		Fix: "verify the backup in a deployment with another project name, as of: inmanta-docker init",
	}
}

// keepsApart refuses files that would have the stack use what is the deployment's,
// or reach what the deployment does.
func (s survey) keepsApart(name string) error {
	const fix = "restore the backup into a deployment on another machine to verify it"
	var problems problem.List
	for _, v := range s.stack.Project.Volumes {
		if bool(v.External) || !strings.HasPrefix(v.Name, name+"_") || len(v.DriverOpts) > 0 {
			problems = append(problems, problem.Problem{
				ID: "verify-shares", Where: "volume " + v.Name, What: "the compose files say where this volume is, so that a stack beside the deployment would use the deployment's data", Fix: fix,
			})
		}
	}
	for _, service := range s.stack.Project.Services {
		if mode := service.NetworkMode; mode != "" && mode != "none" {
			problems = append(problems, problem.Problem{
				ID: "verify-reaches", Where: "service " + service.Name, What: "the compose files have it on another network (network_mode: " + mode + "), where a restored orchestrator could deploy", Fix: fix,
			})
		}
		if len(service.VolumesFrom) > 0 {
			problems = append(problems, problem.Problem{
				ID: "verify-shares", Where: "service " + service.Name, What: "it has the volumes of others (volumes_from), which a stack beside the deployment would share", Fix: fix,
			})
		}
		for _, v := range service.Volumes {
			if v.Type == types.VolumeTypeBind && !v.ReadOnly {
				problems = append(problems, problem.Problem{
					ID: "verify-shares", Where: "service " + service.Name, What: "it may write to " + v.Source + " on the host, which a stack beside the deployment would share", Fix: fix,
				})
			}
		}
	}
	for key, n := range s.stack.Project.Networks {
		if bool(n.External) || !n.Internal {
			problems = append(problems, problem.Problem{
				ID: "verify-reaches", Where: "network " + key, What: "the compose files have a network that leads elsewhere, where a restored orchestrator could deploy", Fix: fix,
			})
		}
	}
	return problems.OrNil()
}

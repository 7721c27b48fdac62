package modelinit

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/inmanta/inmanta-docker/sidecar/initrecord"
	"github.com/inmanta/inmanta-docker/sidecar/process"
)

// job is one run of the sidecar.
type job struct {
	config   Config
	log      *narrator
	children *process.Nursery
}

// initialise does what there is to do, and says how it ended: in the log, in the
// record, and as the exit code that it returns.
func (j *job) initialise(ctx context.Context) initrecord.Code {
	began := time.Now()
	release, err := j.lock()
	if err != nil {
		return j.failed(ctx, err)
	}
	defer release()
	previous := j.lastRun()
	record := initrecord.Record{
		URL: j.config.Repository.URL, Branch: j.config.Branch, Arguments: append([]string{}, j.config.Arguments...),
		Started: began.UTC(), Result: initrecord.ResultRunning, Environments: previous.Environments,
	}
	news, err := j.plan(ctx, &record, previous)
	if err == nil && !news {
		j.log.say(initrecord.Event{
			Event: initrecord.EventEnd, Seconds: seconds(time.Since(began)),
			Detail: fmt.Sprintf("nothing to do: the orchestrator was initialised with %s of %s before", short(record.Commit), record.Branch),
		})
		return initrecord.CodeDone
	}
	if err == nil {
		if err = j.keep(record); err == nil {
			_ = os.Remove(j.again()) // most often it is not there
			err = j.phases(ctx, &record)
		}
	} else if previous.Result == initrecord.ResultDone {
		// The orchestrator is as the last run left it: that stays on record.
		return j.failed(ctx, err)
	}
	record.Seconds, record.Result = seconds(time.Since(began)), initrecord.ResultDone
	if err != nil {
		f := explained(ctx, err)
		record.Code, record.Problem, record.Fix, record.Result = f.code, f.what, f.fix, initrecord.ResultFailed
		record.Failing = f.failing[:min(len(f.failing), initrecord.MostFailing)]
		if ctx.Err() != nil {
			record.Result = initrecord.ResultStopped
		}
	}
	if kept := j.keep(record); kept != nil && err == nil {
		err = kept
	}
	if err != nil {
		return j.failed(ctx, err)
	}
	j.log.say(initrecord.Event{
		Event: initrecord.EventEnd, Seconds: record.Seconds,
		Detail: fmt.Sprintf("initialised with %s of %s: %s", short(record.Commit), record.Branch, record.Tests),
	})
	return initrecord.CodeDone
}

// failed says why, and returns the exit code.
func (j *job) failed(ctx context.Context, err error) initrecord.Code {
	f := explained(ctx, err)
	j.log.end(initrecord.StateFailed, "")
	j.log.say(initrecord.Event{Event: initrecord.EventProblem, Phase: j.log.phase, Problem: f.what, Fix: f.fix, Code: f.code})
	return f.code
}

// plan finds out what there is to do; news is false for nothing.
func (j *job) plan(ctx context.Context, record *initrecord.Record, previous initrecord.Record) (news bool, err error) {
	if err := j.clear(); err != nil {
		return false, err
	}
	if err := j.prepareGit(); err != nil {
		return false, err
	}
	j.log.begin(initrecord.PhaseRepository, fmt.Sprintf("%s, %s", j.config.Repository.URL, j.config.Branch))
	shut, err := j.open()
	if err != nil {
		return false, err
	}
	defer shut()
	if record.Commit, err = j.commit(ctx); err != nil {
		return false, err
	}
	image, _, err := j.image()
	if err != nil {
		return false, err
	}
	record.Orchestrator, record.Fingerprint = image.orchestrator(), fingerprint(j.config, record.Commit, image)
	j.log.done("at commit " + short(record.Commit))
	if exists(j.again()) || previous.Result != initrecord.ResultDone || previous.Fingerprint != record.Fingerprint {
		return true, nil
	}
	j.log.begin(initrecord.PhaseOrchestrator, j.config.API)
	if err := j.waitServing(ctx); err != nil {
		return false, err
	}
	j.log.done("")
	present, known := j.environments(ctx)
	gone := slices.ContainsFunc(previous.Environments, func(id string) bool { return !slices.Contains(present, id) })
	return known && gone, nil
}

// phases is the run itself.
func (j *job) phases(ctx context.Context, record *initrecord.Record) error {
	image, orchestrators, err := j.image()
	if err != nil {
		return err
	}
	j.log.begin(initrecord.PhaseClone, j.config.Repository.URL)
	shut, err := j.open()
	if err != nil {
		return err
	}
	record.Commit, err = j.clone(ctx)
	shut() // before anything of the module's runs
	if err != nil {
		return err
	}
	record.Fingerprint = fingerprint(j.config, record.Commit, image)
	j.log.done("at commit " + short(record.Commit))

	j.log.begin(initrecord.PhaseEnvironment, "on the orchestrator's Python")
	if err := j.makeEnvironment(ctx, orchestrators, image); err != nil {
		return err
	}
	j.log.done("")

	j.log.begin(initrecord.PhaseInstall, j.config.Repository.Name())
	if err := j.install(ctx, image); err != nil {
		return err
	}
	j.log.done("")

	j.log.begin(initrecord.PhaseOrchestrator, j.config.API)
	if err := j.waitServing(ctx); err != nil {
		return err
	}
	j.log.done("")

	j.log.begin(initrecord.PhaseTests, "pytest "+strings.Join(j.config.Arguments, " "))
	before, _ := j.environments(ctx)
	found, err := j.test(ctx)
	record.Tests = found.Tests
	if after, known := j.environments(ctx); known {
		record.Environments = made(record.Environments, before, after, value(j.config.Environment, environmentVariable, ""))
	}
	if err != nil {
		return err
	}
	j.log.done(found.Tests.String())
	return nil
}

// image are the packages of the orchestrator's image, and where they are.
func (j *job) image() (packages, string, error) {
	folder, err := sitePackages(j.config.Places.Home)
	if err != nil {
		return nil, "", err
	}
	found, err := installed(folder)
	return found, folder, err
}

// short is as much of a commit as people read.
func short(commit string) string { return commit[:min(len(commit), 10)] }

// folders are made, and given to the user, in the volumes that are this
// sidecar's own.
func (c Config) folders() []string { return []string{c.Places.Folder, c.Places.Cache} }

// takeOver gives the sidecar's own volumes to the user, where they are fresh and
// so root's.
func takeOver(folders []string, uid, gid int) error {
	for _, folder := range folders {
		info, err := os.Stat(folder)
		if err == nil && !info.IsDir() {
			err = fmt.Errorf("%s is no folder", folder)
		}
		if err == nil {
			err = os.Chown(folder, uid, gid)
		}
		if err != nil {
			return fmt.Errorf("taking over the volume at %s: %w", folder, err)
		}
	}
	return nil
}

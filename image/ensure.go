package image

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	cerrdefs "github.com/containerd/errdefs"

	"github.com/inmanta/inmanta-docker/problem"
	"github.com/inmanta/inmanta-docker/progress"
)

// Wanted are the images a deployment is configured to run on.
type Wanted struct {
	// Orchestrator is empty where none is to run: on the second of two machines.
	Orchestrator string
	PostgreSQL   string
	// HasVolumes says that the deployment has data already: then nothing is put
	// in the place of an image that cannot be had.
	HasVolumes bool
}

// Stands are the images to configure instead of those that were wanted. Empty
// fields say that nothing changes.
type Stands struct {
	Orchestrator string
	PostgreSQL   string
	// PostgreSQLVersion is the major version of PostgreSQL.
	PostgreSQLVersion string
}

// Ensure sees to it that the engine has both images: those that are there
// stay, those that are missing are pulled, or built if their name is of an image
// built here. Where a registry cannot be reached, stand-ins are built if
// they may be (see decide), and returned for the caller to write into the
// deployment's settings. Whatever is missing in the end is a problem.List.
func Ensure(ctx context.Context, engine Engine, wanted Wanted, report progress.Report) (Stands, error) {
	var group sync.WaitGroup
	refs := []string{wanted.Orchestrator, wanted.PostgreSQL}
	seen := make([]sight, len(refs))
	failed := make([]error, len(refs))
	for i, ref := range refs {
		if ref == "" {
			seen[i].present = true // nothing is missing
			continue
		}
		group.Go(func() { seen[i], failed[i] = look(ctx, engine, ref, report) })
	}
	group.Wait()
	if ctx.Err() != nil {
		return Stands{}, ctx.Err()
	}
	var problems problem.List
	for _, err := range failed {
		problems = append(problems, problem.In(err)...)
	}
	if len(problems) > 0 {
		return Stands{}, problems
	}

	decided := decide(seen[0], seen[1], wanted.HasVolumes)
	if len(decided.problems) > 0 {
		return Stands{}, decided.problems
	}
	err := Build(ctx, engine, decided.build, BuildOptions{}, report)
	if err != nil && ctx.Err() == nil && allThere(ctx, engine, decided.build) {
		// Offline with images of an earlier recipe: they work as they did.
		for _, recipe := range decided.build {
			report(progress.Event{
				ID: progressID(recipe.Ref()), Text: "Kept", Status: progress.Warning,
				Detail: "made from an earlier recipe; the new one could not be built",
			})
		}
		err = nil
	}
	if err != nil {
		return Stands{}, err
	}
	return decided.stands, nil
}

// sight is what is known of one configured image once the engine, and its
// registry if need be, have been asked.
type sight struct {
	ref string
	// local is the recipe that builds it, if the name says so.
	local *Recipe
	// present says that it is on the engine, found there or just pulled.
	present bool
	// pull is how the attempt ended, where it is not present; reason, what was said.
	pull   outcome
	reason string
}

// look finds one image, pulling it where it is missing and not one of ours.
func look(ctx context.Context, engine Engine, ref string, report progress.Report) (sight, error) {
	seen := sight{ref: ref}
	recipe, local, err := RecipeOf(ref)
	if err != nil {
		return seen, err
	}
	if local {
		// By content, which Build looks at. Never from a registry: whoever owns
		// the namespace there is not us.
		seen.local = &recipe
		return seen, nil
	}
	if seen.present, err = exists(ctx, engine, ref); err != nil || seen.present {
		if seen.present {
			report(progress.Event{ID: progressID(ref), Text: "Present", Status: progress.Done})
		}
		return seen, err
	}
	err = Pull(ctx, engine, ref, report)
	seen.pull = pullOutcome(err)
	if err == nil {
		seen.present = true
		report(progress.Event{ID: progressID(ref), Text: "Pulled", Status: progress.Done})
		return seen, nil
	}
	seen.reason = err.Error()
	report(progress.Event{ID: progressID(ref), Text: "Not pulled", Detail: seen.reason, Status: progress.Warning})
	// What is wrong with the name or with our own configuration is no outcome of a pull.
	var own problem.Problem
	if errors.As(err, &own) {
		return seen, own
	}
	return seen, nil
}

// exists says whether the engine has an image of that name.
func exists(ctx context.Context, engine Engine, ref string) (bool, error) {
	_, err := engine.ImageInspect(ctx, ref)
	if cerrdefs.IsNotFound(err) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("looking for %s: %w", ref, err)
	}
	return true, nil
}

// allThere says whether each recipe's name is on the engine, whatever it was made from.
func allThere(ctx context.Context, engine Engine, recipes []Recipe) bool {
	for _, recipe := range recipes {
		if there, err := exists(ctx, engine, recipe.Ref()); err != nil || !there {
			return false
		}
	}
	return len(recipes) > 0
}

// Listed is one image a deployment wants, as the engine has it.
type Listed struct {
	// Ref is the name it is configured by.
	Ref string `json:"ref"`
	// Present says whether the engine has it; the rest is empty where it has not.
	Present bool      `json:"present"`
	ID      string    `json:"id,omitempty"`
	Created time.Time `json:"created,omitzero"`
	// Size is in bytes, unpacked.
	Size int64 `json:"size,omitempty"`
	// Recipe is the digest of what it was built from here; empty for an image
	// that came from elsewhere.
	Recipe string `json:"recipe,omitempty"`
	// Outdated says that today's recipe of that name is another.
	Outdated bool `json:"outdated,omitempty"`
}

// List is how the wanted images stand on the engine, the orchestrator's first.
// It asks no registry and changes nothing.
func List(ctx context.Context, engine Engine, wanted Wanted) ([]Listed, error) {
	machine, err := ask(ctx, engine)
	if err != nil {
		return nil, err
	}
	var list []Listed
	for _, ref := range []string{wanted.Orchestrator, wanted.PostgreSQL} {
		if ref == "" {
			continue
		}
		one := Listed{Ref: ref}
		recipe, local, err := RecipeOf(ref)
		if err != nil {
			return nil, err
		}
		found, err := engine.ImageInspect(ctx, ref)
		switch {
		case cerrdefs.IsNotFound(err):
		case err != nil:
			return nil, fmt.Errorf("looking for %s: %w", ref, err)
		default:
			one.Present, one.ID, one.Size = true, found.ID, found.Size
			// Absent from images built without a clock.
			one.Created, _ = time.Parse(time.RFC3339Nano, found.Created)
			if found.Config != nil {
				one.Recipe = found.Config.Labels[contentLabel]
			}
			one.Outdated = local && one.Recipe != recipe.Digest(machine.architecture)
		}
		list = append(list, one)
	}
	return list, nil
}

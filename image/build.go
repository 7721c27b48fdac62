package image

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	cerrdefs "github.com/containerd/errdefs"
	apiimage "github.com/moby/moby/api/types/image"
	"github.com/moby/moby/client"

	"github.com/inmanta/inmanta-docker/problem"
	"github.com/inmanta/inmanta-docker/progress"
)

// BuildOptions say how images are built.
type BuildOptions struct {
	// Again builds even what is there: Debian's and PyPI's packages may have
	// had fixes since.
	Again bool
}

// Build makes the image of each recipe, under its name, unless an image of that
// content is there already. What cannot be built is a problem.List. A build
// that ends early, however it ends, has named nothing.
func Build(ctx context.Context, engine Engine, recipes []Recipe, options BuildOptions, report progress.Report) error {
	machine, err := ask(ctx, engine)
	if err != nil {
		return err
	}
	b := &builder{engine: engine, machine: machine, name: builderName(), report: report}
	if !options.Again {
		if recipes, err = b.missing(ctx, recipes); err != nil || len(recipes) == 0 {
			return err
		}
	}
	unlock, err := lock(ctx, func() {
		for _, recipe := range recipes {
			report(progress.Event{ID: progressID(recipe.Ref()), Text: "Waiting", Detail: "another build is at work", Status: progress.Working})
		}
	})
	if err != nil {
		return err
	}
	defer unlock()
	// Whoever held the lock before may have built the same.
	if !options.Again {
		if recipes, err = b.missing(ctx, recipes); err != nil || len(recipes) == 0 {
			return err
		}
	}
	if b.host, err = lookAround(ctx); err != nil {
		return err
	}
	return b.all(ctx, recipes, options)
}

// builder builds images on one engine.
type builder struct {
	machine
	engine Engine
	name   string
	host   surroundings
	report progress.Report
}

// progressID names an image's line of progress.
func progressID(ref string) string { return "image " + ref }

// missing are the recipes whose image is not on the engine. Those that are get
// their name, should they have lost it.
func (b *builder) missing(ctx context.Context, recipes []Recipe) ([]Recipe, error) {
	var missing []Recipe
	for _, recipe := range recipes {
		found, err := b.made(ctx, recipe)
		if err != nil {
			return nil, err
		}
		if found.ID == "" {
			missing = append(missing, recipe)
			continue
		}
		if !slices.Contains(found.RepoTags, recipe.Ref()) {
			if err := b.tag(ctx, found.ID, recipe); err != nil {
				return nil, err
			}
		}
		b.report(progress.Event{ID: progressID(recipe.Ref()), Text: "Present", Status: progress.Done})
	}
	return missing, nil
}

// made is the recipe's image; its ID is empty when there is none. What somebody
// makes FROM it inherits its label and may be anything, so the label counts only
// where the last thing done to the image is the last step of a build of ours.
func (b *builder) made(ctx context.Context, recipe Recipe) (apiimage.Summary, error) {
	// All of them: one that has lost its name hides behind what was made from it.
	found, err := b.engine.ImageList(ctx, client.ImageListOptions{
		All:     true,
		Filters: client.Filters{}.Add("label", contentLabel+"="+recipe.Digest(b.architecture)),
	})
	if err != nil {
		return apiimage.Summary{}, fmt.Errorf("listing images: %w", err)
	}
	var newest apiimage.Summary
	for _, one := range found.Items {
		history, err := b.engine.ImageHistory(ctx, one.ID)
		if cerrdefs.IsNotFound(err) {
			continue // gone since
		}
		if err != nil {
			return apiimage.Summary{}, fmt.Errorf("reading the history of image %s: %w", one.ID, err)
		}
		if len(history.Items) == 0 || !strings.HasSuffix(strings.TrimSpace(history.Items[0].CreatedBy), lastStep) {
			continue
		}
		if newest.ID == "" || one.Created > newest.Created {
			newest = one
		}
	}
	return newest, nil
}

// lastStep is how the engine remembers the last step of every build of ours.
const lastStep = "LABEL " + unfinishedLabel + "="

// newest is the image with that label that was made last; its ID is empty when
// there is none.
func (b *builder) newest(ctx context.Context, label, value string) (apiimage.Summary, error) {
	found, err := b.engine.ImageList(ctx, client.ImageListOptions{Filters: client.Filters{}.Add("label", label+"="+value)})
	if err != nil {
		return apiimage.Summary{}, fmt.Errorf("listing images: %w", err)
	}
	var newest apiimage.Summary
	for _, one := range found.Items {
		if newest.ID == "" || one.Created > newest.Created {
			newest = one
		}
	}
	return newest, nil
}

// tag gives an image its recipe's name. The image that had it goes, unless
// something uses it.
func (b *builder) tag(ctx context.Context, id string, recipe Recipe) error {
	before, err := b.engine.ImageInspect(ctx, recipe.Ref())
	if err != nil && !cerrdefs.IsNotFound(err) {
		return fmt.Errorf("looking for %s: %w", recipe.Ref(), err)
	}
	if _, err := b.engine.ImageTag(ctx, client.ImageTagOptions{Source: id, Target: recipe.Ref()}); err != nil {
		return fmt.Errorf("naming the image %s: %w", recipe.Ref(), err)
	}
	if before.ID != "" && before.ID != id && len(before.RepoTags) == 1 {
		_, _ = b.engine.ImageRemove(ctx, before.ID, client.ImageRemoveOptions{PruneChildren: true})
	}
	return nil
}

// all builds the recipes, and leaves nothing else behind.
func (b *builder) all(ctx context.Context, recipes []Recipe, options BuildOptions) error {
	base, remove, err := b.base(ctx)
	if err != nil {
		return err
	}
	defer remove()
	return b.on(ctx, base, recipes, options)
}

// on builds the recipes side by side on one base, and leaves nothing unfinished behind.
func (b *builder) on(ctx context.Context, base string, recipes []Recipe, options BuildOptions) error {
	defer b.sweep(ctx)
	failed := make([]error, len(recipes))
	var group sync.WaitGroup
	for i, recipe := range recipes {
		group.Go(func() { failed[i] = b.one(ctx, recipe, base, options) })
	}
	group.Wait()
	if ctx.Err() != nil {
		return ctx.Err()
	}
	var problems problem.List
	for _, err := range failed {
		problems = append(problems, problem.In(err)...)
	}
	return problems.OrNil()
}

// one builds one recipe and names the result.
func (b *builder) one(ctx context.Context, recipe Recipe, base string, options BuildOptions) error {
	id, err := b.run(ctx, recipe, base, options)
	if err == nil {
		err = b.tag(ctx, id, recipe)
	}
	if err != nil {
		text := "Failed"
		if ctx.Err() != nil {
			text = "Interrupted"
		}
		b.report(progress.Event{ID: progressID(recipe.Ref()), Text: text, Status: progress.Failed})
		return err
	}
	b.report(progress.Event{ID: progressID(recipe.Ref()), Text: "Built", Status: progress.Done})
	return nil
}

// run has the engine build a recipe, unnamed, and returns the image's ID.
func (b *builder) run(ctx context.Context, recipe Recipe, base string, options BuildOptions) (string, error) {
	files := maps.Clone(recipe.files)
	maps.Copy(files, b.host.files())
	var packed bytes.Buffer
	if err := archive(&packed, files); err != nil {
		return "", fmt.Errorf("packing the recipe of %s: %w", recipe.Ref(), err)
	}
	answer, err := b.engine.ImageBuild(ctx, &packed, client.ImageBuildOptions{
		BuildArgs:   map[string]*string{"BASE": &base, "VERSION": &recipe.version, "UNFINISHED": &b.name},
		Labels:      map[string]string{contentLabel: recipe.Digest(b.architecture), unfinishedLabel: ""},
		NetworkMode: b.network,
		NoCache:     options.Again,
		Remove:      true,
		ForceRemove: true,
	})
	if err != nil {
		return "", fmt.Errorf("starting the build of %s: %w", recipe.Ref(), err)
	}
	defer answer.Body.Close()

	var said transcript
	var shown time.Time
	err = eachMessage(answer.Body, func(m message) {
		step := said.Step
		if !said.take(m) || said.Step == step && time.Since(shown) < lineInterval {
			return
		}
		shown = time.Now()
		b.report(progress.Event{
			ID: progressID(recipe.Ref()), Text: "Building", Detail: said.detail(), Status: progress.Working,
			Current: int64(said.Step), Total: int64(said.Steps),
		})
	})
	if err == nil && !b.isWhole(ctx, said.ID, recipe) {
		err = errCut
	}
	if err != nil {
		return "", buildFailure(recipe, said, err)
	}
	return said.ID, nil
}

// lineInterval keeps a build's output from coming faster than anybody reads.
const lineInterval = 100 * time.Millisecond

// isWhole says whether an image came through the recipe's last step.
func (b *builder) isWhole(ctx context.Context, id string, recipe Recipe) bool {
	if id == "" {
		return false
	}
	found, err := b.engine.ImageInspect(ctx, id)
	return err == nil && found.Config != nil && found.Config.Labels[contentLabel] == recipe.Digest(b.architecture)
}

// detail is where a build stands, in one line.
func (t transcript) detail() string {
	line := t.Instruction
	if len(t.Lines) > 0 {
		line = t.Lines[len(t.Lines)-1]
	}
	return fmt.Sprintf("step %d/%d: %s", t.Step, t.Steps, line)
}

// buildFailure is what a person is told of a build that failed.
func buildFailure(recipe Recipe, said transcript, err error) problem.Problem {
	what := fmt.Sprintf("building it failed: %v", err)
	if said.Step > 0 {
		what = fmt.Sprintf("building it failed at step %d of %d (%s): %v", said.Step, said.Steps, said.Instruction, err)
	}
	return problem.Problem{
		ID: "image-build-failed", Where: progressID(recipe.Ref()),
		What: what + quoted(said.Lines),
		Fix:  advice(recipe, strings.Join(append(said.Lines, err.Error()), "\n")),
		Err:  err,
	}
}

// advice is what to do about a failed build, by what its output holds.
func advice(recipe Recipe, output string) string {
	for _, known := range []struct {
		signs []string
		fix   string
	}{
		{
			[]string{"no space left on device"},
			"Make room where the engine keeps its data (`docker info` names it under Docker Root Dir), then build again.",
		},
		{
			[]string{"no matching distribution found for inmanta=="},
			"The Python index has no inmanta " + recipe.version + ": choose a release it has, or set PIP_INDEX_URL to an index that has this one.",
		},
		{
			[]string{"certificate_verify_failed", "certificate verification failed", "certificate verify failed"},
			"Install the certificate of your proxy's authority on this machine (update-ca-certificates), or name a bundle that has it in SSL_CERT_FILE, then build again.",
		},
		{
			[]string{"temporary failure", "could not resolve", "name resolution", "connection timed out", "network is unreachable", "connection refused", "failed to fetch", "could not connect"},
			"See that the engine's machine reaches the Debian mirror and the Python index (http_proxy, https_proxy and PIP_INDEX_URL are used where set), then build again.",
		},
		{
			[]string{errCut.Error()},
			"See that the engine is running (`docker info`), then build again.",
		},
	} {
		if slices.ContainsFunc(known.signs, func(sign string) bool { return strings.Contains(strings.ToLower(output), sign) }) {
			return known.fix
		}
	}
	return "The lines above say what went wrong; build again once it is mended."
}

// sweepPatience is how long cleaning up may take: the engine may still be
// ending what it was told to end.
const sweepPatience = 15 * time.Second

// sweepPoll is how often the engine is asked whether it has.
const sweepPoll = 100 * time.Millisecond

// afterwards is a context to clean up in, even when ctx is done.
func afterwards(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(ctx), sweepPatience)
}

// sweep removes what this builder's builds left unfinished: containers, and
// images without a name. It does so even when ctx is done, as best it can: what
// it misses, the next build sweeps.
func (b *builder) sweep(ctx context.Context) {
	ctx, cancel := afterwards(ctx)
	defer cancel()
	ticker := time.NewTicker(sweepPoll)
	defer ticker.Stop()
	for b.sweepOnce(ctx) > 0 {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

// sweepOnce says how much it found; 0 too when the engine does not answer.
func (b *builder) sweepOnce(ctx context.Context) (found int) {
	mine := func() client.Filters { return client.Filters{}.Add("label", unfinishedLabel+"="+b.name) }
	containers, err := b.engine.ContainerList(ctx, client.ContainerListOptions{All: true, Filters: mine()})
	if err != nil {
		return 0
	}
	for _, one := range containers.Items {
		_, _ = b.engine.ContainerRemove(ctx, one.ID, client.ContainerRemoveOptions{Force: true, RemoveVolumes: true})
	}
	images, err := b.engine.ImageList(ctx, client.ImageListOptions{Filters: mine().Add("dangling", "true")})
	if err != nil {
		return 0
	}
	for _, one := range images.Items {
		_, _ = b.engine.ImageRemove(ctx, one.ID, client.ImageRemoveOptions{Force: true, PruneChildren: true})
	}
	return len(containers.Items) + len(images.Items)
}

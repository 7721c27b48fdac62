package image

import (
	"fmt"

	"github.com/inmanta/inmanta-docker/problem"
)

// decision is what to do about the images of a deployment.
type decision struct {
	// build are the recipes whose images are to be there; those that are, are skipped.
	build []Recipe
	// stands are the images to configure from now on.
	stands Stands
	// problems, if there are any, are all there is: nothing is built.
	problems problem.List
}

// decide says what to do about two images once what is known of them is known.
//
// An outage must never swap an edition, or put another major version over data:
// a stand-in is built only for an image whose registry could not be reached at
// all, only while there is no data, only in the place of the default open-source
// image or, below that one, of the official PostgreSQL, and never for one
// without the other being had.
func decide(orchestrator, database sight, hasVolumes bool) decision {
	var decided decision
	usual, err := Orchestrator("")
	if err != nil {
		panic(err) // a mistake in this package
	}
	// Other editions know which PostgreSQL they need; we do not.
	open := orchestrator.local != nil || usual.standsInFor(orchestrator.ref)
	for _, need := range []struct {
		seen  sight
		usual Recipe
		stand func(*Stands, Recipe)
	}{
		{orchestrator, usual, func(s *Stands, r Recipe) { s.Orchestrator = r.Ref() }},
		{database, PostgreSQL(), func(s *Stands, r Recipe) { s.PostgreSQL, s.PostgreSQLVersion = r.Ref(), r.Version() }},
	} {
		switch {
		case need.seen.local != nil:
			decided.build = append(decided.build, *need.seen.local)
		case need.seen.present:
		case need.seen.pull == unreachable && !hasVolumes && open && need.usual.standsInFor(need.seen.ref):
			decided.build = append(decided.build, need.usual)
			need.stand(&decided.stands, need.usual)
		default:
			decided.problems = append(decided.problems, refusal(need.seen, need.usual, hasVolumes))
		}
	}
	if len(decided.problems) > 0 {
		return decision{problems: decided.problems}
	}
	return decided
}

// refusal is what a person is told of an image that cannot be had.
func refusal(seen sight, usual Recipe, hasVolumes bool) problem.Problem {
	p := problem.Problem{ID: "image-missing", Where: progressID(seen.ref)}
	load := fmt.Sprintf("copy it from a machine that has it (`docker save %s`, then `docker load` here)", seen.ref)
	switch seen.pull {
	case unreachable:
		p.ID = "registry-unreachable"
		p.What = "it is not on this engine, and its registry cannot be reached: " + seen.reason
		switch {
		case hasVolumes:
			p.Fix = "This deployment has data, so no other image is put in its place: reach the registry again, or " + load + "."
		default:
			p.Fix = fmt.Sprintf("Reach the registry again, or %s. `inmanta-docker image build` makes %s without a registry: set it instead if it may take this one's place.", load, usual.Ref())
		}
	case denied:
		p.ID = "image-denied"
		p.What = "its registry does not give it to us, or does not have it: " + seen.reason
		p.Fix = "Check the name, and log in to the registry with `docker login`; or " + load + "."
	case notFound:
		p.ID = "image-not-found"
		p.What = "its registry has no such image: " + seen.reason
		p.Fix = "Check the name and the tag; or, if it was built by hand, " + load + "."
	case limited:
		p.ID = "registry-limited"
		p.What = "its registry has had too many pulls from here: " + seen.reason
		p.Fix = "Log in to it with `docker login`, or try again later; or " + load + "."
	case elsewhere:
		p.ID = "image-architecture"
		p.What = "its registry has it, but not for this engine's processor: " + seen.reason
		p.Fix = "Choose an image, or a tag of it, made for this machine."
	default:
		p.What = "it is not on this engine, and pulling it failed: " + seen.reason
		p.Fix = fmt.Sprintf("Mend that and try again; `docker pull %s` shows it in full; or %s.", seen.ref, load)
	}
	return p
}

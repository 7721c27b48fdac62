// Package plan says what `up` would do and why, without doing it: what the
// files want and what the engine has go in as plain data, and out comes a list
// of steps, each with its reasons down to the field and the setting.
//
// It agrees with what Compose does, which a test shows on a real engine: a
// container is made again when the hash of its service or its image is another,
// or when it lacks a network or a volume. Where Compose would leave a container
// that then does not do what the files say, the plan makes it again, and marks
// that step BeyondCompose.
//
// Not foreseen: what Compose's models, providers, use_api_socket and volumes of
// type image add to a service while it runs.
package plan

import "slices"

// Kind is what a step is about.
type Kind string

// The kinds of things a plan handles.
const (
	Image     Kind = "image"
	Network   Kind = "network"
	Volume    Kind = "volume"
	Container Kind = "container"
)

// Action is what happens to it.
type Action string

// What can happen to a thing.
const (
	// Pull fetches an image.
	Pull Action = "pull"
	// Build builds an image from its Dockerfile.
	Build Action = "build"
	// Create makes what is not there.
	Create Action = "create"
	// Recreate removes it and makes it again; a container's volumes stay.
	Recreate Action = "recreate"
	// Start starts a container that stands still.
	Start Action = "start"
	// Restart stops and starts the same container, for the sake of another, or
	// because it ended and the engine only waits to start it again.
	Restart Action = "restart"
	// Leave does nothing. Its reasons, if any, are differences that stay.
	Leave Action = "leave"
	// Remove stops and removes a container; or removes a network nobody is on.
	Remove Action = "remove"
)

// Plan is what `up` would do, in the order in which it would.
type Plan struct {
	// Project is the Compose project's name.
	Project string `json:"project"`
	// Nodes are the steps, what others need first.
	Nodes []Node `json:"nodes"`
}

// Node is one step: what happens to one thing.
type Node struct {
	Kind Kind `json:"kind"`
	// Name is the engine's name for it; the reference, for an image.
	Name string `json:"name"`
	// Key is its name in the compose files: the service, network or volume.
	Key string `json:"key"`
	// Action is what happens to it.
	Action Action `json:"action"`
	// Reasons say why; never nil.
	Reasons []Reason `json:"reasons"`
	// BeyondCompose is true where the stock tool would not do this by itself:
	// whoever carries the plan out has to ask for it.
	BeyondCompose bool `json:"beyond_compose"`
	// Routine is true where every `up` does this: a container that has done its
	// work is started to see whether there is more. It is no change by itself.
	Routine bool `json:"routine"`
}

// Reason is one difference between what the files say and what the engine has.
type Reason struct {
	// Path is the place in the composed deployment: "services.server.ports".
	Path string `json:"path"`
	// From is what the engine has, To what the files say; empty where one of
	// them has nothing, or where Text says it all. Secrets read "[hidden]".
	From string `json:"from"`
	To   string `json:"to"`
	// Text says in words what From and To do not.
	Text string `json:"text"`
	// Settings are the variables to look at: those that changed the value where
	// that can be told, else those the files mention there; never nil.
	Settings []string `json:"settings"`
}

// Exit codes of a dry run.
const (
	ExitNothing = 0
	ExitChanges = 2
)

// Empty says that there is nothing to do, not even routine.
func (p Plan) Empty() bool {
	return !slices.ContainsFunc(p.Nodes, func(n Node) bool { return n.Action != Leave })
}

// ExitCode is ExitChanges, or ExitNothing where nothing but routine is to be done.
func (p Plan) ExitCode() int {
	if slices.ContainsFunc(p.Nodes, func(n Node) bool { return n.Action != Leave && !n.Routine }) {
		return ExitChanges
	}
	return ExitNothing
}

// Drift are the steps that show a difference between what the engine has and
// what the files say. That a container merely stands still is none, and neither
// is a deployment of which nothing is there.
func Drift(p Plan) []Node {
	if !slices.ContainsFunc(p.Nodes, func(n Node) bool { return n.Kind == Container && n.Action != Create }) {
		return nil
	}
	var drift []Node
	for _, n := range p.Nodes {
		switch n.Action {
		case Create, Recreate, Remove:
			drift = append(drift, n)
		case Leave:
			if len(n.Reasons) > 0 {
				drift = append(drift, n)
			}
		}
	}
	return drift
}

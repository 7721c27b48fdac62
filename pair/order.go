package pair

import (
	"encoding/json"
	"fmt"

	"github.com/inmanta/inmanta-docker/problem"
)

// Switchover is the node that hands over, or why none does.
func (s Status) Switchover() (from, to Node, err error) {
	refuse := func(what, fix string) (Node, Node, error) {
		return Node{}, Node{}, problem.Problem{ID: "no-switchover", Where: "switchover", What: what, Fix: fix}
	}
	for _, n := range s.Nodes {
		if !n.Up() {
			return refuse(fmt.Sprintf("%s is %s, and a switchover takes both", n.Name, n.Doing()), s.Fix)
		}
	}
	if s.Primary == "" {
		return refuse(s.Verdict, s.Fix)
	}
	from, to = s.Node(s.Primary)
	if from.ContainerState == Elsewhere {
		return refuse(from.Name+" is the primary, and hands over on its own machine", "inmanta-docker db switchover there")
	}
	if !s.Durable {
		return refuse(s.Verdict+": the other one does not have all yet", s.Fix)
	}
	return from, to, nil
}

// Failover is the standby that takes over and the node that is gone, or why
// nothing is done. That the latter is really gone is not known here.
func (s Status) Failover() (to, gone Node, err error) {
	refuse := func(what, fix string) (Node, Node, error) {
		return Node{}, Node{}, problem.Problem{ID: "no-failover", Where: "failover", What: what, Fix: fix}
	}
	var standbys []Node
	for _, n := range s.Nodes {
		if n.Leads() {
			return refuse(n.Name+" is the primary, and runs", "have it hand over, which loses nothing: inmanta-docker db switchover")
		}
		if n.Up() && n.Role == Standby && n.Running {
			standbys = append(standbys, n)
		}
	}
	switch {
	case len(standbys) == 0:
		return refuse("there is no standby that runs: "+s.Verdict, s.Fix)
	case len(standbys) == 2 && standbys[0].InStep == standbys[1].InStep:
		return refuse("both are standbys, and nothing tells which of them has more", "look at both: inmanta-docker db status --json")
	case len(standbys) == 2 && standbys[1].InStep:
		to = standbys[1]
	default:
		to = standbys[0]
	}
	_, gone = s.Node(to.Name)
	switch Elsewhere {
	case to.ContainerState:
		return refuse(to.Name+" is the one to take over, on its own machine", "inmanta-docker db failover there")
	case gone.ContainerState:
		return refuse(fmt.Sprintf("%s is on another machine: whether it runs cannot be found out from here", gone.Name),
			fmt.Sprintf("make certain that it does not (switch that machine off), then: docker exec %s inmanta-sidecar postgres failover --primary-is-dead", to.Container))
	}
	return to, gone, nil
}

// Reinit is the node that is copied anew, or why it is not.
func (s Status) Reinit(name string) (Node, error) {
	refuse := func(what, fix string) (Node, error) {
		return Node{}, problem.Problem{ID: "no-reinit", Where: name, What: what, Fix: fix}
	}
	node, other := s.Node(name)
	switch {
	case node.Name == "":
		return refuse("there is no such database", fmt.Sprintf("they are %s and %s", s.Nodes[0].Name, s.Nodes[1].Name))
	case node.Leads():
		return refuse("it is the primary: the other one is copied from it", "to have it copied all the same, hand over first: inmanta-docker db switchover")
	case node.ContainerState == Elsewhere:
		return refuse("it is on another machine", "inmanta-docker db reinit there")
	case !node.Up():
		return refuse("it is "+node.Doing(), "start it: "+rejoin)
	case !other.Leads():
		return refuse(fmt.Sprintf("there is nothing to copy: %s is no running primary", other.Name), s.Fix)
	}
	return node, nil
}

// Inspection is what the volume of a node that is down says.
type Inspection struct {
	// Cluster is that it holds one, of this system and timeline.
	Cluster  bool   `json:"cluster"`
	System   string `json:"system"`
	Timeline uint32 `json:"timeline"`
	// End is the least that the cluster holds.
	End string `json:"end"`
	// Alone is that it was last started without its pair.
	Alone bool `json:"alone"`
}

// ReadInspection reads what the inspection of a volume prints.
func ReadInspection(text string) (i Inspection, err error) {
	if err := json.Unmarshal([]byte(text), &i); err != nil {
		return Inspection{}, fmt.Errorf("reading what the volume says: %w", err)
	}
	return i, nil
}

// Loss is what a failover to a standby gives up, with what the old primary's
// volume says, nil where there is none to look at. lossy is that it may give up
// something, and what says what.
func Loss(to, gone Node, found *Inspection) (what string, lossy bool, err error) {
	if found != nil && found.Cluster && found.System != to.System {
		return "", false, problem.Problem{
			ID: "foreign-cluster", Where: gone.Name,
			What: fmt.Sprintf("its volume holds another cluster (system %s) than %s does (%s): they are no pair", found.System, to.Name, to.System),
			Fix:  "find out which of both is the deployment's: nothing was changed",
		}
	}
	switch {
	case found != nil && found.Alone:
		what = fmt.Sprintf("%s was last run without its pair: whatever it acknowledged then is not on %s", gone.Name, to.Name)
	case !to.InStep:
		what = fmt.Sprintf("%s has no note that it has all that %s acknowledged: the last of it may be missing", to.Name, gone.Name)
	default:
		return "", false, nil
	}
	what += fmt.Sprintf(" (%s has timeline %d up to %s", to.Name, to.Timeline, to.Position)
	if found != nil && found.Cluster {
		what += fmt.Sprintf("; the volume of %s has timeline %d up to at least %s", gone.Name, found.Timeline, found.End)
	}
	return what + ")", true, nil
}

package postgres

import "fmt"

// situation is all that a node decides from before its server runs.
type situation struct {
	config Config
	// cluster is that there is one in its place, version whose PG_VERSION.
	cluster bool
	version string
	control controlData
	record  Record
	known   bool // there is a record
	// alone is that the cluster was last started by something else.
	alone bool
	// signal is that the cluster is marked as a standby's.
	signal bool
	// peer is nil while it does not answer, silence why it does not.
	peer    *Status
	silence string
	// room is what the volume has left, in bytes.
	room int64
}

// action is what to do next.
type action string

const (
	initialise   action = "initialise"
	startPrimary action = "start as primary"
	startStandby action = "start as standby"
	promote      action = "go on with a promotion"
	copyPeer     action = "copy the peer"
	wait         action = "wait"
	refuse       action = "refuse"
)

// decision is an action and its reason.
type decision struct {
	action action
	// why is a sentence, fix what somebody should do about it.
	why, fix string
}

// spare is what has to be left beside a copy, in bytes: the log goes on growing.
const spare = 256 << 20

// decide is what a node does at its start, and again while it waits, whenever
// its peer says something new.
func decide(s situation) decision {
	me, other := s.config.Node, s.config.Peer
	if s.known && s.record.Node != me {
		return decision{refuse, fmt.Sprintf("this is the volume of %s, and this node is %s", s.record.Node, me),
			"give this node its own volume"}
	}
	if s.peer != nil && s.peer.Node != other {
		return decision{refuse, fmt.Sprintf("what answers as %s calls itself %s", other, s.peer.Node),
			"set the peer's address to the other node, not to this one"}
	}
	if s.peer != nil && s.peer.Version != s.config.Major {
		return decision{refuse, fmt.Sprintf("%s runs PostgreSQL %s, this is %s", other, s.peer.Version, s.config.Major),
			"use one image for both"}
	}
	if !s.cluster {
		return s.decideEmpty()
	}
	if s.version != s.config.Major {
		return decision{refuse, fmt.Sprintf("the data was made by PostgreSQL %s, and this is %s", s.version, s.config.Major),
			"use an image of PostgreSQL " + s.version}
	}
	if s.role() == Primary {
		return s.decidePrimary()
	}
	return s.decideStandby()
}

// role is what the node is to be: a cluster without a record was a single
// database's, if it is on the first node.
func (s situation) role() Role {
	if s.known && s.record.Role != "" {
		return s.record.Role
	}
	if s.config.Node == FirstNode && !s.signal {
		return Primary
	}
	return Standby
}

func (s situation) decideEmpty() decision {
	me, other := s.config.Node, s.config.Peer
	switch {
	case s.peer == nil && me == FirstNode:
		return decision{wait, fmt.Sprintf("the volume is empty, and %s: a new cluster is only made when that one has none", s.silent()),
			"start " + other}
	case s.peer == nil:
		return decision{wait, "the volume is empty, and " + s.silent(), "start " + other}
	case s.peer.Empty && me == FirstNode:
		return decision{initialise, "both volumes are empty", ""}
	case s.peer.Empty:
		return decision{wait, other + " makes the cluster", ""}
	case s.peer.Role == "":
		return decision{wait, other + " does not say yet what it has", ""}
	case s.peer.Role == Primary && s.peer.Running:
		return s.copyOf("the volume is empty")
	case s.peer.Role == Primary:
		return decision{wait, other + " has the data and is not up yet", ""}
	default:
		return decision{refuse, fmt.Sprintf("the volume is empty, and %s has the data as a standby", other),
			fmt.Sprintf("make %s the primary (`inmanta-docker db failover`), or give this node its volume back", other)}
	}
}

func (s situation) decidePrimary() decision {
	other, peer := s.config.Peer, s.peer
	switch {
	case s.known && s.signal && s.record.Role == Primary:
		// The record came first, and the server was not told any more.
		return decision{promote, "a promotion was cut short", ""}
	case peer != nil && peer.Role == Primary && peer.System == s.control.System && peer.Timeline > s.control.Timeline:
		switch {
		case s.control.clean() && !parted(s.control.Timeline, s.control.end(), peer.Timeline, peer.History):
			return decision{startStandby, other + " has taken over all that is here", ""}
		case !peer.Running:
			return decision{wait, other + " has taken over and is not up yet", "start " + other}
		}
		return s.copyOf(other + " has taken over")
	case s.record.Handover && (peer == nil || peer.State == StatePromoting):
		return decision{wait, fmt.Sprintf("it has stopped for %s to take over, which does not say whether it has", other), "start " + other}
	case s.record.Fenced != "":
		return decision{refuse, "fenced: " + s.record.Fenced, "start " + other + ", which this node then follows"}
	case peer != nil && peer.Role == Primary && peer.System == s.control.System && peer.Timeline == s.control.Timeline:
		return decision{refuse, fmt.Sprintf("%s is primary of the same timeline", other),
			"decide which of both is to be kept, and copy it to the other: `inmanta-docker db reinit` on the other"}
	case peer != nil && peer.Role == Primary && peer.System != s.control.System && s.config.Node != FirstNode:
		return s.foreign()
	default:
		return decision{startPrimary, "", ""}
	}
}

func (s situation) decideStandby() decision {
	other, peer := s.config.Peer, s.peer
	switch {
	case s.record.Reinit && peer != nil && peer.Role == Primary && peer.Running:
		return s.copyOf("it was asked for")
	case peer == nil && !s.known:
		return decision{wait, "the volume holds a cluster of unknown origin, and " + s.silent(), "start " + other}
	case peer == nil:
		return decision{startStandby, s.silent(), ""}
	case peer.System != "" && peer.System != s.control.System:
		return s.foreign()
	case peer.Role == Primary && parted(s.control.Timeline, s.control.end(), peer.Timeline, peer.History):
		if !peer.Running {
			return decision{wait, other + " is not up yet", ""}
		}
		return s.copyOf(fmt.Sprintf("it holds what %s does not (timeline %d, up to %s)", other, s.control.Timeline, s.control.end()))
	case !s.known && !s.signal:
		return decision{refuse, fmt.Sprintf("the volume holds a primary's cluster, of the same system as %s", other),
			fmt.Sprintf("empty the volume of %s: it is then copied from %s", s.config.Node, other)}
	default:
		return decision{startStandby, "", ""}
	}
}

// silent says that the peer does not answer, and why.
func (s situation) silent() string {
	if s.silence == "" {
		return s.config.Peer + " does not answer"
	}
	return fmt.Sprintf("%s does not answer (%s)", s.config.Peer, s.silence)
}

// copyOf copies the peer if there is room for it beside what is here.
func (s situation) copyOf(why string) decision {
	if s.room < s.peer.SizeBytes+spare {
		return decision{refuse, fmt.Sprintf("%s, and there is no room for a copy of %s: it takes %d MiB, and %d are left",
			why, s.config.Peer, (s.peer.SizeBytes+spare)>>20, s.room>>20), "make room in the volume of " + s.config.Node}
	}
	return decision{copyPeer, why, ""}
}

func (s situation) foreign() decision {
	return decision{refuse, fmt.Sprintf("the volume holds another cluster (system %s) than %s does (%s)", s.control.System, s.config.Peer, s.peer.System),
		fmt.Sprintf("if this one is not needed, empty the volume of %s; else give it its own", s.config.Node)}
}

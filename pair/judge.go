package pair

import (
	"fmt"
	"strings"
)

// Status is the pair.
type Status struct {
	// Durable is that every commit is stored by both before it is acknowledged.
	Durable bool `json:"durable"`
	// Verdict is a sentence on that, and Fix what to do; empty where nothing is.
	Verdict string `json:"verdict"`
	Fix     string `json:"fix,omitempty"`
	// Primary is the node that takes writes; empty while none does.
	Primary string `json:"primary,omitempty"`
	// Nodes are both, the first one first.
	Nodes []Node `json:"nodes"`
}

// Node is one of them, and Other the other one.
func (s Status) Node(name string) (node, other Node) {
	for _, n := range s.Nodes {
		if n.Name == name {
			node = n
		} else {
			other = n
		}
	}
	return node, other
}

// Acknowledges is that the primary acknowledges what is written: once both have it
// or, where that is so, alone.
func (s Status) Acknowledges() bool {
	p, _ := s.Node(s.Primary)
	return s.Primary != "" && p.State == Serving && (s.Durable || p.Degraded || !p.Strict)
}

// Commands that fixes name.
const (
	rejoin   = "inmanta-docker db rejoin"
	failover = "inmanta-docker db failover"
)

// Judge says what two nodes are together.
func Judge(nodes []Node) Status {
	s := Status{Nodes: nodes}
	var leading []Node
	up := 0
	for _, n := range nodes {
		if n.Leads() {
			leading = append(leading, n)
		}
		if n.Up() {
			up++
		}
	}
	switch {
	case up == 0:
		s.Verdict, s.Fix = "both databases are down", "start them: inmanta-docker up"
	case len(leading) == 0:
		s.Verdict, s.Fix = headless(nodes)
	case len(leading) > 1 && leading[0].Timeline == leading[1].Timeline:
		s.Verdict = fmt.Sprintf("NOT DURABLE: both call themselves the primary, of timeline %d", leading[0].Timeline)
		s.Fix = "decide which of both is to be kept, and have the other one copied from it: docker stop the other, then inmanta-docker db rejoin"
	case len(leading) > 1:
		newer, older := leading[0], leading[1]
		if older.Timeline > newer.Timeline {
			newer, older = older, newer
		}
		s.Primary = newer.Name
		s.Verdict = fmt.Sprintf("commits wait: %s has taken over from %s, which gives way", newer.Name, older.Name)
	default:
		p := leading[0]
		_, other := s.Node(p.Name)
		s.Primary, s.Durable = p.Name, stored(p, other)
		s.Verdict, s.Fix = led(p, other)
	}
	if !s.Durable && s.Fix == "" {
		s.Fix = "wait, then look again: inmanta-docker db status"
	}
	return s
}

// stored is that every commit is stored by both. A primary takes a moment to see
// that the other one is gone; the engine has seen it already.
func stored(p, other Node) bool {
	return p.Durable && p.State == Serving && (other.Up() || other.ContainerState == "running" || other.ContainerState == Elsewhere)
}

// led is the verdict on a pair with one primary.
func led(p, other Node) (verdict, fix string) {
	away := other.Name + " is " + other.Doing()
	switch {
	case other.ContainerState == Elsewhere && !other.Up():
		fix = StartElsewhere(other.Name)
	case !other.Up():
		fix = "start " + other.Name + ": " + rejoin
	case other.State == Refusing:
		fix = other.Fix
	case other.State == Following:
		away = other.Name + " catches up"
		if r := p.Replication; r != nil && r.LagBytes > 0 {
			away += fmt.Sprintf(" (%d MiB behind)", r.LagBytes>>20)
		}
		fix = "wait for it: " + rejoin
	default:
		fix = "wait for it: " + rejoin
	}
	switch {
	case stored(p, other):
		return "durable: every commit is stored by both", ""
	case strings.HasPrefix(p.Why, "NOT DURABLE: "):
		return p.Why, p.Fix
	case p.Degraded:
		return fmt.Sprintf("DEGRADED: commits are stored by %s alone, and are lost with it: %s", p.Name, away), fix
	case !p.Strict:
		return fmt.Sprintf("NOT DURABLE YET: commits are stored by %s alone: %s", p.Name, away), fix
	}
	return "commits wait: " + away, fix
}

// headless is the verdict on a pair of which one runs, and none leads.
func headless(nodes []Node) (verdict, fix string) {
	var standbys, down []Node
	for _, n := range nodes {
		switch {
		case !n.Up():
			down = append(down, n)
		case n.Role == Standby && n.Running:
			standbys = append(standbys, n)
		default:
			// It may become the primary, or has a reason not to.
			verdict = fmt.Sprintf("NO PRIMARY: nothing can be written: %s is %s", n.Name, n.Doing())
			if n.Why != "" && n.State != Refusing {
				verdict += ": " + n.Why
			}
			fix = n.Fix
		}
	}
	switch {
	case verdict != "" && len(down) > 0 && down[0].ContainerState == Elsewhere:
		return verdict, StartElsewhere(down[0].Name)
	case verdict != "" && len(down) > 0:
		return verdict, "start " + down[0].Name + ": " + rejoin
	case verdict != "":
		return verdict, fix
	case len(down) > 0 && down[0].ContainerState == Elsewhere:
		return fmt.Sprintf("NO PRIMARY in sight: nothing can be written from here: %s is %s, and %s only follows", down[0].Name, down[0].Doing(), standbys[0].Name),
			StartElsewhere(down[0].Name) + "; only if it is gone for good: " + failover
	case len(down) > 0:
		return fmt.Sprintf("NO PRIMARY: nothing can be written: %s is %s, and %s only follows", down[0].Name, down[0].Doing(), standbys[0].Name),
			fmt.Sprintf("start %s again: %s; only if it is gone for good: %s", down[0].Name, rejoin, failover)
	}
	return "NO PRIMARY: nothing can be written: both only follow", "make the one that is in step the primary: " + failover
}

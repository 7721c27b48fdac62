// Package history judges what clients of a database were told, against what the
// database holds in the end: which acknowledged writes are lost, what is there
// that nobody wrote, whether a register and a list were read as if there had been
// one of each, and whether two servers acknowledged writes side by side.
//
// A client writes down the start and the end of all it does, in a place that is
// not the database. What it was told to have worked is OK; what the server
// refused is Failed; all else is Unknown: a broken connection, a deadline, a
// cancelled commit, a success with a warning. What is unknown may have
// happened, and may not have; it may even happen after its end.
package history

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// Kind is what an operation does.
type Kind string

// The kinds of operations. Values are unique: no two operations of a history
// write, append or insert the same.
const (
	Insert Kind = "insert" // Value into a set
	Append Kind = "append" // Value to the end of a list
	List   Kind = "list"   // reads the list: Values
	Write  Kind = "write"  // Value into a register
	Read   Kind = "read"   // reads the register: Value, or "" as long as nobody has written
)

// Outcome is how an operation ended, as far as its client knows.
type Outcome string

// The outcomes.
const (
	OK      Outcome = "ok"
	Failed  Outcome = "failed"
	Unknown Outcome = "unknown"
)

// Operation is one thing that one client did.
type Operation struct {
	Client int
	Kind   Kind
	// Key is which register; there is one set and one list.
	Key   string
	Value string
	// Values is the list as a List read it.
	Values []string
	// Start and End are since some moment that all clients share.
	Start, End time.Duration
	Outcome    Outcome
	// Server acknowledged it, as the primary of Term: a number that grows with
	// each new primary.
	Server string
	Term   int
}

// String is for people.
func (o Operation) String() string {
	return fmt.Sprintf("client %d, %s…%s: %s %s%s of %s, term %d: %s", o.Client, o.Start, o.End, o.Kind, o.Key, o.Value, o.Server, o.Term, o.Outcome)
}

// writes says whether the operation changes something.
func (o Operation) writes() bool { return o.Kind == Insert || o.Kind == Append || o.Kind == Write }

// Final is what is there in the end.
type Final struct {
	Set       []string
	List      []string
	Registers map[string]string
}

// Verdict is the sum of a history, and what is wrong with it.
type Verdict struct {
	// Acknowledged, Failed and Unknown count the operations that write.
	Acknowledged, Failed, Unknown int
	// Reads counts the reads that were answered.
	Reads int
	// Terms is how many primaries acknowledged something.
	Terms int
	// Lost are acknowledged and not there.
	Lost []string
	// Unexpected are there, or were read, and nobody wrote them, or they were
	// refused, or they are there twice.
	Unexpected []string
	// Doubled says which servers acknowledged side by side.
	Doubled []string
	// Disordered says what was read that one list and one register per key,
	// changed at one moment each, could not have shown.
	Disordered []string
}

// Good says whether nothing is wrong.
func (v Verdict) Good() bool {
	return len(v.Lost)+len(v.Unexpected)+len(v.Doubled)+len(v.Disordered) == 0
}

// String is the sums, then whatever is wrong, a line each.
func (v Verdict) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d writes acknowledged, %d unknown, %d refused, %d reads, %d terms; %d lost, %d unexpected, %d doubled primaries, %d reads out of order",
		v.Acknowledged, v.Unknown, v.Failed, v.Reads, v.Terms, len(v.Lost), len(v.Unexpected), len(v.Doubled), len(v.Disordered))
	for _, part := range []struct {
		word  string
		lines []string
	}{{"lost", v.Lost}, {"unexpected", v.Unexpected}, {"doubled", v.Doubled}, {"disordered", v.Disordered}} {
		for i, line := range part.lines {
			if i == 20 {
				fmt.Fprintf(&b, "\n%s: and %d more", part.word, len(part.lines)-i)
				break
			}
			fmt.Fprintf(&b, "\n%s: %s", part.word, line)
		}
	}
	return b.String()
}

// Judge compares a history with what is there in the end.
func Judge(all []Operation, final Final) Verdict {
	var v Verdict
	terms := map[int]bool{}
	for _, o := range all {
		switch {
		case !o.writes() && o.Outcome == OK:
			v.Reads++
		case !o.writes():
		case o.Outcome == OK:
			v.Acknowledged++
			terms[o.Term] = true
		case o.Outcome == Failed:
			v.Failed++
		default:
			v.Unknown++
		}
	}
	v.Terms = len(terms)
	v.survivors("the set", of(all, Insert), final.Set)
	v.survivors("the list", of(all, Append), final.List)
	v.Doubled = doubled(all)
	v.list(all, final.List)
	v.registers(all, final.Registers)
	return v
}

func of(all []Operation, kind Kind) (found []Operation) {
	for _, o := range all {
		if o.Kind == kind {
			found = append(found, o)
		}
	}
	return found
}

// survivors compares what was written with what is there.
func (v *Verdict) survivors(where string, writes []Operation, there []string) {
	count := map[string]int{}
	for _, value := range there {
		if count[value]++; count[value] == 2 {
			v.Unexpected = append(v.Unexpected, fmt.Sprintf("%s is in %s twice", value, where))
		}
	}
	written := map[string]Operation{}
	for _, o := range writes {
		written[o.Value] = o
		if o.Outcome == OK && count[o.Value] == 0 {
			v.Lost = append(v.Lost, fmt.Sprintf("%s is not in %s: %s", o.Value, where, o))
		}
	}
	for _, value := range slices.Compact(slices.Sorted(slices.Values(there))) {
		if o, ok := written[value]; !ok {
			v.Unexpected = append(v.Unexpected, fmt.Sprintf("%s is in %s, and nobody wrote it", value, where))
		} else if o.Outcome == Failed {
			v.Unexpected = append(v.Unexpected, fmt.Sprintf("%s is in %s, and was refused: %s", value, where, o))
		}
	}
}

// doubled finds two servers in one term, and a term that acknowledges what was
// begun after a later one had acknowledged something.
func doubled(all []Operation) (found []string) {
	servers := map[int]string{}
	first := map[int]time.Duration{} // when a term was first seen to acknowledge
	for _, o := range all {
		if !o.writes() || o.Outcome != OK {
			continue
		}
		if other, ok := servers[o.Term]; !ok {
			servers[o.Term] = o.Server
		} else if other != o.Server {
			found = append(found, fmt.Sprintf("%s, and %s acknowledges in this term as well", o, other))
		}
		if end, ok := first[o.Term]; !ok || o.End < end {
			first[o.Term] = o.End
		}
	}
	for _, o := range all {
		if !o.writes() || o.Outcome != OK {
			continue
		}
		for term, end := range first {
			if term > o.Term && end < o.Start {
				found = append(found, fmt.Sprintf("%s, and %s has acknowledged since %s, in term %d", o, servers[term], end, term))
			}
		}
	}
	slices.Sort(found)
	return found
}

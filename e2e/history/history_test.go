package history

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

// op is an acknowledged operation of the first primary.
func op(kind Kind, value string, start, end int) Operation {
	return Operation{Kind: kind, Value: value, Start: time.Duration(start), End: time.Duration(end), Outcome: OK, Server: "db", Term: 1}
}

func (o Operation) ended(how Outcome) Operation { o.Outcome = how; return o }

func (o Operation) by(server string, term int) Operation {
	o.Server, o.Term = server, term
	return o
}

func (o Operation) saw(values ...string) Operation { o.Values = values; return o }

func TestJudge(t *testing.T) {
	register := func(value string) Final { return Final{Registers: map[string]string{"": value}} }
	cases := []struct {
		name    string
		history []Operation
		final   Final
		// wrong are words of what is wrong, in the order of Verdict's fields; none for nothing.
		wrong []string
	}{
		{name: "nothing"},
		{
			name:    "all is there",
			history: []Operation{op(Insert, "a", 1, 2), op(Insert, "b", 3, 4).by("db-replica", 2)},
			final:   Final{Set: []string{"b", "a"}},
		},
		{
			name:    "an acknowledged write is lost",
			history: []Operation{op(Insert, "a", 1, 2), op(Insert, "b", 3, 4)},
			final:   Final{Set: []string{"a"}},
			wrong:   []string{"lost: b is not in the set"},
		},
		{
			name:    "what is unknown may be there or not",
			history: []Operation{op(Insert, "a", 1, 2).ended(Unknown), op(Insert, "b", 3, 4).ended(Unknown)},
			final:   Final{Set: []string{"a"}},
		},
		{
			name:    "what was refused is there",
			history: []Operation{op(Insert, "a", 1, 2).ended(Failed)},
			final:   Final{Set: []string{"a"}},
			wrong:   []string{"unexpected: a is in the set, and was refused"},
		},
		{
			name:  "nobody wrote it",
			final: Final{Set: []string{"a", "a"}},
			wrong: []string{"unexpected: a is in the set twice", "unexpected: a is in the set, and nobody wrote it"},
		},
		{
			name:    "two primaries of one term",
			history: []Operation{op(Insert, "a", 1, 2), op(Insert, "b", 3, 4).by("db-replica", 1)},
			final:   Final{Set: []string{"a", "b"}},
			wrong:   []string{"doubled: client 0, 3ns…4ns: insert b"},
		},
		{
			name:    "the old primary goes on",
			history: []Operation{op(Insert, "a", 1, 2), op(Insert, "b", 3, 4).by("db-replica", 2), op(Insert, "c", 5, 6)},
			final:   Final{Set: []string{"a", "b", "c"}},
			wrong:   []string{"db-replica has acknowledged since 4ns, in term 2"},
		},
		{
			name:    "the answer of the old primary is under way while the new one serves",
			history: []Operation{op(Insert, "a", 1, 9), op(Insert, "b", 3, 4).by("db-replica", 2)},
			final:   Final{Set: []string{"a", "b"}},
		},
		{
			name: "a list grows",
			history: []Operation{
				op(Append, "a", 1, 2), op(List, "", 3, 4).saw("a"), op(Append, "b", 3, 5), op(List, "", 3, 9).saw("a", "b"), op(List, "", 6, 7).saw("a", "b"),
			},
			final: Final{List: []string{"a", "b"}},
		},
		{
			name:    "what was read is gone from the list",
			history: []Operation{op(Append, "a", 1, 2).ended(Unknown), op(List, "", 3, 4).saw("a")},
			wrong:   []string{"disordered: a read of 1 values that are not the beginning"},
		},
		{
			name:    "a list is read as it was before",
			history: []Operation{op(Append, "a", 1, 2), op(List, "", 3, 4)},
			final:   Final{List: []string{"a"}},
			wrong:   []string{"disordered: a was acknowledged before the read began"},
		},
		{
			name: "a list shrinks between two reads",
			history: []Operation{
				op(Append, "a", 1, 9), op(List, "", 2, 3).saw("a"), op(List, "", 4, 5),
			},
			final: Final{List: []string{"a"}},
			wrong: []string{"disordered: a read of 0 values after one of 1"},
		},
		{
			name:    "a list has the later first",
			history: []Operation{op(Append, "a", 1, 2), op(Append, "b", 3, 4)},
			final:   Final{List: []string{"b", "a"}},
			wrong:   []string{"disordered: a stands behind b"},
		},
		{
			name:    "a list is read ahead of time",
			history: []Operation{op(List, "", 1, 2).saw("a"), op(Append, "a", 3, 4)},
			final:   Final{List: []string{"a"}},
			wrong:   []string{"disordered: a was read before it was begun"},
		},
		{
			name:    "a register is read as it is",
			history: []Operation{op(Read, "", 1, 2), op(Write, "a", 3, 6), op(Read, "a", 4, 5), op(Read, "a", 7, 8)},
			final:   register("a"),
		},
		{
			name:    "an acknowledged write of a register is lost",
			history: []Operation{op(Write, "a", 1, 2), op(Write, "b", 3, 4)},
			final:   register("a"),
			wrong:   []string{`disordered: register  held "a"`},
		},
		{
			name:    "a register goes back between two reads",
			history: []Operation{op(Write, "a", 1, 2), op(Write, "b", 3, 9), op(Read, "b", 4, 5), op(Read, "a", 6, 7)},
			final:   register("b"),
			wrong:   []string{`disordered: register  held`},
		},
		{
			name:    "a register shows what is unknown, late",
			history: []Operation{op(Write, "a", 1, 2).ended(Unknown), op(Write, "b", 3, 4), op(Read, "a", 5, 6)},
			final:   register("a"),
		},
		{
			name:    "a register shows what is unknown and then what was before it",
			history: []Operation{op(Write, "a", 1, 2), op(Write, "b", 3, 4).ended(Unknown), op(Read, "b", 5, 6), op(Read, "a", 7, 8)},
			final:   register("a"),
			wrong:   []string{`disordered: register  held "a" from 2ns`},
		},
		{
			name:    "a register shows what nobody wrote, what was refused, and what comes later",
			history: []Operation{op(Read, "x", 1, 2), op(Write, "a", 3, 4).ended(Failed), op(Read, "a", 5, 6), op(Read, "b", 7, 8), op(Write, "b", 9, 10)},
			final:   register("b"),
			wrong:   []string{"unexpected: register  shows x, which nobody wrote", "unexpected: register  shows a, which was refused", "disordered: register  showed b before it was written"},
		},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			v := Judge(c.history, c.final)
			lines := strings.Split(v.String(), "\n")[1:]
			if len(lines) != len(c.wrong) || v.Good() != (len(c.wrong) == 0) {
				t.Fatalf("want %d things wrong: %s", len(c.wrong), v)
			}
			for i, words := range c.wrong {
				if !strings.Contains(lines[i], words) {
					t.Errorf("%q does not say %q", lines[i], words)
				}
			}
		})
	}
}

func TestVerdictSums(t *testing.T) {
	t.Parallel()
	v := Judge([]Operation{
		op(Insert, "a", 1, 2), op(Insert, "b", 3, 4).ended(Unknown), op(Insert, "c", 3, 4).ended(Failed), op(Append, "d", 5, 6).by("db-replica", 2),
		op(List, "", 7, 8).saw("d"), op(Read, "", 7, 8),
	}, Final{Set: []string{"a"}, List: []string{"d"}})
	const want = "2 writes acknowledged, 1 unknown, 1 refused, 2 reads, 2 terms; 0 lost, 0 unexpected, 0 doubled primaries, 0 reads out of order"
	if v.String() != want || !v.Good() {
		t.Errorf("it says %q, want %q", v, want)
	}
}

// possible searches, in all orders, for one in which a register with these
// operations could have been: slow, and plainly right.
func possible(value string, left []Operation) bool {
	if !slices.ContainsFunc(left, func(o Operation) bool { return o.Outcome == OK }) {
		return true
	}
	soonest := forever
	for _, o := range left {
		if o.Outcome == OK {
			soonest = min(soonest, o.End)
		}
	}
	for i, o := range left {
		if o.Start > soonest {
			continue // another was over before this one began
		}
		rest := slices.Concat(left[:i], left[i+1:])
		if o.Kind == Write && possible(o.Value, rest) || o.Kind == Read && o.Value == value && possible(value, rest) {
			return true
		}
	}
	return false
}

// FuzzRegister compares with all orders there are.
func FuzzRegister(f *testing.F) {
	f.Add([]byte{0, 2, 1, 4, 8, 1, 1, 1, 1, 12, 2, 0})
	f.Add([]byte{0, 1, 0, 2, 1, 0, 3, 1, 1, 4, 1, 129})
	f.Fuzz(func(t *testing.T, program []byte) {
		var all []Operation
		for i := 0; i+2 < len(program) && len(all) < 7; i += 3 {
			// Starts and ends are all different: which of two at one moment is first is a matter of taste.
			start := int(program[i]%16)*100 + 2*len(all)
			end := start + int(program[i+1]%8)*100 + 51
			o := op(Write, fmt.Sprint(len(all)), start, end)
			if program[i+2]%2 == 1 {
				o = op(Read, "", start, end)
				if n := int(program[i+2] / 2 % 8); n < 7 {
					o.Value = fmt.Sprint(n)
				}
			} else if program[i+2]%8 == 4 {
				o.Outcome = Unknown
			}
			all = append(all, o)
		}
		for _, o := range all {
			written := slices.ContainsFunc(all, func(w Operation) bool { return w.Kind == Write && w.Value == o.Value })
			if o.Kind == Read && o.Value != "" && !written {
				return // which is said otherwise
			}
		}
		if got, want := Judge(all, Final{}).Good(), possible("", all); got != want {
			t.Errorf("good is %t, and that there is an order of them is %t: %v\n%s", got, want, all, Judge(all, Final{}))
		}
	})
}

// FuzzOne has one of each, which nothing can be wrong with; then one
// acknowledged write is taken away, and one is acknowledged by another server
// in the same term: both are found.
func FuzzOne(f *testing.F) {
	f.Add([]byte{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14})
	f.Add([]byte{2, 7, 13, 1, 1, 40, 3, 4, 9, 200})
	f.Fuzz(func(t *testing.T, program []byte) {
		var all []Operation
		final := Final{Registers: map[string]string{"": ""}}
		for i, b := range program[:min(64, len(program))] {
			// Each happens at its own moment, and takes time before and after.
			at := i * 10
			o := op([]Kind{Insert, Append, List, Write, Read}[b%5], fmt.Sprint(i), at-int(b)%29, at+int(b)%37)
			if b%7 == 6 && o.writes() {
				o.Outcome = Unknown
			}
			switch happens := b%3 > 0 || o.Outcome == OK; {
			case o.Kind == Insert && happens:
				final.Set = append(final.Set, o.Value)
			case o.Kind == Append && happens:
				final.List = append(final.List, o.Value)
			case o.Kind == Write && happens:
				final.Registers[""] = o.Value
			case o.Kind == List:
				o.Value, o.Values = "", slices.Clone(final.List)
			case o.Kind == Read:
				o.Value = final.Registers[""]
			}
			all = append(all, o)
		}
		if v := Judge(all, final); !v.Good() {
			t.Fatalf("nothing is wrong with %v: %s", all, v)
		}
		for i, o := range all {
			if o.Outcome != OK || o.Kind != Insert && o.Kind != Append {
				continue
			}
			less := Final{Registers: final.Registers}
			not := func(value string) bool { return value == o.Value }
			less.Set, less.List = slices.DeleteFunc(slices.Clone(final.Set), not), slices.DeleteFunc(slices.Clone(final.List), not)
			if v := Judge(all, less); len(v.Lost) != 1 {
				t.Errorf("%s is lost, and it says %s", o, v)
			}
			twice := slices.Clone(all)
			twice[i].Server = "db-replica"
			if v := Judge(twice, final); v.Acknowledged > 1 && len(v.Doubled) == 0 {
				t.Errorf("%s is of another server, and it says %s", o, v)
			}
		}
	})
}

package dumps

import (
	"strings"
	"testing"
	"time"
)

func TestNames(t *testing.T) {
	begun := time.Date(2026, 11, 27, 1, 2, 3, 999, time.FixedZone("", 3600))
	name := Name("lab-2", begun)
	if name != "lab-2-20261127T000203Z.dump" {
		t.Fatalf("it is called %s", name)
	}
	for file, want := range map[string]Kind{
		name:                    Complete,
		Checksum(name):          Sum,
		Partial(name):           Unfinished,
		Partial(Checksum(name)): Unfinished,

		"lab-20261127T000203Z.dump":                 Others, // another deployment's
		"lab-2-3-20261127T000203Z.dump":             Others,
		"lab-2-20261127T000203Z.dump.gz":            Others,
		"lab-2-20261127T000203Z.dump.partial":       Others,
		".lab-2-20261127T000203Z.dump":              Others,
		"lab-2-20261127T000203.5Z.dump":             Others,
		"lab-2-20261327T000203Z.dump":               Others,
		"lab-2-before-upgrade.dump":                 Others,
		"lab-2-20261127T000203Z":                    Others,
		"lab-2-20261127T000203Z.dump.sha256.sha256": Others,
		"": Others,
	} {
		kind, of, at := Parse("lab-2", file)
		if kind != want || kind != Others && (of != name || !at.Equal(begun.Truncate(time.Second))) {
			t.Errorf("%q is %d of %q at %s, want %d", file, kind, of, at, want)
		}
	}
}

func TestSums(t *testing.T) {
	sum := strings.Repeat("0a", 32)
	for content, ok := range map[string]bool{
		SumLine("x.dump", sum):              true,
		sum + " *x.dump":                    true, // as sha256sum --binary has it
		sum + "  y.dump\n":                  false,
		sum + "  x.dump\n" + sum:            false,
		sum[1:] + "  x.dump\n":              false,
		strings.ToUpper(sum) + "  x.dump\n": false,
		"":                                  false,
	} {
		if got, is := ParseSum("x.dump", content); is != ok || ok && got != sum {
			t.Errorf("%q: %q, %t", content, got, is)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, file := range []string{"inmanta-20261127T000203Z.dump", ".inmanta-20261127T000203Z.dump.sha256.partial", "inmanta-20261127T000203Z.dump.sha256", "inmanta-00000000T000000Z.dump", "inmanta-99991231T235960Z.dump"} {
		f.Add("inmanta", file)
	}
	f.Add("a-b", "a-b-20261127T000203Z.dump")
	f.Add("", "-20261127T000203Z.dump")
	f.Fuzz(func(t *testing.T, deployment, file string) {
		kind, name, begun := Parse(deployment, file)
		var want []string
		switch kind {
		case Others:
			return
		case Complete:
			want = []string{name}
		case Sum:
			want = []string{Checksum(name)}
		case Unfinished:
			want = []string{Partial(name), Partial(Checksum(name))}
		}
		// What was read is what would be written, and nothing else is taken for it.
		if name != Name(deployment, begun) || file != want[0] && file != want[len(want)-1] {
			t.Errorf("%q is %d of %q at %s", file, kind, name, begun)
		}
	})
}

func FuzzParseSum(f *testing.F) {
	f.Add("x.dump", SumLine("x.dump", strings.Repeat("0", 64)))
	f.Add("x.dump", strings.Repeat("f", 64)+" *x.dump")
	f.Add("a\nb", strings.Repeat("f", 64)+"  a\nb\n")
	f.Fuzz(func(t *testing.T, name, content string) {
		sum, ok := ParseSum(name, content)
		if ok && (len(sum) != 64 || !strings.HasPrefix(content, sum) || !strings.Contains(content, name)) {
			t.Errorf("%q of %q is %q", content, name, sum)
		}
	})
}

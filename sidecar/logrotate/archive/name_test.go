package archive

import (
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"
)

var moment = time.Date(2026, 11, 27, 6, 24, 12, 0, time.UTC)

const agentLog = "agent-719c7ad5-6657-444b-b536-a27174cb7498.log"

func TestNamesAreReadInOneWay(t *testing.T) {
	today := time.Date(2026, 11, 27, 0, 0, 0, 0, time.UTC)
	thisHour := today.Add(6 * time.Hour)
	for base, want := range map[string]Name{
		"server.log-20261127T062412Z":         {Log: "server.log", Time: moment},
		"server.log-20261127T062412Z.gz":      {Log: "server.log", Time: moment, Format: Gzip},
		"server.log-20261127T062412Z-1.zst":   {Log: "server.log", Time: moment, Part: 1, Format: Zstd},
		agentLog + "-20261127T062412Z-12":     {Log: agentLog, Time: moment, Part: 12},
		"a-b-1-20261127T062412Z":              {Log: "a-b-1", Time: moment},
		"server.log.gz-20261127T062412Z.gz":   {Log: "server.log.gz", Time: moment, Format: Gzip},
		"Z-20261127T062412Z":                  {Log: "Z", Time: moment},
		"server.log.1":                        {Log: "server.log", Kind: Numbered, Number: 1},
		"server.log.0":                        {Log: "server.log", Kind: Numbered},
		"server.log.10.gz":                    {Log: "server.log", Kind: Numbered, Number: 10, Format: Gzip},
		"server.log.2.xz":                     {Log: "server.log", Kind: Numbered, Number: 2, Format: XZ},
		agentLog + ".3.bz2":                   {Log: agentLog, Kind: Numbered, Number: 3, Format: Bzip2},
		"server.log-20261127":                 {Log: "server.log", Kind: Daily, Time: today},
		"server.log-20261127.zst":             {Log: "server.log", Kind: Daily, Time: today, Format: Zstd},
		"server.log-2026112706.gz":            {Log: "server.log", Kind: Hourly, Time: thisHour, Format: Gzip},
		"Z-20261127":                          {Log: "Z", Kind: Daily, Time: today},
		"server.log-20240229T235959Z":         {Log: "server.log", Time: time.Date(2024, 2, 29, 23, 59, 59, 0, time.UTC)},
		strings.Repeat("x", 200) + ".1":       {Log: strings.Repeat("x", 200), Kind: Numbered, Number: 1},
		"server.log-20261127T062412Z-2026112": {Log: "server.log", Time: moment, Part: 2026112},
	} {
		name, is := Parse(base)
		if !is || name != want {
			t.Errorf("%s is read as %+v, %t, want %+v", base, name, is, want)
		}
		if again := name.String(); again != base {
			t.Errorf("%s is written as %s", base, again)
		}
	}
}

func TestNamesThatAreNoArchives(t *testing.T) {
	for _, base := range []string{
		"", "server.log", agentLog, "agent-719c7ad5.err", "server.log.gz", ".gz",
		"-20261127T062412Z", "-20261127", ".1", ".server.log-20261127T062412Z",
		"server.log-20261127T062412", "server.log-20261127t062412z", "server.log.20261127T062412Z",
		"server.log-20261327T062412Z", "server.log-20260229T062412Z", "server.log-20261127T246060Z",
		"server.log-20261127T062412.5Z", "server.log-+0261127T062412Z",
		"server.log-20261127T062412Z-0", "server.log-20261127T062412Z-01", "server.log-20261127T062412Z-",
		"server.log-20261127T062412Z--1", "server.log-20261127T062412Z-+1", "server.log-20261127T062412Z-1234567890",
		"server.log-20261127T062412Z.xz", "server.log-20261127T062412Z.bz2", "server.log-20261127T062412Z.GZ",
		"server.log.01", "server.log.-1", "server.log.+1", "server.log.1234567890", "server.log.1.gz.gz",
		"server.log-20261301", "server.log-2026112724", "server.log-202611270", "server.log-20261127.log",
		// Archives of archives.
		"server.log-20261127T062412Z-20261128T062412Z", "server.log-20261127T062412Z.1",
		"server.log.1.2", "server.log-20261127.1", "server.log.1-20261127T062412Z", "server.log.1.gz-20261127",
		"a/server.log.1", "a\x00b.1", "..1", "../server.log.1", strings.Repeat("x", 201) + ".1",
	} {
		if name, is := Parse(base); is {
			t.Errorf("%q is read as %+v", base, name)
		}
	}
}

func TestLogsThatCannotBe(t *testing.T) {
	for _, log := range []string{
		"", ".", "..", ".hidden.log", "a/b.log", "/a", "a\x00", "a\xff.log", "a\n.log", "a\x1b[2J.log", strings.Repeat("x", 201),
		"server.log.1", "server.log-20261127", "server.log-20261127T062412Z.gz", "server.log-20261127T062412Z.xz",
	} {
		if CheckLog(log) == nil {
			t.Errorf("%q can be a log", log)
		}
		if name, err := New(log, moment, 0, Gzip); err == nil {
			t.Errorf("%q has the archive %s", log, name)
		}
	}
	for _, log := range []string{"server.log", agentLog, "a..b", "-", "x-2026", "x.log.gz", "x.1a", "ü .log", strings.Repeat("x", 200)} {
		if err := CheckLog(log); err != nil {
			t.Error(err)
		}
	}
}

func TestNew(t *testing.T) {
	elsewhere := time.FixedZone("", 5*3600)
	name, err := New("server.log", moment.In(elsewhere).Add(999*time.Millisecond), 3, Zstd)
	if err != nil || name.String() != "server.log-20261127T062412Z-3.zst" {
		t.Errorf("%s, %v", name, err)
	}
	for _, refused := range []struct {
		at     time.Time
		part   int
		format Format
	}{
		{moment.AddDate(8000, 0, 0), 0, Gzip},
		{moment.AddDate(-2100, 0, 0), 0, Gzip},
		{moment, -1, Gzip},
		{moment, highestPart + 1, Gzip},
		{moment, 0, XZ},
	} {
		if name, err := New("server.log", refused.at, refused.part, refused.format); err == nil {
			t.Errorf("%+v makes %s", refused, name)
		}
	}
	longest, err := New(strings.Repeat("x", longestLog), moment, highestPart, Zstd)
	if err != nil || len(longest.Temporary()) > 255 {
		t.Errorf("the longest temporary name has %d bytes, %v", len(longest.Temporary()), err)
	}
}

func TestOldestFirst(t *testing.T) {
	want := []string{
		"a.log.1",
		"server.log.10", "server.log.2.gz", "server.log.2", "server.log.1",
		"server.log-20251231.gz", "server.log-20261126", "server.log-2026112623", "server.log-20261127", "server.log-2026112700",
		"server.log-19700101T000000Z.gz",
		"server.log-20261127T062412Z-1.gz", "server.log-20261127T062412Z-2.zst", "server.log-20261127T062412Z-10",
		"server.log-20261127T062412Z.gz", "server.log-20261127T062412Z",
		"server.log-20261127T062413Z-1", "server.log-20261127T062413Z",
	}
	for range 100 {
		got := slices.Clone(want)
		rand.Shuffle(len(got), func(i, j int) { got[i], got[j] = got[j], got[i] })
		slices.SortFunc(got, func(a, b string) int {
			left, _ := Parse(a)
			right, _ := Parse(b)
			return Compare(left, right)
		})
		if !slices.Equal(got, want) {
			t.Fatalf("sorted\n%q\nwant\n%q", got, want)
		}
	}
}

func TestTemporary(t *testing.T) {
	name, err := New(agentLog, moment, 1, Gzip)
	if err != nil {
		t.Fatal(err)
	}
	if made := name.Temporary(); made != "."+agentLog+"-20261127T062412Z-1.gz.tmp" || !Temporary(made) {
		t.Errorf("%s is not temporary", made)
	}
	for _, base := range []string{
		"", ".tmp", "..tmp", ".server.log.tmp", ".server.log.1.tmp", "server.log-20261127T062412Z.tmp",
		".server.log-20261127T062412Z", "..server.log-20261127T062412Z.tmp", ".a/server.log-20261127T062412Z.tmp",
	} {
		if Temporary(base) {
			t.Errorf("%q counts as ours", base)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, seed := range []string{
		"server.log-20261127T062412Z-1.zst", agentLog + ".3.bz2", "server.log-2026112706.gz", "a-20261127T062412Z-20261127",
		".server.log-20261127T062412Z.gz.tmp", "x-00000101T000000Z", "x.1-1.1",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, base string) {
		name, is := Parse(base)
		if !is {
			return
		}
		if name.String() != base {
			t.Errorf("%q is written as %q", base, name)
		}
		if err := CheckLog(name.Log); err != nil {
			t.Error(err)
		}
		if CheckLog(base) == nil {
			t.Errorf("%q is a log as well as an archive", base)
		}
		if Compare(name, name) != 0 || Temporary(base) {
			t.Errorf("%q is not itself", base)
		}
		if name.Kind != Ours {
			return
		}
		if again, err := New(name.Log, name.Time, name.Part, name.Format); err != nil || again != name {
			t.Errorf("%+v is made as %+v, %v", name, again, err)
		}
		if !Temporary(name.Temporary()) {
			t.Errorf("%q is not temporary", name.Temporary())
		}
	})
}

package dbdump

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/inmanta/inmanta-docker/sidecar/dumps"
	"github.com/inmanta/inmanta-docker/sidecar/schedule"
)

func TestChoose(t *testing.T) {
	t.Parallel()
	primary := func(host string) server { return server{address: address{Host: host}} }
	standby := func(host string, current bool) server {
		return server{address: address{Host: host}, standby: true, current: current}
	}
	down := func(host string) server { return server{address: address{Host: host}, err: errors.New("refused")} }
	absent := server{address: address{Host: "db-replica"}, err: errAbsent}
	for name, c := range map[string]struct {
		all  []server
		want string // hosts, or what the error says
	}{
		"one":                              {[]server{primary("db"), absent}, "db"},
		"a standby in step":                {[]server{primary("db"), standby("db-replica", true)}, "db-replica db"},
		"after they changed places":        {[]server{standby("db", true), primary("db-replica")}, "db db-replica"},
		"a standby that is behind":         {[]server{primary("db"), standby("db-replica", false)}, "db"},
		"a standby that is down":           {[]server{primary("db"), down("db-replica")}, "db"},
		"a primary that is down":           {[]server{down("db"), standby("db-replica", false)}, "db-replica"},
		"a primary just down":              {[]server{down("db"), standby("db-replica", true)}, "db-replica"},
		"two standbys, one of them behind": {[]server{standby("a", false), standby("b", true), primary("c")}, "b c"},
		"only standbys":                    {[]server{standby("a", false), standby("b", true)}, "b a"},
		"down":                             {[]server{down("db"), absent}, "no database answers (db: refused)"},
		"both down":                        {[]server{down("db"), down("db-replica")}, "no database answers (db: refused; db-replica: refused)"},
	} {
		found, err := choose(c.all)
		var hosts []string
		for _, s := range found {
			hosts = append(hosts, s.Host)
		}
		got := strings.Join(hosts, " ")
		if err != nil {
			got = err.Error()
		}
		if got != c.want {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
	}
}

func TestAddresses(t *testing.T) {
	t.Parallel()
	replica := address{Host: "db-replica", Port: "5432", Optional: true}
	for _, c := range []struct {
		hosts, ports string
		want         []address
	}{
		{"db", "5432", []address{{Host: "db", Port: "5432"}, replica}},
		{"db,10.0.0.2", "5432,6432", []address{{Host: "db", Port: "5432"}, {Host: "10.0.0.2", Port: "6432"}, replica}},
		{"db,", "5432,6432", []address{{Host: "db", Port: "5432"}, replica}}, // without another machine
		{"db, db-replica", "5433", []address{{Host: "db", Port: "5433"}, {Host: "db-replica", Port: "5433"}}},
		{"db,a", "1,2,3", nil},
		{" , ", "5432", nil},
	} {
		got, err := addresses(c.hosts, c.ports)
		if !slices.Equal(got, c.want) || (err == nil) != (c.want != nil) {
			t.Errorf("%q, %q: %v, %v", c.hosts, c.ports, got, err)
		}
	}
}

func TestConnection(t *testing.T) {
	t.Parallel()
	c := Config{User: "inmanta", Database: `it's a \ base`}
	got := c.connection(address{Host: "10.0.0.2", Port: "5432"})
	if want := `host='10.0.0.2' port='5432' user='inmanta' dbname='it\'s a \\ base'`; !strings.HasPrefix(got, want) {
		t.Errorf("%s, want %s", got, want)
	}
	if got := passLine(`a:b\c'd`); got != "*:*:*:*:a\\:b\\\\c'd\n" {
		t.Errorf("%q", got)
	}
}

// What is wrong is said, with what to do; nothing else is.
func TestJudge(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 27, 12, 0, 0, 0, time.UTC)
	p := dumps.Policy{Schedule: schedule.Schedule{Every: schedule.Daily}, Zone: time.UTC}
	for name, c := range map[string]struct {
		change func(*State, *moment)
		want   []string // words of each reason
	}{
		"well":              {func(*State, *moment) {}, nil},
		"well, and at work": {func(s *State, m *moment) { m.busy, s.Next = true, now.Add(-time.Hour) }, nil},
		"the first is made": {func(s *State, m *moment) {
			s.Dumps, s.Last, s.Running, m.busy = nil, nil, &Running{Since: now}, true
		}, nil},
		"it is only prepared":    {func(s *State, m *moment) { s.Dumps, s.Last, m.busy = nil, nil, true }, []string{"there is no dump yet"}},
		"there is none":          {func(s *State, _ *moment) { s.Dumps, s.Last = nil, nil }, []string{"there is no dump yet"}},
		"the last failed":        {func(s *State, _ *moment) { s.Last.Error = "lock timeout" }, []string{"lock timeout (the last good one is b, 12 hours old; it is tried again at 2026-11-28T00:00:00Z); see which session"}},
		"it failed, and another": {func(s *State, m *moment) { s.Last.Error, m.busy = "x", true }, []string{"the dump of 2026-11-27 00:00Z failed: x"}},
		"overdue":                {func(s *State, _ *moment) { s.Next = now.Add(-3 * time.Minute) }, []string{"a dump has been due since 2026-11-27T11:57:00Z (the last good one is b, 12 hours old)"}},
		"just due":               {func(s *State, _ *moment) { s.Next = now.Add(-time.Minute) }, nil},
		"runs beyond the next": {
			func(s *State, m *moment) {
				s.Running, m.busy = &Running{Since: now.Add(-24 * time.Hour), Host: "db"}, true
			},
			[]string{"a dump of db has been running since 2026-11-26T12:00:00Z"},
		},
		"runs": {func(s *State, m *moment) {
			s.Running, m.busy = &Running{Since: now.Add(-11 * time.Hour), Host: "db"}, true
		}, nil},
		"stuck":    {func(_ *State, m *moment) { m.quiet = time.Hour }, []string{"stuck for 1h0m0s"}},
		"no room":  {func(s *State, _ *moment) { s.FreeBytes = 1 << 20 }, []string{"./db-dumps has 1.0 MiB free, and the next dump may need 20.0 MiB; make room in ./db-dumps"}},
		"at it":    {func(s *State, m *moment) { s.FreeBytes, s.Running, m.busy = 1, &Running{Since: now}, true }, nil},
		"barred":   {func(_ *State, m *moment) { m.barred = errors.New("permission denied") }, []string{"./db-dumps cannot be read and written by the user postgres: permission denied; inmanta-docker restart"}},
		"unknown":  {func(_ *State, m *moment) { m.unknown = errors.New("gone") }, []string{"cannot be found out: gone"}},
		"damaged":  {func(s *State, _ *moment) { s.Dumps[0].Flaw = "it has 1 bytes" }, []string{"a is no dump any more: it has 1 bytes; remove it"}},
		"all are":  {func(s *State, _ *moment) { s.Dumps[0].Flaw, s.Dumps[1].Flaw = "x", "y" }, []string{"a is no dump", "b is no dump", "there is no dump yet"}},
		"starting": {func(s *State, _ *moment) { s.Reasons = []string{"it is starting"}; s.Dumps, s.Last = nil, nil }, []string{"it is starting"}},
	} {
		s := State{
			Folder: "./db-dumps", FreeBytes: 1 << 30, NeededBytes: 20 << 20, Next: now.Add(12 * time.Hour),
			Last:  &Attempt{Begun: now.Add(-12 * time.Hour)},
			Dumps: []DumpState{{File: "a", Begun: now.Add(-36 * time.Hour)}, {File: "b", Begun: now.Add(-12 * time.Hour)}},
		}
		m := moment{now: now}
		c.change(&s, &m)
		got := judge(s, m, p)
		if len(got) != len(c.want) {
			t.Errorf("%s: %q, want %q", name, got, c.want)
			continue
		}
		for i, words := range c.want {
			if !strings.Contains(got[i], words) || name != "starting" && !strings.Contains(got[i], "; ") {
				t.Errorf("%s: %q, want %q and what to do", name, got[i], words)
			}
		}
	}
}

// After a failure the next is when it is tried again, whatever was due; a clock that
// is put back meanwhile makes it due at once.
func TestNext(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 27, 12, 0, 0, 0, time.UTC)
	p := dumps.Policy{Schedule: schedule.Schedule{Every: schedule.Daily}, Zone: time.UTC}
	today := []found{{Dump: dumps.Dump{Begun: now.Add(-time.Hour)}}}
	for name, c := range map[string]struct {
		k    keeper
		want time.Time
	}{
		"none yet":         {keeper{}, now},
		"today's is there": {keeper{found: today, memory: memory{Last: &Attempt{}}}, now.Add(12 * time.Hour)},
		"it is flawed":     {keeper{found: []found{{Dump: today[0].Dump, flaw: "x"}}}, now},
		"one failed":       {keeper{found: today, memory: memory{Last: &Attempt{Error: "x"}, Failures: 1}, retry: now.Add(5 * time.Second)}, now.Add(5 * time.Second)},
		"a clock put back": {keeper{found: today, memory: memory{Last: &Attempt{Error: "x"}, Failures: 3}, retry: now.AddDate(0, 1, 0)}, now},
		"after a start":    {keeper{found: today, memory: memory{Last: &Attempt{Error: "x"}, Failures: 3}}, time.Time{}},
	} {
		c.k.config.Policy = p
		if got := c.k.next(now); !got.Equal(c.want) {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
	}
}

func TestSentence(t *testing.T) {
	t.Parallel()
	for said, want := range map[string]string{
		"pg_dump: error: connection failed: refused\n":                           "connection failed: refused",
		"pg_dump: error: query failed: ERROR:  gone\npg_dump: detail: Query was": "query failed: ERROR: gone",
		"pg_dump: warning: x\npg_dump: error: y\nmore of y\n":                    "y more of y",
		"killed":                               "killed",
		"":                                     "",
		strings.Repeat("x", 2*longestSentence): strings.Repeat("x", longestSentence) + "…",
	} {
		if got := sentence(said); got != want {
			t.Errorf("%q is %q, want %q", said, got, want)
		}
	}
}

func TestPrograms(t *testing.T) {
	t.Parallel()
	for version, want := range map[string]string{
		"pg_dump (PostgreSQL) 16.4 (Debian 16.4-1)\n": zstd,
		"pg_dump (PostgreSQL) 18beta1\n":              zstd,
		"pg_dump (PostgreSQL) 15.9\n":                 gzip,
		"pg_dump (PostgreSQL) 9.6.24\n":               gzip,
		"who knows":                                   gzip,
	} {
		if got := compressionOf(version); got != want {
			t.Errorf("%q: %s, want %s", version, got, want)
		}
	}
	const list = ";\n; Archive created at 2026\n;     TOC Entries: 2\n;\n; Selected TOC Entries:\n;\n215; 1259 1 TABLE public a inmanta\n3417; 0 1 TABLE DATA public a inmanta\n"
	if got := countEntries(list); got != 2 {
		t.Errorf("%d entries", got)
	}
	if got := countEntries("; nothing\n\n"); got != 0 {
		t.Errorf("%d entries of nothing", got)
	}
}

func FuzzMemory(f *testing.F) {
	for _, text := range []string{
		"", "{}", "null", `{"made": null, "failures": -3}`, `{"last": {"begun": "2026-11-27T00:00:00Z", "error": "x"}}`,
		`{"made": {"lab-20261127T000203Z.dump": {"size_bytes": 5, "entries": 2}, "../x": {}}}`, `{"made": [1]}`,
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		m, err := parseMemory("lab", text)
		if m.Made == nil || m.Failures < 0 || err != nil && !reflect.DeepEqual(m, memory{Made: map[string]Made{}}) {
			t.Fatalf("%+v, %v", m, err)
		}
		for name := range m.Made {
			if kind, _, _ := dumps.Parse("lab", name); kind != dumps.Complete {
				t.Errorf("%q is remembered", name)
			}
		}
	})
}

// Reading what was remembered gives what was, and what cannot be read is nothing.
func TestMemory(t *testing.T) {
	t.Parallel()
	c := Config{State: t.TempDir(), Deployment: "lab"}
	if m, err := c.remember(); err != nil || m.Made == nil || m.Last != nil {
		t.Errorf("of nothing: %+v, %v", m, err)
	}
	was := memory{Last: &Attempt{Begun: time.Unix(1, 0).UTC(), Error: "x"}, Failures: 2, Made: map[string]Made{dumps.Name("lab", time.Unix(1, 0)): {SizeBytes: 5, Host: "db"}}}
	if err := c.memorise(was); err != nil {
		t.Fatal(err)
	}
	if m, err := c.remember(); err != nil || !reflect.DeepEqual(m, was) {
		t.Errorf("%+v, %v, want %+v", m, err, was)
	}
	put(t, c.State+"/"+memoryFile, `{"made": `, 0o600)
	if m, err := c.remember(); err == nil || m.Made == nil {
		t.Errorf("of what is damaged: %+v, %v", m, err)
	}
}

// What programs and the kernel say is met with what helps.
func TestAdvice(t *testing.T) {
	t.Parallel()
	for said, fix := range map[string]string{
		"db: could not write to output file: No space left on device":                   "make room in ./d",
		"writing its checksum: write /db-dumps/x: no space left on device":              "make room in ./d",
		"listing the folder of the dumps: open /db-dumps: permission denied":            "restart db-dump",
		"db: query failed: ERROR: permission denied for table x":                        "superuser",
		"starting pg_dump: exec: \"pg_dump\": executable file not found in $PATH":       "POSTGRESQL_IMAGE",
		"db: aborting because of server version mismatch":                               "POSTGRESQL_IMAGE",
		"no database answers (db: password authentication failed for user \"inmanta\")": "another password",
		"no database answers (db: connection refused)":                                  "inmanta-docker up",
		"db: it made no progress":                                                       "inmanta-docker logs db-dump",
	} {
		if got := advice(said, "./d"); !strings.Contains(got, fix) {
			t.Errorf("%s: %s, want …%s…", said, got, fix)
		}
	}
}

func TestAge(t *testing.T) {
	t.Parallel()
	for d, want := range map[time.Duration]string{
		-time.Hour: "0 seconds", 90 * time.Second: "90 seconds", 5 * time.Minute: "5 minutes", 47 * time.Hour: "47 hours", 49 * time.Hour: "2 days",
	} {
		if got := age(d); got != want {
			t.Errorf("%s: %s, want %s", d, got, want)
		}
	}
	if got := fmt.Sprint(State{Next: time.Unix(0, 0)}.sentence(time.Now())); got != "no dump yet, next 1970-01-01T00:00:00Z" {
		t.Error(got)
	}
}

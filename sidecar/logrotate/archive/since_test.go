package archive

import (
	"bytes"
	"math/rand/v2"
	"os"
	"strings"
	"testing"
	"time"
)

func TestParseSince(t *testing.T) {
	brussels, err := time.LoadLocation("Europe/Brussels")
	if err != nil {
		t.Fatal(err)
	}
	now := time.Date(2026, 11, 27, 12, 0, 0, 0, brussels)
	for text, want := range map[string]string{
		"0s":                        "2026-11-27T11:00:00Z",
		"90s":                       "2026-11-27T10:58:30Z",
		"30m":                       "2026-11-27T10:30:00Z",
		"12h":                       "2026-11-26T23:00:00Z",
		"3d":                        "2026-11-24T11:00:00Z",
		"2w":                        "2026-11-13T11:00:00Z",
		"2026-11-20":                "2026-11-19T23:00:00Z",
		"2026-07-20":                "2026-07-19T22:00:00Z",
		"2026-11-20 06:30":          "2026-11-20T05:30:00Z",
		"2026-11-20T06:30":          "2026-11-20T05:30:00Z",
		"2026-11-20 06:30:15":       "2026-11-20T05:30:15Z",
		"2026-11-20T06:30:15":       "2026-11-20T05:30:15Z",
		"2026-11-20T06:30:15Z":      "2026-11-20T06:30:15Z",
		"2026-11-20T06:30:15-02:00": "2026-11-20T08:30:15Z",
	} {
		at, err := ParseSince(text, now)
		if got := at.UTC().Format(time.RFC3339); err != nil || got != want {
			t.Errorf("%s is %s, %v, want %s", text, got, err, want)
		}
	}
	for _, text := range []string{
		"", "3", "d", "-3d", "+3d", "3.5d", "3D", "3y", "3dd", " 3d", "99999999999999999999s", "200000000000d",
		"2026-13-01", "2026-02-30", "20261120", "yesterday", "2026-11-28", "2026-11-27T12:00:01+01:00",
	} {
		if at, err := ParseSince(text, now); err == nil {
			t.Errorf("%q is %s", text, at)
		}
	}
}

func TestTimestamps(t *testing.T) {
	zone := time.FixedZone("", 3600)
	for line, want := range map[string]string{
		"2026-11-27 06:24:12,123 INFO x":        "2026-11-27T05:24:12.123Z",
		"2026-11-27 06:24:12":                   "2026-11-27T05:24:12Z",
		"2026-11-27 06:24:12,":                  "2026-11-27T05:24:12Z",
		"2026-11-27T06:24:12.123456 x":          "2026-11-27T05:24:12.123456Z",
		"2026-11-27T06:24:12.123456789123Z":     "2026-11-27T05:24:12.123456789Z",
		"2026-11-27T06:24:12Z x":                "2026-11-27T06:24:12Z",
		"2026-11-27T06:24:12,5+02:00 x":         "2026-11-27T04:24:12.5Z",
		"2026-11-27T06:24:12.999999999-0230 x":  "2026-11-27T08:54:12.999999999Z",
		"2026-11-27 06:24:12-x":                 "2026-11-27T05:24:12Z",
		"2026-11-27 06:24:12+99:99":             "2026-11-27T05:24:12Z",
		"2024-02-29 23:59:59,000 of a leap day": "2024-02-29T22:59:59Z",
	} {
		at, is := timestamp([]byte(line), zone)
		if got := at.UTC().Format(time.RFC3339Nano); !is || got != want {
			t.Errorf("%q is %s, %t, want %s", line, got, is, want)
		}
	}
	for _, line := range []string{
		"", "2026-11-27", "2026-11-27 06:24", "2026-11-27_06:24:12", "2026-11-27 24:00:00", "2026-02-29 06:24:12",
		" 2026-11-27 06:24:12", "[2026-11-27 06:24:12]", "2026/11/27 06:24:12", "Traceback (most recent call last):",
	} {
		if at, is := timestamp([]byte(line), zone); is {
			t.Errorf("%q is %s", line, at)
		}
	}
}

// filtered lets a text through, cut into pieces at random.
func filtered(text string, since time.Time, random *rand.Rand) string {
	f := newFilter(since, nil)
	var got []byte
	for rest := []byte(text); len(rest) > 0; {
		n := min(len(rest), 1+random.IntN(50))
		got = append(got, f.pass(bytes.Clone(rest[:n]))...)
		rest = rest[n:]
	}
	return string(append(got, f.end()...))
}

func TestLinesSince(t *testing.T) {
	t.Parallel()
	const old, young = "2026-11-27 06:00:00,000 old\n", "2026-11-27 07:00:00,000 young\n"
	long := strings.Repeat("x", 100_000)
	for _, example := range []struct{ text, want string }{
		{"", ""},
		{old, ""},
		{young, young},
		{old + young, young},
		{old + "its second line\n\n" + young + "its second line\n" + old, young + "its second line\n" + old},
		{"a line's end\n" + old + young, young},
		{"a line's end\n" + young, "a line's end\n" + young},
		{"no time\nanywhere", "no time\nanywhere"},
		{"\n\n", "\n\n"},
		{long + "\n" + old + young, long + "\n" + old + young},
		{old + long + "\n" + young, young},
		{strings.TrimSuffix(old, "\n") + long + "\n" + young + long, young + long},
		{old + "2026-11-27 06:30:00", "2026-11-27 06:30:00"},
		{old + "2026-11-27 06:29:59", ""},
		{old + "2026-11-27 07:00", ""},
	} {
		for seed := range uint64(20) {
			random := rand.New(rand.NewPCG(seed, 3))
			got := filtered(example.text, moment.Truncate(time.Hour).Add(30*time.Minute), random)
			if got != example.want {
				t.Errorf("of %.100q, %.100q is let through, want %.100q", example.text, got, example.want)
				break
			}
		}
	}
}

// What follows bytes that are missing is not taken for the rest of a line.
func TestLinesSinceBehindAHole(t *testing.T) {
	t.Parallel()
	for _, before := range []string{"2026-11-27 06:00:00,000 old", "2026-11-27 06:00:00,000 an old line which is cut off", "2026"} {
		f := newFilter(moment, nil)
		got := string(f.pass([]byte("2026-11-27 06:00:00,000 old\n" + before)))
		f.cut()
		got += string(f.pass([]byte("2026-11-27 07:00:00,000 young\n")))
		if got += string(f.end()); got != "2026-11-27 07:00:00,000 young\n" {
			t.Errorf("behind %q, %q is let through", before, got)
		}
	}
}

// Whole archives that are older are not read; what is in the first that is not
// is looked at line by line.
func TestStreamSince(t *testing.T) {
	t.Parallel()
	line := func(at time.Time) []byte { return []byte(at.Format("2006-01-02 15:04:05,000") + " INFO x\n") }
	hours := func(n int) time.Time { return moment.Add(time.Duration(n) * time.Hour) }
	name := func(n int, format Format) string {
		name, err := New("server.log", hours(n), 0, format)
		if err != nil {
			t.Fatal(err)
		}
		return name.String()
	}
	files := map[string][]byte{
		"server.log.1.xz": []byte("old"),
		name(2, Gzip):     []byte("not gzip, and not to be read"),
		name(4, Gzip):     compress(t, Gzip, line(hours(2)), line(hours(3)), line(hours(4))),
		name(5, Plain):    line(hours(5)),
		name(6, Gzip):     compress(t, Gzip, line(hours(6))),
		"server.log":      line(hours(7)),
	}
	f := folder(t, files)
	for base, at := range map[string]time.Time{
		"server.log.1.xz": hours(1), name(2, Gzip): hours(2), name(4, Gzip): hours(4), name(6, Gzip): hours(6),
	} {
		if err := os.Chtimes(f.Name()+"/"+base, at, at); err != nil {
			t.Fatal(err)
		}
	}
	from := func(n int) (text string) {
		for ; n <= 7; n++ {
			text += string(line(hours(n)))
		}
		return text
	}
	for n, want := range map[int]string{3: from(3), 4: from(4), 5: from(5), 7: from(7), 8: ""} {
		got, reports, err := show(t, f, "server.log", Options{Since: hours(n)})
		if err != nil || len(reports) > 0 || got != want {
			t.Errorf("since %d: %q, %q, %v", n, got, reports, err)
		}
	}
	// Its writer added to this one long after it was set aside.
	late := hours(7)
	if err := os.Chtimes(f.Name()+"/"+name(2, Gzip), late, late); err != nil {
		t.Fatal(err)
	}
	if _, reports, _ := show(t, f, "server.log", Options{Since: hours(3)}); len(reports) != 1 {
		t.Errorf("what was written since is not read: %q", reports)
	}
	// The zone of the timestamps.
	got, _, _ := show(t, f, "server.log", Options{Since: hours(8), Zone: time.FixedZone("", -3600)})
	if want := from(7); got != want {
		t.Errorf("an hour west: %q, want %q", got, want)
	}
}

// Whatever comes, nothing after the first wanted line is left out, and nothing
// comes in another order.
func FuzzSince(f *testing.F) {
	f.Add("2026-11-27 06:24:12,123 a\nb\n2026-11-27T07:24:12Z c\n", uint64(1))
	f.Add("x\n2026-11-27 06:24:12", uint64(2))
	f.Add("2026-11-27T06:24:12.999999999-0230\n\x00", uint64(3))
	f.Fuzz(func(t *testing.T, text string, seed uint64) {
		since := moment.Add(30 * time.Minute)
		got := filtered(text, since, rand.New(rand.NewPCG(seed, 4)))
		if again := filtered(text, since, rand.New(rand.NewPCG(seed, 5))); got != again {
			t.Fatalf("cut elsewhere, %q is let through instead of %q", again, got)
		}
		if !strings.HasSuffix(text, got) {
			t.Fatalf("%q is not the end of %q", got, text)
		}
		var dated bool
		at := 0
		for line := range strings.Lines(text) {
			of, is := timestamp([]byte(line)[:min(len(line), longestTimestamp)], time.UTC)
			if is && !of.Before(since) {
				break
			}
			if at += len(line); is {
				dated = true
			}
		}
		want := text
		if dated {
			want = text[at:]
		}
		if got != want && at <= mostHeld {
			t.Fatalf("of %q, %q is let through, want %q", text, got, want)
		}
	})
}

func FuzzParseSince(f *testing.F) {
	for _, text := range []string{"3d", "12h", "2026-11-20", "2026-11-20T06:30:15-02:00", "9223372036854775807s"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if at, err := ParseSince(text, moment); err == nil && at.After(moment) {
			t.Errorf("%q is %s", text, at)
		}
	})
}

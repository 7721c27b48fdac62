package policy

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/inmanta/inmanta-docker/sidecar/schedule"
)

func TestExpired(t *testing.T) {
	in := brussels(t)
	daily := Policy{Keep: 2, Location: in}
	archive := func(text string) Archive { return Archive{Time: at(t, text, in), Size: 1} }
	held := func(a Archive) Archive { a.Held = true; return a }
	part := func(a Archive, part int) Archive { a.Part = part; return a }
	with := func(change func(*Policy)) Policy { p := daily; change(&p); return p }
	nov := func(day int) Archive { return archive(fmt.Sprintf("2026-11-%02d 12:00:00", day)) }
	for name, c := range map[string]struct {
		policy   Policy
		archives []Archive
		want     []int
	}{
		"none":                       {daily, nil, nil},
		"as many as are kept":        {daily, []Archive{nov(1), nov(2)}, nil},
		"one more":                   {daily, []Archive{nov(1), nov(2), nov(3)}, []int{0}},
		"in any order":               {daily, []Archive{nov(4), nov(1), nov(3), nov(2)}, []int{1, 3}},
		"days without any":           {daily, []Archive{nov(1), nov(12), nov(26)}, []int{0}},
		"a bad day":                  {daily, []Archive{nov(1), nov(2), archive("2026-11-03 01:00:00"), archive("2026-11-03 02:00:00"), archive("2026-11-03 03:00:00")}, []int{0}},
		"at midnight is the old day": {daily, []Archive{nov(1), archive("2026-11-02 00:00:00"), archive("2026-11-03 00:00:00")}, nil},
		"just after is the new":      {daily, []Archive{nov(1), archive("2026-11-02 00:00:01"), archive("2026-11-03 00:00:01")}, []int{0}},
		"a day of 25 hours":          {daily, []Archive{archive("2026-10-24 12:00:00"), archive("2026-10-25 00:30:00"), archive("2026-10-25 23:30:00"), nov(1)}, []int{0}},
		"none are kept":              {with(func(p *Policy) { p.Keep = 0 }), []Archive{nov(1), held(nov(2)), nov(3)}, []int{0, 2}},
		"all are":                    {with(func(p *Policy) { p.Keep = -1 }), []Archive{nov(1), nov(2), nov(3)}, nil},
		"all are, but for age":       {with(func(p *Policy) { p.Keep, p.MaxAge = -1, 25 }), []Archive{nov(1), nov(2), nov(3)}, []int{0}},
		"age before number":          {with(func(p *Policy) { p.MaxAge = 3 }), []Archive{nov(1), nov(26), nov(2)}, []int{0, 2}},
		"age of what is held":        {with(func(p *Policy) { p.MaxAge = 3 }), []Archive{held(nov(1))}, nil},
		"in the future":              {with(func(p *Policy) { p.MaxAge = 3 }), []Archive{archive("2027-11-01 12:00:00")}, nil},
		"held stays and counts":      {daily, []Archive{nov(1), held(nov(2)), nov(3), nov(4)}, []int{0}},
		"held newest counts":         {daily, []Archive{nov(1), nov(2), held(nov(3))}, []int{0}},
		"by the hour":                {with(func(p *Policy) { p.Schedule.Every = schedule.Hourly }), []Archive{archive("2026-11-03 01:30:00"), archive("2026-11-03 02:30:00"), archive("2026-11-03 03:30:00")}, []int{0}},
		"by the week":                {with(func(p *Policy) { p.Schedule.Every = schedule.Weekly }), []Archive{nov(1), nov(8), nov(14), nov(21)}, []int{0}},
		"by the month":               {with(func(p *Policy) { p.Schedule.Every, p.Keep = schedule.Monthly, 1 }), []Archive{archive("2026-10-31 12:00:00"), nov(1), nov(30)}, []int{0}},
		"only by size":               {with(func(p *Policy) { p.Schedule.Every = schedule.BySize }), []Archive{archive("2026-11-03 01:00:00"), archive("2026-11-03 01:00:01"), archive("2026-11-03 01:00:02")}, []int{0}},
		"parts are one":              {with(func(p *Policy) { p.Schedule.Every = schedule.BySize }), []Archive{nov(1), part(nov(2), 2), part(nov(2), 1), nov(3)}, []int{0}},
		"parts in order":             {with(func(p *Policy) { p.Schedule.Every, p.Keep = schedule.BySize, 0 }), []Archive{part(nov(2), 2), part(nov(2), 1), nov(1)}, []int{2, 1, 0}},
	} {
		if got := Expired(c.policy, c.archives, at(t, "2026-11-27 06:24:12", in)); !slices.Equal(got, c.want) {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
}

func TestOverTotal(t *testing.T) {
	day := func(day int, size int64) Archive {
		return Archive{Time: time.Date(2026, 11, day, 0, 0, 0, 0, time.UTC), Size: size}
	}
	held := func(a Archive) Archive { a.Held = true; return a }
	for name, c := range map[string]struct {
		all   []Archive
		limit int64
		want  []int
	}{
		"no limit":              {[]Archive{day(1, 9), day(2, 9)}, 0, nil},
		"none":                  {nil, 1, nil},
		"exactly":               {[]Archive{day(1, 5), day(2, 5)}, 10, nil},
		"one too many":          {[]Archive{day(2, 5), day(1, 5), day(3, 1)}, 10, []int{1}},
		"two":                   {[]Archive{day(2, 5), day(1, 1), day(3, 6)}, 10, []int{1, 0}},
		"held":                  {[]Archive{held(day(1, 5)), day(2, 5), day(3, 5)}, 10, []int{1}},
		"nothing but the last":  {[]Archive{day(1, 5), day(2, 50)}, 10, []int{0}},
		"the last is held":      {[]Archive{day(1, 5), held(day(2, 50))}, 10, []int{0}},
		"all but one held":      {[]Archive{held(day(1, 50)), day(2, 5), held(day(3, 5))}, 10, []int{1}},
		"one, and it too large": {[]Archive{day(1, 50)}, 10, nil},
		"equal ones":            {[]Archive{day(1, 5), day(1, 5), day(1, 5)}, 10, []int{0}},
	} {
		if got := OverTotal(c.all, c.limit); !slices.Equal(got, c.want) {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
}

// TestRetentionAtRandom looks at what holds of any set of archives.
func TestRetentionAtRandom(t *testing.T) {
	now := time.Date(2026, 11, 27, 6, 0, 0, 0, time.UTC)
	for seed := range uint64(500) {
		random := rand.New(rand.NewPCG(seed, 5))
		p := Policy{Schedule: walked[random.IntN(len(walked))], Keep: random.IntN(6), Location: zone(t, walkedZones[random.IntN(len(walkedZones))])}
		if random.IntN(4) == 0 {
			p.Schedule.Every = schedule.BySize
		}
		archives := make([]Archive, random.IntN(40))
		for i := range archives {
			archives[i] = Archive{Time: now.Add(-time.Duration(random.Int64N(int64(100 * 24 * time.Hour)))), Size: random.Int64N(100), Held: random.IntN(8) == 0}
		}
		expired := Expired(p, archives, now)
		kept := map[time.Time]bool{}
		oldestKept := now
		for i, one := range archives {
			if !slices.Contains(expired, i) && !one.Held {
				kept[p.belongs(one.Time)] = true
				if one.Time.Before(oldestKept) {
					oldestKept = one.Time
				}
			}
		}
		if len(kept) > p.Keep {
			t.Fatalf("seed %d: %d periods are left of %d", seed, len(kept), p.Keep)
		}
		for _, i := range expired {
			if archives[i].Held || kept[p.belongs(archives[i].Time)] || archives[i].Time.After(oldestKept) {
				t.Fatalf("seed %d: %+v is removed, and the oldest left is of %s", seed, archives[i], oldestKept)
			}
		}
		var left []Archive
		for i, one := range archives {
			if !slices.Contains(expired, i) {
				left = append(left, one)
			}
		}
		if again := Expired(p, left, now); len(again) > 0 {
			t.Fatalf("seed %d: a second time, %v more", seed, again)
		}
		var total int64
		limit := random.Int64N(2000)
		over := OverTotal(archives, limit)
		for i, one := range archives {
			if !slices.Contains(over, i) {
				total += one.Size
			}
		}
		if free := slices.ContainsFunc(archives, func(a Archive) bool { return a.Held }); limit > 0 && !free && total > max(limit, 100) {
			t.Fatalf("seed %d: %d bytes are left of %d", seed, total, limit)
		}
	}
}

package dumps

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

var now = time.Date(2026, 11, 27, 12, 0, 0, 0, time.UTC)

// ago is a dump of so many days ago, of so many bytes, named after its age.
func ago(days int, size int64) Dump {
	return Dump{Name: fmt.Sprintf("%d days", days), Begun: now.AddDate(0, 0, -days), Size: size}
}

func TestExpired(t *testing.T) {
	week := []Dump{ago(0, 10), ago(1, 10), ago(2, 10), ago(3, 10), ago(4, 10), ago(5, 10), ago(6, 10)}
	for name, c := range map[string]struct {
		policy Policy
		all    []Dump
		made   string
		want   []string
	}{
		"as many as are kept":                {Policy{Keep: 7}, week, "0 days", nil},
		"one more":                           {Policy{Keep: 6}, week, "0 days", []string{"6 days"}},
		"only one, the one that was made":    {Policy{Keep: 1}, week[:3], "0 days", []string{"2 days", "1 days"}},
		"all":                                {Policy{Keep: -1}, week, "0 days", nil},
		"by age":                             {Policy{Keep: -1, MaxAge: 4}, week, "0 days", []string{"6 days", "5 days"}},
		"just of that age":                   {Policy{Keep: -1, MaxAge: 6}, week, "0 days", nil},
		"by size":                            {Policy{Keep: -1, MaxTotal: 35}, week, "0 days", []string{"6 days", "5 days", "4 days", "3 days"}},
		"the newest is too large":            {Policy{Keep: -1, MaxTotal: 5}, week[:2], "0 days", []string{"1 days"}},
		"the oldest go, however small":       {Policy{Keep: -1, MaxTotal: 30}, []Dump{ago(0, 10), ago(1, 30), ago(2, 1)}, "0 days", []string{"2 days", "1 days"}},
		"whichever comes first":              {Policy{Keep: 5, MaxAge: 3, MaxTotal: 1000}, week, "0 days", []string{"6 days", "5 days", "4 days"}},
		"the only one, however old":          {Policy{Keep: 10, MaxAge: 1}, []Dump{ago(30, 10)}, "30 days", nil},
		"one was made with a clock put back": {Policy{Keep: 2}, []Dump{ago(0, 10), ago(1, 10), ago(9, 10)}, "9 days", []string{"1 days"}},
		"and with an age that is over":       {Policy{Keep: 3, MaxAge: 5}, []Dump{ago(0, 10), ago(9, 10)}, "9 days", nil},
		"there is none":                      {Policy{Keep: 1}, nil, "", nil},
	} {
		c.policy.Zone = time.UTC
		slices.Reverse(c.all) // the order of names is nobody's business
		if got := c.policy.Expired(c.all, c.made, now); !slices.Equal(got, c.want) {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
		slices.Reverse(c.all)
	}
}

// Whatever there is and whatever is set, the newest and the one that was made stay,
// and what is kept is newer than what is not.
func TestExpiredAtRandom(t *testing.T) {
	for seed := range uint64(500) {
		random := rand.New(rand.NewPCG(seed, 1))
		var all []Dump
		for i := range 1 + random.IntN(20) {
			all = append(all, Dump{Name: fmt.Sprint(i), Begun: now.Add(-time.Duration(random.Int64N(int64(40 * 24 * time.Hour)))), Size: random.Int64N(100)})
		}
		p := Policy{Keep: random.IntN(12) - 1, MaxAge: random.IntN(30), MaxTotal: random.Int64N(500), Zone: time.UTC}
		if p.Keep == 0 {
			p.Keep = 1
		}
		made := all[random.IntN(len(all))]
		expired := p.Expired(all, made.Name, now)
		newest := slices.MaxFunc(all, func(a, b Dump) int { return a.Begun.Compare(b.Begun) })
		if slices.Contains(expired, newest.Name) || slices.Contains(expired, made.Name) {
			t.Fatalf("seed %d: %q go, of which the newest is %s and %s was made", seed, expired, newest.Name, made.Name)
		}
		var total int64
		kept := 0
		var oldest time.Time
		for _, one := range all {
			if slices.Contains(expired, one.Name) {
				continue
			}
			kept++
			total += one.Size
			if one.Name != made.Name && (oldest.IsZero() || one.Begun.Before(oldest)) {
				oldest = one.Begun
			}
		}
		for _, one := range all {
			if slices.Contains(expired, one.Name) && !oldest.IsZero() && one.Begun.After(oldest) {
				t.Fatalf("seed %d: %s goes, and an older one stays", seed, one.Name)
			}
		}
		if kept > 2 && (p.Keep > 0 && kept > p.Keep || p.MaxTotal > 0 && total > p.MaxTotal+newest.Size) {
			t.Fatalf("seed %d: %d are kept, of %d bytes, with %+v", seed, kept, total, p)
		}
	}
}

func TestRoom(t *testing.T) {
	for name, c := range map[string]struct {
		all  []Dump
		want int64
	}{
		"none yet":          {nil, spare},
		"one":               {[]Dump{ago(1, 1000)}, spare + 1100},
		"the largest":       {[]Dump{ago(3, 2000), ago(2, 1000), ago(1, 1000)}, spare + 2200},
		"of the last three": {[]Dump{ago(9, 5000), ago(3, 2000), ago(2, 1000), ago(1, 1000)}, spare + 2200},
	} {
		if got := Room(c.all); got != c.want {
			t.Errorf("%s: %d, want %d", name, got, c.want)
		}
	}
}

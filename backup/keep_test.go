package backup

import (
	"slices"
	"testing"
	"time"

	"github.com/inmanta/inmanta-docker/store"
)

func TestOutdated(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 27, 12, 0, 0, 0, time.UTC)
	var entries []store.Entry // one a day, newest first
	for days, name := range []string{"today", "yesterday", "two", "three"} {
		entries = append(entries, store.Entry{Name: name, Modified: now.AddDate(0, 0, -days)})
	}
	day := 24 * time.Hour
	for name, c := range map[string]struct {
		kept    Retention
		entries []store.Entry
		want    []string
	}{
		"all":                    {Retention{}, entries, nil},
		"two":                    {Retention{Keep: 2}, entries, []string{"two", "three"}},
		"more than there are":    {Retention{Keep: 9}, entries, nil},
		"by age":                 {Retention{MaxAge: 2 * day}, entries, []string{"three"}},
		"by both":                {Retention{Keep: 3, MaxAge: day}, entries, []string{"two", "three"}},
		"never the newest":       {Retention{MaxAge: day}, entries[2:], []string{"three"}},
		"none":                   {Retention{Keep: 1}, nil, nil},
		"one, which is very old": {Retention{Keep: 1, MaxAge: time.Second}, entries[3:], nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var got []string
			for _, e := range c.kept.Outdated(c.entries, now) {
				got = append(got, e.Name)
			}
			if !slices.Equal(got, c.want) {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

// What retention may remove is what was named for this project, and nothing that
// begins alike.
func TestOwn(t *testing.T) {
	t.Parallel()
	began := time.Date(2026, 11, 27, 15, 4, 5, 0, time.FixedZone("", 3600))
	id, name := Name("inmanta", began)
	if id != "20261127T140405Z" || name != "inmanta-20261127T140405Z.inmanta-backup" {
		t.Errorf("it is %s, %s", id, name)
	}
	_, others := Name("inmanta-b", began)
	entries := []store.Entry{
		{Name: others}, {Name: name}, {Name: "inmanta-before-upgrade.inmanta-backup"}, {Name: "inmanta-.inmanta-backup"},
		{Name: "inmanta.inmanta-backup"}, {Name: "x" + name}, {Name: "inmanta-" + id + "-kept.inmanta-backup"}, {Name: "Inmanta-" + id + ".inmanta-backup"},
	}
	if got := Own("inmanta", entries); len(got) != 1 || got[0].Name != name {
		t.Errorf("of the project are %v", got)
	}
}

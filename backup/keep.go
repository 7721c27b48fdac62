package backup

import (
	"strings"
	"time"

	"github.com/inmanta/inmanta-docker/store"
)

// Retention says which backups are kept. The zero value keeps all of them.
type Retention struct {
	// Keep is how many, the newest first; 0 is any number.
	Keep int
	// MaxAge is how old they may be; 0 is any age.
	MaxAge time.Duration
}

// Outdated are those of a project's backups, newest first, that may go now. The
// newest one never may, however old it is.
func (r Retention) Outdated(entries []store.Entry, now time.Time) []store.Entry {
	var list []store.Entry
	for at, e := range entries {
		if at == 0 {
			continue
		}
		if r.Keep > 0 && at >= r.Keep || r.MaxAge > 0 && now.Sub(e.Modified) > r.MaxAge {
			list = append(list, e)
		}
	}
	return list
}

// moment is how the moment of a backup is written in its name.
const moment = "20060102T150405Z"

// Name is the ID of a backup that was begun at a moment, and the name of its file
// where nobody names one.
func Name(project string, began time.Time) (id, name string) {
	id = began.UTC().Format(moment)
	return id, project + "-" + id + store.Extension
}

// Own are those that have a Name of the project's: not those of a project whose name
// only begins alike, nor what somebody has named, and so means to keep.
func Own(project string, entries []store.Entry) []store.Entry {
	var list []store.Entry
	for _, e := range entries {
		rest, ok := strings.CutPrefix(e.Name, project+"-")
		if _, err := time.Parse(moment+store.Extension, rest); ok && err == nil {
			list = append(list, e)
		}
	}
	return list
}

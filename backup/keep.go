package backup

import (
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

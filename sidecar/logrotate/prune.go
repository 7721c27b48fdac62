package logrotate

import (
	"slices"
	"time"

	"github.com/inmanta/inmanta-docker/sidecar/logrotate/archive"
	"github.com/inmanta/inmanta-docker/sidecar/logrotate/policy"
	"github.com/inmanta/inmanta-docker/sidecar/logrotate/rotation"
)

// prune removes the archives that are not kept any longer, of the logs that a
// pass looks at and, for the size of all together, of every log. It says whether
// there were any.
func (k *keeper) prune(w wish) bool {
	now := k.config.Now()
	clear(k.unremoved)
	gone := map[string]rotation.File{}
	var all []rotation.File
	for _, l := range k.logs {
		files := k.archives(l)
		if w.looksAt(l.Name) {
			p, _ := k.config.Policies.For(l.Name)
			for _, i := range policy.Expired(p, k.retained(files), now) {
				gone[files[i].Base] = files[i]
			}
		}
		for _, file := range files {
			if _, expired := gone[file.Base]; k.config.Policies.MaxTotal > 0 && !expired {
				all = append(all, file)
			}
		}
	}
	for _, i := range policy.OverTotal(k.retained(all), k.config.Policies.MaxTotal) {
		gone[all[i].Base] = all[i]
	}
	if len(gone) == 0 {
		return false
	}
	files := make([]rotation.File, 0, len(gone))
	for _, file := range gone {
		files = append(files, file)
	}
	failed := k.folder.Remove(files)
	removed := map[string][]string{}
	for _, file := range files {
		if err := failed[file.Base]; err != nil {
			k.unremoved[file.Base] = err.Error()
			continue
		}
		removed[file.Name.Log] = append(removed[file.Name.Log], file.Base)
	}
	for log, bases := range removed {
		k.journal.write(Event{Event: EventRemoved, Log: log, Archives: slices.Sorted(slices.Values(bases)), Why: "no longer kept"})
	}
	return true
}

// archives are what retention looks at of a log: archives, and segments, which
// are archives where they are not compressed.
func (k *keeper) archives(l rotation.Log) []rotation.File {
	return append(append([]rotation.File{}, l.Archives...), l.Segments...)
}

func (k *keeper) retained(files []rotation.File) []policy.Archive {
	all := make([]policy.Archive, len(files))
	for i, file := range files {
		_, waits := k.waiting[file.Base]
		all[i] = policy.Archive{Time: made(file, k.config.Now()), Part: file.Name.Part, Size: file.Allocated, Held: waits}
	}
	return all
}

// made is when an archive was made. The numbered ones of logrotate do not say, and
// those from when the clock was ahead not the truth; none was written to since. One
// of ours, of a writer that held on to what was set aside, for weeks perhaps, is as
// old as the last line in it.
func made(file rotation.File, now time.Time) time.Time {
	late := file.Name.Kind == archive.Ours && file.Modified.Sub(file.Name.Time) > heldOn
	if late || file.Name.Kind == archive.Numbered || file.Name.Time.After(now.Add(25*time.Hour)) {
		return file.Modified
	}
	return file.Name.Time
}

// heldOn is longer than it takes to let go of a file.
const heldOn = time.Hour

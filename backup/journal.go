package backup

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/inmanta/inmanta-docker/problem"
)

// Phase is how far a restore has come.
type Phase string

// The phases of a restore, in their order. What was there is as it was, and in use,
// while Loading; it is kept, and can be put back, from Swapping until Keeping.
const (
	// Loading is loading the backup beside what is there.
	Loading Phase = "loading"
	// Swapping is giving what was loaded the place of what was there.
	Swapping Phase = "swapping"
	// Starting is waiting until the orchestrator serves with it.
	Starting Phase = "starting"
	// Keeping is resuming its environments and removing what was there before.
	Keeping Phase = "keeping"
	// PuttingBack is giving what was there its place again.
	PuttingBack Phase = "putting-back"
)

// Journal is what is known of a restore that is under way: written before each
// phase begins, and gone when it is over.
type Journal struct {
	// ID is the backup's, and Where it is.
	ID    string    `json:"id"`
	Where string    `json:"where"`
	Phase Phase     `json:"phase"`
	Began time.Time `json:"began"`
	// Why is why what was there is put back; empty unless it is.
	Why string `json:"why,omitempty"`
	// Halted are the environments to be resumed when it serves.
	Halted []string `json:"halted"`
	// LeaveHalted says that they all stay halted.
	LeaveHalted bool `json:"leave_halted,omitempty"`
	// Edition is the orchestrator's that the backup is of; may be empty.
	Edition string `json:"edition,omitempty"`
	// Moment is the one of the archive that the database is brought back to, as it was
	// asked for: then there is no backup, and the state volume is left alone.
	Moment string `json:"moment,omitempty"`
}

const journalFile = "restore.json"

// UnderWay is the restore of the deployment in dir that was begun and is not over.
func UnderWay(dir string) (j Journal, ok bool, err error) {
	ok, err = read(dir, journalFile, &j)
	if err == nil && ok {
		err = j.valid(dir)
	}
	return j, ok, err
}

func (j Journal) valid(dir string) error {
	switch j.Phase {
	case Loading, Swapping, Starting, Keeping, PuttingBack:
		return nil
	}
	return problem.Problem{
		ID: "backup-notes", Where: filepath.Join(dir, Folder, journalFile), What: fmt.Sprintf("it names no phase of a restore: %q", j.Phase),
		Fix: "finish it with the version of inmanta-docker that began it",
	}
}

// Enter notes that a phase begins.
func (j *Journal) Enter(dir string, phase Phase) error {
	j.Phase = phase
	return write(dir, journalFile, *j)
}

// Over notes that there is nothing left to do.
func (j Journal) Over(dir string) error {
	folder := filepath.Join(dir, Folder)
	if err := os.Remove(filepath.Join(folder, journalFile)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("noting that the restore is over: %w", err)
	}
	return flush(folder)
}

// CutShort is the problem that a restore has to be finished first.
func (j Journal) CutShort() problem.Problem {
	what := "a restore of this backup"
	if j.Moment != "" {
		what = "bringing back the database"
	}
	why := ""
	if j.Why != "" {
		why = " (" + j.Why + ")"
	}
	return problem.Problem{
		ID: "restore-cut-short", Where: j.Where,
		What: fmt.Sprintf("%s, begun %s, was cut short while %s%s", what, j.Began.Local().Format(time.DateTime), map[Phase]string{
			Loading: "it was loaded; what was there is untouched", Swapping: "it took the place of what was there", Starting: "the orchestrator started with it",
			Keeping: "what was there before was removed", PuttingBack: "what was there before was put back",
		}[j.Phase], why),
		Fix: "go on with it: inmanta-docker restore --continue; or have what was there put back: inmanta-docker restore --put-back",
	}
}

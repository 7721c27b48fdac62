package codeserver

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// leastRoom is what a volume must have left for it not to be full, in bytes.
const leastRoom = 1 << 20

// place is a folder that people write to by way of the editor, and what its
// volume is called.
type place struct{ folder, called string }

// places are those that the sidecar looks after.
var places = []place{
	{dataFolder, settingsVolume},
	{stateFolder, "the volume with the orchestrator's environments (inmanta-server-data)"},
}

// settingsVolume is what the data volume is called.
const settingsVolume = "the volume for the editor's settings (inmanta-code-data)"

// room says whether what somebody saves there would be kept. It asks the file
// system and writes nothing: health checks ask it all the time.
func room(all []place) error {
	for _, p := range all {
		var about unix.Statfs_t
		if err := unix.Statfs(p.folder, &about); err != nil {
			return fmt.Errorf("looking at %s: %w", p.called, err)
		}
		if err := p.judge(about.Flags&unix.ST_RDONLY != 0, about.Bavail*uint64(about.Bsize)); err != nil {
			return err
		}
	}
	return nil
}

// judge is room's for one of them, with so many bytes left.
func (p place) judge(readOnly bool, left uint64) error {
	switch {
	case readOnly:
		return fmt.Errorf("%s is read-only: nothing can be saved there", p.called)
	case left < leastRoom:
		return fmt.Errorf("%s is full: nothing more can be saved there until there is room again on the engine's disk", p.called)
	}
	return nil
}

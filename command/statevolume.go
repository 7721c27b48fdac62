package command

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/compose-spec/compose-go/v2/types"

	"github.com/inmanta/inmanta-docker/backup"
	"github.com/inmanta/inmanta-docker/deployment"
	"github.com/inmanta/inmanta-docker/engine"
	"github.com/inmanta/inmanta-docker/problem"
	"github.com/inmanta/inmanta-docker/sidecar/volume"
	"github.com/inmanta/inmanta-docker/topology"
)

// stateFolder is where an orchestrator's container has its state volume.
const stateFolder = "/var/lib/inmanta"

// volumeFolder is where a container of its own has the volume that it is about.
const volumeFolder = "/volume"

// volumeOf is the volume, by its name on the engine, that a service has at a folder.
func (s survey) volumeOf(service, folder string) (name string, ok bool) {
	for _, v := range s.stack.Project.Services[service].Volumes {
		found, known := s.stack.Project.Volumes[v.Source]
		if v.Type == types.VolumeTypeVolume && known && path.Clean(v.Target) == folder {
			return found.Name, true
		}
	}
	return "", false
}

// stateVolume is the orchestrator's.
func (s survey) stateVolume() (string, error) {
	name, ok := s.volumeOf(topology.Orchestrator, stateFolder)
	if !ok {
		return "", problem.Problem{
			ID: "no-state-volume", Where: s.deployment.Dir, What: "the orchestrator has no volume at " + stateFolder + ", and only volumes are backed up",
			Fix: "use the volume of " + deployment.Base,
		}
	}
	return name, nil
}

// once is a container of its own that runs a verb of the sidecars' binary.
func (s survey) once(words ...string) (engine.Once, error) {
	helper, err := s.helper()
	return engine.Once{
		Image: s.stack.Project.Services[topology.Orchestrator].Image, Project: s.stack.Project.Name,
		Command: append([]string{sidecarPath}, words...), Files: map[string]string{helper: sidecarPath},
	}, err
}

// onState is once with the state volume.
func (s survey) onState(words ...string) (once engine.Once, name string, err error) {
	if name, err = s.stateVolume(); err == nil {
		once, err = s.once(words...)
	}
	return once, name, err
}

// owning is what it takes to give files to anybody, as they were.
var owning = []string{"CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "SETFCAP"}

// onVolume runs a verb on the state volume, which it may change, and returns what
// it prints.
func (s survey) onVolume(ctx context.Context, verb string) (string, error) {
	once, name, err := s.onState("volume", verb, volumeFolder)
	if err != nil {
		return "", err
	}
	once.Writable, once.Capabilities = map[string]string{name: volumeFolder}, owning
	result, err := s.engine.RunOnce(ctx, once)
	if err != nil {
		return "", err
	}
	if result.ExitCode != 0 {
		return "", fmt.Errorf("the volume %s: %s", name, result.Stderr)
	}
	return result.Stdout, nil
}

// room is how much of the state volume is taken, and how much there is.
func (s survey) room(ctx context.Context) (volume.Room, error) {
	var room volume.Room
	said, err := s.onVolume(ctx, "room")
	if err == nil {
		err = json.Unmarshal([]byte(said), &room)
	}
	return room, err
}

// packState writes the state volume to w.
func (s survey) packState(ctx context.Context, w io.Writer) (volume.Summary, error) {
	once, name, err := s.onState("attached", "volume", "pack", volumeFolder)
	if err != nil {
		return volume.Summary{}, err
	}
	once.Volumes = map[string]string{name: volumeFolder}
	result, err := s.engine.StreamOnce(ctx, once, nil, w)
	return summaryOf("packing the volume "+name, result, err)
}

// unpackState reads what packState wrote into the state volume, beside what is
// there, and gives to its owner what was its owner's where it was packed.
func (s survey) unpackState(ctx context.Context, from io.Reader, uid, gid int, target owner) (volume.Summary, error) {
	once, name, err := s.onState("volume", "unpack", volumeFolder,
		"--uid-from", strconv.Itoa(uid), "--uid-to", strconv.Itoa(target.uid), "--gid-from", strconv.Itoa(gid), "--gid-to", strconv.Itoa(target.gid))
	if err != nil {
		return volume.Summary{}, err
	}
	once.Writable, once.Capabilities = map[string]string{name: volumeFolder}, owning
	result, err := s.engine.StreamOnce(ctx, once, from, io.Discard)
	return summaryOf("unpacking into the volume "+name, result, err)
}

// summaryOf reads what was said last.
func summaryOf(doing string, result engine.Result, err error) (volume.Summary, error) {
	var summary volume.Summary
	switch {
	case err != nil:
	case result.ExitCode != 0:
		err = errors.New(result.Stderr)
	default:
		err = json.Unmarshal([]byte(lastOf(result.Stderr)), &summary)
	}
	if err != nil {
		return summary, fmt.Errorf("%s: %w", doing, err)
	}
	return summary, nil
}

// owner is whose the state volume is, or is to be.
type owner struct{ uid, gid int }

// lookIntoImage says whose the state volume is, and which schemas the
// orchestrator's image knows.
func (s survey) lookIntoImage(ctx context.Context) (owner, map[string]int64, error) {
	const script = `stat -c '%u %g' "$0" && { find / -xdev -path '*/db/versions/v*.py' 2>/dev/null; true; }`
	once, name, err := s.onState()
	if err != nil {
		return owner{}, nil, err
	}
	once.Command, once.Files = []string{"sh", "-c", script, volumeFolder}, nil
	once.Volumes = map[string]string{name: volumeFolder}
	result, err := s.engine.RunOnce(ctx, once)
	var o owner
	if err == nil && result.ExitCode != 0 {
		err = errors.New(result.Stderr)
	}
	if err == nil {
		_, err = fmt.Sscan(result.Stdout, &o.uid, &o.gid)
	}
	if err != nil {
		return o, nil, fmt.Errorf("looking into the image %s: %w", once.Image, err)
	}
	return o, backup.Schemas(result.Stdout), nil
}

// helper is the sidecars' binary that containers of their own run: the one that
// belongs to this command line, or the deployment's where there is none beside it.
func (s survey) helper() (string, error) {
	if own := sidecarBinary(); own != "" {
		return own, nil
	}
	path := filepath.Join(s.stack.Project.WorkingDir, deployment.SidecarFile)
	if info, err := os.Stat(path); err != nil || !info.Mode().IsRegular() {
		return "", problem.Problem{
			ID: "no-sidecar", Where: path, What: "there is no " + deployment.SidecarFile + ", which reads and writes volumes",
			Fix: "put it beside inmanta-docker, as a release has it", Err: err,
		}
	}
	return path, nil
}

// awaited is a writer that says when a line was written to it.
type awaited struct {
	line string
	seen chan struct{}
	said bytes.Buffer
	once sync.Once
	// at is when; to be read once it was seen.
	at time.Time
}

func awaitLine(line string) *awaited { return &awaited{line: line, seen: make(chan struct{})} }

// has says whether a line was written; only to be asked when nobody writes any more.
func (a *awaited) has(line string) bool {
	return slices.Contains(strings.Split(a.said.String(), "\n"), line)
}

// Write implements io.Writer.
func (a *awaited) Write(p []byte) (int, error) {
	a.said.Write(p)
	if slices.Contains(strings.Split(a.said.String(), "\n"), a.line) {
		a.once.Do(func() {
			a.at = time.Now()
			close(a.seen)
		})
	}
	return len(p), nil
}

package postgres

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/inmanta/inmanta-docker/sidecar/passwd"
	"github.com/inmanta/inmanta-docker/sidecar/privilege"
	"github.com/inmanta/inmanta-docker/sidecar/process"
)

// Run is the first process of a database container, with the server's arguments
// as the image's entrypoint takes them. It starts as root to own the volume and
// read the passwords, and is the user postgres before anything else.
func Run(server []string, log io.Writer) error {
	if len(server) > 0 && server[0] == "postgres" {
		server = server[1:]
	}
	c, err := FromEnvironment(os.Environ(), server)
	if err != nil {
		return err
	}
	account, err := passwd.Find("postgres")
	if err != nil {
		return err
	}
	if os.Getuid() != 0 {
		return fmt.Errorf("started as user %d: it takes root to own the volume; the overlay's `user:` has to stay as it is", os.Getuid())
	}
	if err := os.MkdirAll(runFolder, 0o700); err != nil {
		return err
	}
	for _, folder := range []string{c.Data, runFolder, socketFolder} {
		if err := own(folder, account.UID, account.GID); err != nil {
			return fmt.Errorf("taking over %s: %w", folder, err)
		}
	}
	if err := privilege.Leave(privilege.Identity{UID: account.UID, GID: account.GID, Groups: account.Groups}); err != nil {
		return fmt.Errorf("giving up root, without which no database is started: %w", err)
	}
	syscall.Umask(0o077)
	stop, hurry, cancel := process.UntilTold(100 * time.Second)
	defer cancel()
	return Serve(stop, hurry, c, log)
}

// own gives a folder, and all in it, to a user.
func own(folder string, uid, gid int) error {
	return filepath.WalkDir(folder, func(path string, entry fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) && path != folder {
			return nil
		}
		if err != nil {
			return err
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		if s, ok := info.Sys().(*syscall.Stat_t); ok && int(s.Uid) == uid {
			return nil
		}
		return os.Lchown(path, uid, gid)
	})
}

// Inspection is what the volume of a node that is down says.
type Inspection struct {
	Record *Record `json:"record,omitempty"`
	// Cluster is that there is one, of this version, system and timeline.
	Cluster  bool     `json:"cluster"`
	Version  string   `json:"version,omitempty"`
	System   string   `json:"system,omitempty"`
	Timeline uint32   `json:"timeline,omitempty"`
	End      Position `json:"end"`
	// Clean is that its server was stopped in its own time.
	Clean bool `json:"clean"`
	// Alone is that it was last started without its pair.
	Alone bool `json:"alone"`
}

// Inspect prints what a volume says whose node is down, as JSON.
func Inspect(ctx context.Context, folder string, out io.Writer) error {
	v := volume(folder)
	record, known, err := readRecord(filepath.Dir(v.own(recordFile)))
	if err != nil {
		return err
	}
	i := Inspection{Cluster: v.hasCluster(), Alone: v.ranAlone()}
	if known {
		i.Record = &record
	}
	if i.Cluster {
		version, err := os.ReadFile(filepath.Join(folder, versionFile))
		if err != nil {
			return err
		}
		i.Version = strings.TrimSpace(string(version))
		made, err := control(ctx, &process.Nursery{}, Config{Init: os.Environ()}, folder)
		if err != nil {
			return err
		}
		i.System, i.Timeline, i.End, i.Clean = made.System, made.Timeline, made.end(), made.clean()
	}
	return json.NewEncoder(out).Encode(i)
}

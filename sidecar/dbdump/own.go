package dbdump

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/inmanta/inmanta-docker/sidecar/dumps"
)

// give gives the dumps that are in a folder away: another image may have another
// user of the same name.
func give(folder, deployment string, uid, gid int) error {
	entries, err := os.ReadDir(folder)
	if err != nil {
		return fmt.Errorf("listing the folder: %w", err)
	}
	for _, entry := range entries {
		if kind, _, _ := dumps.Parse(deployment, entry.Name()); kind == dumps.Others || !entry.Type().IsRegular() {
			continue
		}
		if err := os.Lchown(filepath.Join(folder, entry.Name()), uid, gid); err != nil {
			return fmt.Errorf("taking over %s: %w", entry.Name(), err)
		}
	}
	return nil
}

package hostfolder

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
)

// A folder that is the user's stays as it is; one that is not there is none.
func TestTake(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	if err := os.Chmod(folder, 0o711); err != nil {
		t.Fatal(err)
	}
	given := errors.New("it was given away")
	give := func(int) error { return given }
	if err := Take(folder, os.Args[0], os.Getuid(), give); err != nil {
		t.Error(err)
	}
	if info, err := os.Stat(folder); err != nil || info.Mode().Perm() != 0o711 {
		t.Errorf("it has become %v, %v", info, err)
	}
	if err := Take(filepath.Join(folder, "none"), os.Args[0], os.Getuid(), give); err == nil || errors.Is(err, given) {
		t.Errorf("one that is not there: %v", err)
	}
}

func TestRoomAndSync(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	if err := Sync(folder); err != nil {
		t.Error(err)
	}
	if room, err := Room(folder); err != nil || room <= 0 {
		t.Errorf("it has %d, %v", room, err)
	}
	none := filepath.Join(folder, "none")
	if _, err := Room(none); err == nil || Sync(none) == nil {
		t.Error("one that is not there has room, or is on the disk")
	}
}

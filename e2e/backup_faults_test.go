package e2e

import (
	"bufio"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A disk that is too small for a backup, and one that is for what is restored:
// nothing is left of the attempt, and what was there goes on.
func TestBackupOnAFullDisk(t *testing.T) {
	t.Parallel()
	s := newFragile(t)
	disk, resize := s.smallDisk("100m")
	state, target := filepath.Join(disk, "state"), filepath.Join(disk, "backups")
	for _, folder := range []string{state, target} {
		if err := os.Mkdir(folder, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	s.write("small.yml", `volumes:
  inmanta-server-data:
    driver_opts: {type: none, o: bind, device: "`+state+`"}
`)
	s.set("COMPOSE_FILE", "docker-compose.yml:small.yml")
	s.must("up")
	r := &rotator{stack: s, beside: s.server()}
	r.environment("precious")
	s.docker("exec", s.server(), "dd", "if=/dev/urandom", "of=/var/lib/inmanta/precious", "bs=1M", "count=40")
	made := s.backedUp()

	// For the backup there is room until it is nearly done.
	s.docker("exec", s.server(), "dd", "if=/dev/urandom", "of=/var/lib/inmanta/more", "bs=1M", "count=25")
	s.fails(1, []string{"the disk is full", target}, "backup", target+"/")
	if left, err := os.ReadDir(target); err != nil || len(left) > 0 {
		t.Errorf("of a backup that failed there is %v, %v", left, err)
	}
	s.has("after a backup that failed", "precious")
	s.docker("exec", s.server(), "rm", "/var/lib/inmanta/more")

	s.fails(1, []string{"the state volume has", "free of the"}, "restore", "--replace", made.Where)
	s.has("after a restore that failed", "precious")
	if got := s.docker("exec", s.server(), "ls", "-A", "/var/lib/inmanta"); strings.Contains(got, "restore") || !strings.Contains(got, "precious") {
		t.Errorf("the state volume has %s", got)
	}
	resize("300m")
	s.must("restore", "--replace", made.Where)
	s.has("with room", "precious")
	s.complete()
}

// restoreCutShort has something die at a step of a restore.
func (m *machine) restoreCutShort(backup, step, death string) {
	m.s.t.Helper()
	restore := m.command("exec inmanta-docker restore --replace " + backup)
	events, err := restore.StderrPipe()
	if err == nil {
		err = restore.Start()
	}
	if err != nil {
		m.s.t.Fatal(err)
	}
	died := false
	var all []string
	for lines := bufio.NewScanner(events); lines.Scan(); {
		all = append(all, lines.Text())
		if fields := strings.Fields(lines.Text()); !died && len(fields) > 2 && fields[1] == "Restore" && fields[2] == step {
			died = true
			m.run(death) // it may end the shell, too
		}
	}
	if err := restore.Wait(); err == nil || !died {
		m.s.t.Fatalf("%s: the restore ends with %v\n%s", step, err, strings.Join(all, "\n"))
	}
}

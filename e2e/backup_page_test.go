package e2e

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

const backupPage = "../docs/backup.md"

// The operator's book of backups, from its first command to its last, with a real
// S3 server.
func TestBackupPage(t *testing.T) {
	t.Parallel()
	s := newFragile(t)
	g := newGate(t)
	s.must("up")
	r := &rotator{stack: s, beside: s.server()}
	r.environment("kept")
	elsewhere := t.TempDir()
	for name, value := range storage(t) {
		s.set(name, value)
	}
	once := regexp.MustCompile(`^/containers/create$`)
	cutShort := func() {
		s.killed(g, moment{name: "swapping", method: "POST", path: once, nth: 4}, "restore", "--replace", filepath.Join(elsewhere, "before-upgrade.inmanta-backup"))
	}
	before := map[string]func(){
		"inmanta-docker restore --continue":                                           cutShort,
		"inmanta-docker restore --put-back":                                           cutShort,
		"inmanta-docker restore /mnt/backups/before-upgrade.inmanta-backup --replace": func() { r.environment("after") },
	}
	after := map[string]func(){
		"inmanta-docker restore /mnt/backups/before-upgrade.inmanta-backup --replace": func() { s.has("restored,", "kept") },
		"inmanta-docker restore --continue":                                           func() { s.has("gone on with,", "kept") },
		"inmanta-docker restore --put-back":                                           func() { s.has("put back,", "kept") },
	}
	here := strings.NewReplacer("/mnt/backups", elsewhere, "/etc/systemd/system", elsewhere, "inmanta-db ", s.db()+" ")
	lines := 0
	for _, block := range fenced(t, backupPage, "bash") {
		for _, line := range commands(block) {
			lines++
			if prepare := before[line]; prepare != nil {
				prepare()
			}
			if r := s.sh("cd " + s.dir + "; " + here.Replace(line)); r.code != 0 {
				t.Fatalf("%s: exit code %d\n%s%s", line, r.code, r.stdout, r.stderr)
			}
			if check := after[line]; check != nil {
				check()
			}
		}
	}
	if lines < 20 {
		t.Errorf("the page has only %d commands", lines)
	}
	s.has("at the end", "kept")
	unit, err := os.ReadFile(filepath.Join(elsewhere, "inmanta-backup-"+s.name+".timer"))
	if err != nil || !strings.Contains(string(unit), "OnCalendar=daily") {
		t.Errorf("the timer is %s, %v", unit, err)
	}
}

// storage is a real S3 server with a bucket "backups", as the settings that lead
// there.
func storage(t *testing.T) map[string]string {
	t.Helper()
	server, err := exec.Command("../store/needs", "where").Output()
	if err != nil {
		t.Fatalf("no S3 server; `make test` builds it: %v", err)
	}
	folder := t.TempDir()
	for _, name := range []string{"data/backups", "about"} {
		if err := os.MkdirAll(filepath.Join(folder, name), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	address := fmt.Sprintf("127.0.0.1:%d", freePort(t))
	serving := exec.Command(strings.TrimSpace(string(server)), "--access", "operator", "--secret", "open sesame", "--port", address, "--quiet",
		"posix", "--sidecar", filepath.Join(folder, "about"), filepath.Join(folder, "data"))
	if err := serving.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = serving.Process.Kill()
		_ = serving.Wait()
	})
	for began := time.Now(); ; time.Sleep(5 * time.Millisecond) {
		conn, err := net.Dial("tcp", address)
		if err == nil {
			_ = conn.Close()
			break
		}
		if time.Since(began) > 20*time.Second {
			t.Fatalf("the S3 server does not listen: %v", err)
		}
	}
	return map[string]string{
		"AWS_ENDPOINT_URL": "http://" + address, "AWS_REGION": "us-east-1", "AWS_ACCESS_KEY_ID": "operator", "AWS_SECRET_ACCESS_KEY": "open sesame",
	}
}

package command

import (
	"strings"
	"testing"

	"github.com/inmanta/inmanta-docker/deployment"
)

func TestTimerUnits(t *testing.T) {
	t.Parallel()
	service, timer := timerUnits("/srv/a", "/srv/50% off", "Mon..Fri 02:00", []string{"/usr/bin/inmanta-docker", "backup", "/mnt/my backups/", "--keep", "14", `$HOME "a\b"`})
	for _, want := range []string{
		"WorkingDirectory=/srv/50%% off\n", `ExecStart="/usr/bin/inmanta-docker" "backup" "/mnt/my backups/" "--keep" "14" "$$HOME \"a\\b\""` + "\n", "Type=oneshot\n",
	} {
		if !strings.Contains(service, want) {
			t.Errorf("the service lacks %q:\n%s", want, service)
		}
	}
	for _, want := range []string{"OnCalendar=Mon..Fri 02:00\n", "Persistent=true\n", "WantedBy=timers.target\n"} {
		if !strings.Contains(timer, want) {
			t.Errorf("the timer lacks %q:\n%s", want, timer)
		}
	}
}

// What is backed up at night is what was meant when that was asked for, and not what
// the folder's .env alone leads to.
func TestBackupWords(t *testing.T) {
	t.Parallel()
	got := backupWords("/bin/i", "other", deployment.Request{
		ProjectDirectory: "/srv/a", Files: []string{"docker-compose.yml", "own.yml"}, With: []string{"ssh"}, EnvFiles: []string{"e"},
		Composing: deployment.Composing{Profiles: []string{"p"}, Compatibility: true},
	}, []string{"b/", "--keep", "3"})
	want := "/bin/i --project-name other --project-directory /srv/a --file docker-compose.yml --file own.yml --with ssh --env-file e --profile p --compatibility backup b/ --keep 3"
	if strings.Join(got, " ") != want {
		t.Errorf("it is %q", got)
	}
	if got := backupWords("/bin/i", "a", deployment.Request{}, nil); strings.Join(got, " ") != "/bin/i --project-name a backup" {
		t.Errorf("of nothing it is %q", got)
	}
}

func TestTriesBackup(t *testing.T) {
	t.Parallel()
	for line, want := range map[string]string{
		"":                                   "",
		"/mnt/backups/ --keep 14":            "",
		"s3://a/b/ --recipient age1x":        "",
		"--kept 14":                          "unknown flag: --kept",
		"--passphrase":                       "nobody is there",
		"one two":                            "accepts at most 1 arg",
		"--keep many":                        "invalid argument",
		"--max-age 720h --online -- /a/file": "",
	} {
		err := (&app{}).triesBackup(strings.Fields(line))
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%q: %v", line, err)
		}
	}
}

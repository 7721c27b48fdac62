package command

import (
	"strings"
	"testing"
)

func TestTimerUnits(t *testing.T) {
	t.Parallel()
	service, timer := timerUnits("/srv/50% off", "/usr/bin/inmanta-docker", "Mon..Fri 02:00", []string{"/mnt/my backups/", "--keep", "14", `$HOME "a\b"`})
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

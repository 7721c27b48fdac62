package modelinit

import (
	"slices"
	"strings"
	"testing"
)

func TestLocalCopy(t *testing.T) {
	t.Parallel()
	for from, want := range map[string]string{
		"--exclude=.git --delete -e /bin/x -rl a/ orchestrator:/b/": "--exclude=.git --delete -rl a/ /b/",
		"--rsh=x -rl orchestrator:/b/ a/":                           "-rl /b/ a/",
		"--rsh x -rl a:b /c:d/":                                     "-rl b /c:d/",
		"-r --delete a:b/ c/":                                       "-r --delete a:b/ c/",
		"--filter=:-x -e x a h:b":                                   "--filter=:-x a b",
		"-e":                                                        "",
	} {
		if got := strings.Join(LocalCopy(strings.Fields(from)), " "); got != want {
			t.Errorf("%s becomes %s, want %s", from, got, want)
		}
	}
}

func TestOutside(t *testing.T) {
	t.Parallel()
	got := outside([]string{"VIRTUAL_ENV=/v", "PATH=/v/bin:/usr/bin:/v/binary", "PYTHONPATH=/x", "PYTEST_CURRENT_TEST=x", reportVariable + "=3", "INMANTA_LSM_HOST=server"})
	if want := []string{"PATH=/usr/bin:/v/binary", "INMANTA_LSM_HOST=server"}; !slices.Equal(got, want) {
		t.Errorf("outside there is %v, want %v", got, want)
	}
}

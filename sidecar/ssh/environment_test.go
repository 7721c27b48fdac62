package ssh

import (
	"slices"
	"strings"
	"testing"
)

func TestLastOfANameCounts(t *testing.T) {
	t.Parallel()
	got := with([]string{"A=1", "B=1", "A=2"}, "B=2", "C=1", "B=3")
	if want := []string{"A=2", "C=1", "B=3"}; !slices.Equal(got, want) {
		t.Errorf("%s, want %s", got, want)
	}
}

func FuzzAcceptable(f *testing.F) {
	f.Add("LANG", "C.UTF-8")
	f.Add("LC_\x00", "x")
	f.Add("TZ", ":/etc/passwd")
	f.Add("LD_PRELOAD", "/x.so")
	f.Fuzz(func(t *testing.T, name, value string) {
		if !acceptable(name, value) {
			return
		}
		if strings.ContainsAny(name, "=\x00\n") || strings.ContainsRune(value, 0) || len(value) > longestVariable {
			t.Errorf("%q=%q", name, value)
		}
		for _, never := range []string{"LD_", "BASH", "PYTHON", "INMANTA", "PATH", "SSH_", "IFS", "ENV"} {
			if strings.HasPrefix(name, never) {
				t.Errorf("%q=%q", name, value)
			}
		}
	})
}

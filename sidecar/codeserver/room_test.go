package codeserver

import (
	"strings"
	"testing"
)

func TestRoom(t *testing.T) {
	t.Parallel()
	here := place{t.TempDir(), "the volume of this test"}
	if err := room([]place{here}); err != nil {
		t.Errorf("where there is room: %v", err)
	}
	for name, c := range map[string]struct {
		places []place
		says   string
	}{
		// Of which the kernel says that there is no room at all.
		"full":    {[]place{here, {"/proc", "the second"}}, "the second is full"},
		"missing": {[]place{{"/no/such/folder", "the first"}, here}, "looking at the first: no such file"},
	} {
		if err := room(c.places); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v, want %q", name, err, c.says)
		}
	}
	for name, c := range map[string]struct {
		readOnly bool
		left     uint64
		says     string
	}{
		"read-only":       {true, 1 << 40, "is read-only"},
		"and full, too":   {true, 0, "is read-only"},
		"a byte to spare": {false, leastRoom, ""},
		"a byte short":    {false, leastRoom - 1, "is full"},
	} {
		err := here.judge(c.readOnly, c.left)
		if c.says == "" != (err == nil) || err != nil && !strings.Contains(err.Error(), here.called+" "+c.says) {
			t.Errorf("%s: %v, want %q", name, err, c.says)
		}
	}
}

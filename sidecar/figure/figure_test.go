package figure

import (
	"testing"
	"time"
)

func TestFigures(t *testing.T) {
	t.Parallel()
	for n, want := range map[int64]string{0: "0 B", 1023: "1023 B", 1024: "1.0 KiB", 1536 << 10: "1.5 MiB", 1 << 40: "1.0 TiB", 1 << 60: "1048576.0 TiB"} {
		if got := Bytes(n); got != want {
			t.Errorf("%d is %s, want %s", n, got, want)
		}
	}
	if got := Time(time.Date(2026, 11, 27, 1, 2, 3, 0, time.FixedZone("", 3600))); got != "2026-11-27 00:02Z" {
		t.Error(got)
	}
	if got := Time(time.Time{}); got != "-" {
		t.Error(got)
	}
}

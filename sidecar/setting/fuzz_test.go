package setting

import (
	"fmt"
	"strings"
	"testing"
)

func FuzzSize(f *testing.F) {
	for _, text := range []string{"0", "1", "100k", "10M", "1G", "8589934591G", "8589934592G", "010", "k", "", "1.5M", "-1", "+1", "١"} {
		f.Add(text)
	}
	factors := map[string]int64{"": 1, "k": 1 << 10, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30}
	f.Fuzz(func(t *testing.T, text string) {
		size, fault := Size(text)
		if fault != nil {
			return
		}
		// What was read, written again, is what was written.
		unit := strings.TrimLeft(text, "0123456789")
		factor, is := factors[unit]
		if !is || size < 0 || size%factor != 0 || fmt.Sprintf("%d%s", size/factor, unit) != text {
			t.Errorf("%q is %d", text, size)
		}
	})
}

package peer

import (
	"net/netip"
	"testing"
)

func TestSource(t *testing.T) {
	t.Parallel()
	for address, want := range map[string]string{
		"192.0.2.7:80": "192.0.2.7", "[::ffff:192.0.2.7]:80": "192.0.2.7", "[2001:db8:1:2:3::4]:80": "2001:db8:1:2::",
		"[2001:db8:1:2::9]:81": "2001:db8:1:2::", "[fe80::1%eth0]:80": "fe80::", "[::1]:1": "::",
	} {
		if got := Source(address); got != netip.MustParseAddr(want) {
			t.Errorf("%s comes from %s, want %s", address, got, want)
		}
	}
	for _, address := range []string{"", "@", "192.0.2.7", "host:80"} {
		if got := Source(address); got.IsValid() {
			t.Errorf("%q comes from %s", address, got)
		}
	}
}

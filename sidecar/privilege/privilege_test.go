package privilege

import (
	"os"
	"strings"
	"testing"
)

var inmanta = Identity{UID: 997, GID: 995, Groups: []int{995}}

// status is /proc/PID/status of a guarded process, but for changes.
func status(changes ...string) string {
	text := `Name:	inmanta-sidecar
Umask:	0022
State:	S (sleeping)
Uid:	64022	997	64022	997
Gid:	995	995	995	995
Groups:	995 
CapInh:	0000000000000000
CapPrm:	0000000000000000
CapEff:	0000000000000000
CapBnd:	0000000000000000
CapAmb:	0000000000000000
NoNewPrivs:	1
Seccomp:	2
`
	return strings.NewReplacer(changes...).Replace(text)
}

func TestPowerless(t *testing.T) {
	t.Parallel()
	if err := powerless(status(), inmanta, GuardUID); err != nil {
		t.Error(err)
	}
	for name, c := range map[string]struct{ from, to, says string }{
		"root for real":           {"64022	997	64022	997", "0	997	64022	997", "Uid"},
		"root kept":               {"64022	997	64022	997", "64022	997	0	997", "Uid"},
		"root for files":          {"64022	997	64022	997", "64022	997	64022	0", "Uid"},
		"the user for real":       {"64022	997	64022	997", "997	997	64022	997", "Uid"},
		"the user kept":           {"64022	997	64022	997", "64022	997	997	997", "Uid"},
		"root's group":            {"995	995	995	995", "0	995	995	995", "Gid"},
		"a capability":            {"CapEff:	0000000000000000", "CapEff:	0000000000000080", "CapEff"},
		"one to come back with":   {"CapBnd:	0000000000000000", "CapBnd:	000001ffffffffff", "CapBnd"},
		"one to inherit":          {"CapInh:	0000000000000000", "CapInh:	0000000000000001", "CapInh"},
		"one permitted":           {"CapPrm:	0000000000000000", "CapPrm:	0000000000000001", "CapPrm"},
		"one ambient":             {"CapAmb:	0000000000000000", "CapAmb:	0000000000000001", "CapAmb"},
		"new privileges":          {"NoNewPrivs:	1", "NoNewPrivs:	0", "NoNewPrivs"},
		"nothing said of some":    {"CapAmb:	0000000000000000\n", "", "does not say all"},
		"nothing said":            {status(), "", "does not say all"},
		"something else is said":  {"NoNewPrivs:	1", "NoNewPrivs:	yes", "NoNewPrivs"},
		"a name that is a status": {"Name:	inmanta-sidecar", "Name:	x\\nNoNewPrivs: 1\nNoNewPrivs:	0", "NoNewPrivs"},
	} {
		if err := powerless(status(c.from, c.to), inmanta, GuardUID); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: it says %v, want %s", name, err, c.says)
		}
	}
}

func FuzzPowerless(f *testing.F) {
	f.Add(status())
	f.Add("Uid:\nGid\n:")
	f.Fuzz(func(t *testing.T, text string) {
		if powerless(text, inmanta, GuardUID) == nil && !strings.Contains(text, "64022") {
			t.Errorf("%q is powerless", text)
		}
	})
}

func TestGuardServesNobodyAsRoot(t *testing.T) {
	t.Parallel()
	for _, id := range []Identity{{UID: 0, GID: 995}, {UID: 997, GID: 0}, {}} {
		if err := Guard(id); err == nil {
			t.Fatalf("%+v is served", id)
		}
	}
	if os.Getuid() != 0 {
		if err := Guard(inmanta); err == nil || !strings.Contains(err.Error(), "only root") {
			t.Fatalf("without root it says %v", err)
		}
	}
}

package e2e

import (
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// ssh-audit finds what is offered to be just what a policy of ours says: a
// change of it is a change of that file. It has a sidecar of its own, because
// to that it is somebody who keeps failing to log in.
func TestSSHAudit(t *testing.T) {
	t.Parallel()
	s := newSidecar(t)
	s.alone()
	policy, err := filepath.Abs("testdata/ssh/policy.txt")
	if err != nil {
		t.Fatal(err)
	}
	audit := s.python("ssh-audit") + " --no-colors --skip-rate-test "
	if got := s.ok(fmt.Sprintf("%s -P %s -p %d 127.0.0.1", audit, policy, s.sshPort)); !strings.Contains(got, "Passed") {
		t.Errorf("ssh-audit says\n%s", got)
	}
	// Of what ssh-audit by itself calls weak, there is what the policy gives a reason for.
	weak := regexp.MustCompile(`(?m)^\([a-z]+\) (\S+) .*\[(fail|warn)\]`)
	var found []string
	for _, match := range weak.FindAllStringSubmatch(s.sh(fmt.Sprintf("%s -p %d 127.0.0.1", audit, s.sshPort)).stdout, -1) {
		found = append(found, match[1])
	}
	if want := []string{"curve25519-sha256", "curve25519-sha256@libssh.org", "ecdsa-sha2-nistp256"}; !slices.Equal(found, want) {
		t.Errorf("ssh-audit calls %q weak, and reasons are given for %q", found, want)
	}
}

package e2e

import (
	"fmt"
	"path/filepath"
)

// sshAudit is the ssh-audit program, under a policy of ours: what it offers is
// just that, and a change of it is a change of that file.
func sshAudit(s *sidecar) {
	policy, err := filepath.Abs("testdata/ssh/policy.txt")
	if err != nil {
		s.t.Fatal(err)
	}
	s.says(s.ok(fmt.Sprintf("%s --no-colors -P %s -p %d 127.0.0.1", s.python("ssh-audit"), policy, s.sshPort)), "Passed")
}

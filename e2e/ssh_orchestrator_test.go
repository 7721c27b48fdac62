package e2e

import (
	"fmt"
	"net/http"
	"path/filepath"
	"strings"
)

// inmantaCLI is the orchestrator's own client in a session: it knows where the
// orchestrator is without being told.
func inmantaCLI(s *sidecar) {
	project := s.project("over-ssh")
	if err := s.call(http.MethodPut, "/api/v2/environment", "", map[string]string{"project_id": project, "name": "made-over-ssh"}, nil); err != nil {
		s.t.Fatal(err)
	}
	s.says(s.ok("ssh sidecar inmanta-cli environment list"), "made-over-ssh")
	// And what it logs is there, too.
	s.says(s.ok("ssh sidecar cat /var/log/inmanta/server.log"), "inmanta")
	s.says(s.ok("ssh sidecar "+quoted("bash -l -c 'inmanta-cli environment list'")), "made-over-ssh")
	at := s.sit(40, 160, "ssh sidecar")
	at.types("inmanta-cli environment list; echo en''ded $?\r")
	at.sees("made-over-ssh")
	at.sees("ended 0\r\n")
	at.types("exit\r")
	at.leaves(0)
}

// remoteOrchestrator is pytest-inmanta-lsm's own code, which carries a project
// over, has it installed and exports it. Only what it would do next with the
// commercial extension is not done.
func remoteOrchestrator(s *sidecar) {
	bin, err := pythonClients()
	if err != nil {
		s.t.Fatal(err)
	}
	data, err := filepath.Abs("testdata/ssh/lsm")
	if err != nil {
		s.t.Fatal(err)
	}
	rsync := s.t.TempDir()
	s.ok("cp -L $(command -v rsync) $(ldd $(command -v rsync) | grep -o '/[^ ]*') " + rsync)
	name := s.name + "-developer"
	s.finally("docker rm -f " + name)
	run := []string{"docker run --rm --network host --user 0:0 --entrypoint /from/lsm/run --name", name}
	for there, here := range map[string]string{"key": s.client + "/id_ed25519", "known_hosts": s.client + "/known_hosts", "rsync": rsync, "wheels": filepath.Join(filepath.Dir(bin), "lsm"), "lsm": data} {
		run = append(run, "-v", here+":/from/"+there+":ro")
	}
	s.says(s.ok(strings.Join(append(run, orchestratorImage(), fmt.Sprint(s.port), fmt.Sprint(s.sshPort)), " ")), "pytest-inmanta-lsm is served")
}

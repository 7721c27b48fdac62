package e2e

import (
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
)

// pythonClients is the bin of the virtual environment with the clients from PyPI.
var pythonClients = sync.OnceValues(func() (string, error) {
	var said strings.Builder
	where := exec.Command("./clients", "where")
	where.Stderr = &said
	dir, err := where.Output()
	if err != nil {
		return "", fmt.Errorf("%s", strings.TrimSpace(said.String()))
	}
	return filepath.Join(strings.TrimSpace(string(dir)), "bin"), nil
})

// python is the path of one of those programs.
func (s *sidecar) python(program string) string {
	s.t.Helper()
	bin, err := pythonClients()
	if err != nil {
		s.t.Fatal(err)
	}
	return filepath.Join(bin, program)
}

// script runs one of testdata/ssh's Python programs against the sidecar.
func (s *sidecar) script(name, says string) {
	s.t.Helper()
	local, remote := s.room()
	path, err := filepath.Abs(filepath.Join("testdata", "ssh", name))
	if err != nil {
		s.t.Fatal(err)
	}
	s.prints(fmt.Sprintf("TMPDIR=%s %s %s %d client/id_ed25519 client/known_hosts %s", local, s.python("python"), path, s.sshPort, remote), says)
}

func paramikoClient(s *sidecar) { s.script("paramiko_client.py", "paramiko is served") }
func asyncsshClient(s *sidecar) { s.script("asyncssh_client.py", "asyncssh is served") }

// ansibleClient is Ansible, whose ways of bringing its modules over all differ.
func ansibleClient(s *sidecar) {
	local, remote := s.room()
	playbook, err := filepath.Abs("testdata/ssh/ansible/playbook.yml")
	if err != nil {
		s.t.Fatal(err)
	}
	s.ok("head -c 3000000 /dev/urandom > " + local + "/blob; : > " + local + "/ansible.cfg; printf '[all]\nsidecar\nabsent ansible_host=127.0.0.1 ansible_port=1\n' > " + local + "/inventory")
	ansible := fmt.Sprintf("cd %s && export HOME=%[1]s ANSIBLE_CONFIG=%[1]s/ansible.cfg ANSIBLE_NOCOLOR=1 ANSIBLE_SSH_CONTROL_PATH_DIR=%[1]s/c ANSIBLE_SSH_ARGS='-C -o ControlMaster=auto -o ControlPersist=5s' ANSIBLE_REMOTE_TEMP=%s/tmp && ", local, remote)
	run := func(variables string) {
		s.t.Helper()
		there := remote + "/" + strings.NewReplacer("=", "-", "ANSIBLE_", "").Replace(variables)
		s.ok(ansible + "rm -f blob.back && " + variables + " " + s.python("ansible-playbook") + " -i inventory -l sidecar -e blob=" + local + "/blob -e room=" + there + " " + playbook)
		s.prints("cmp "+local+"/blob "+local+"/blob.back && ssh sidecar 'stat -c %a "+there+"; sha256sum < "+there+"/blob'", "750\n"+s.ok("sha256sum < "+local+"/blob"))
	}
	run("ANSIBLE_PIPELINING=true")
	run("ANSIBLE_PIPELINING=false")
	module := ansible + s.python("ansible") + " -i inventory "
	for _, method := range []string{"scp", "piped"} {
		s.says(s.ok("export ANSIBLE_SSH_TRANSFER_METHOD="+method+" ANSIBLE_PIPELINING=false; "+module+"sidecar -m copy -a 'src=blob dest="+remote+"/"+method+"'"), "CHANGED")
		s.prints("ssh sidecar sha256sum < "+local+"/blob", s.ok("ssh sidecar 'sha256sum < "+remote+"/"+method+"'"))
	}
	// A command that fails is not a host that cannot be reached.
	s.ends(2, module+"sidecar -m command -a 'sh -c \"exit 255\"'", "rc=255")
	s.ends(4, module+"absent -m ping", "UNREACHABLE")
}

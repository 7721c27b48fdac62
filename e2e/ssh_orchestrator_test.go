package e2e

import (
	"fmt"
	"net/http"
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
	s.says(s.ok("ssh sidecar "+quoted("bash -l -c 'inmanta-cli environment list'")), "made-over-ssh")
	at := s.sit(40, 160, "ssh sidecar")
	at.types("inmanta-cli environment list; echo en''ded $?\r")
	at.sees("made-over-ssh")
	at.sees("ended 0\r\n")
	at.types("exit\r")
	at.leaves(0)
}

// remoteOrchestrator is what pytest-inmanta-lsm 4.3.1 runs (its
// remote_orchestrator.py, by name of the method), with the remote shell that it
// makes of ssh_user and ssh_port. The package itself needs the commercial
// extension to be imported.
func remoteOrchestrator(s *sidecar) {
	local, _ := s.room()
	const environment = "719c7ad5-6657-444b-b536-a27174cb7498"
	remote := "/var/lib/inmanta/server/" + environment + "/compiler"
	shell := fmt.Sprintf("ssh -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -p %d -l inmanta", s.sshPort)
	// run_command: `sh`, and the command on its standard input.
	command := func(line string) string {
		s.t.Helper()
		return s.ok(shell + " 127.0.0.1 sh <<'END' 2>/dev/null\n" + line + "\nEND")
	}
	inShell := func(line string) string {
		s.t.Helper()
		return command("bash -l -c " + quoted(line))
	}

	// remote_user: anything else and it would want sudo.
	if got := command("whoami"); got != "inmanta" {
		s.t.Fatalf("whoami is %q", got)
	}
	// remote_project_path
	if got := inShell("if test -f /var/lib/inmanta/.inmanta_disk_layout_version; then echo True ; fi"); got != "True" {
		s.t.Errorf("the disk layout is %q", got)
	}
	// sync_project_folder: the project without its modules, then each module.
	s.ok("mkdir -p " + local + "/project/.git " + local + "/project/libs/skipped " + local + "/project/__pycache__ " + local + "/module/model " + local + "/module/.git && cd " + local +
		" && echo '[config]' > project/.inmanta && echo 'import std' > project/main.cf && echo '*.log' > project/.gitignore && echo x > project/ignored.log && ln -s main.cf project/link && echo x > project/libs/skipped/x && echo x > project/__pycache__/x && echo x > module/model/_init.cf && echo x > module/.git/x")
	sync := func(from, to string, excludes ...string) {
		s.t.Helper()
		command("mkdir -p " + to)
		line := "rsync --exclude=.git "
		if s.sh("test -e "+from+"/.gitignore").code == 0 {
			line = "rsync --filter=':- " + from + "/.gitignore' --exclude=.git "
		}
		for _, exclude := range excludes {
			line += "--exclude=" + quoted(exclude) + " "
		}
		s.ok(line + "--delete -e '" + shell + "' -rl " + from + "/ 127.0.0.1:" + to + "/ 2>/dev/null")
	}
	excludes := []string{".env", "env", ".cfcache", "__pycache__", ".env-py*", "libs"}
	sync(local+"/project", remote, excludes...)
	if got := inShell("cd " + remote + " && find . | sort"); got != ".\n./.gitignore\n./.inmanta\n./link\n./main.cf" {
		s.t.Errorf("after the first synchronisation there is\n%s", got)
	}
	command("mkdir -p " + remote + "/.git")
	sync(local+"/module", remote+"/libs/hello", "__pycache__")
	sync(local+"/module", remote+"/libs/other", "__pycache__")
	inShell("cd " + remote + "/libs && mkdir -p hello/.git -p other/.git")
	inShell("cd " + remote + "/libs && find . -maxdepth 1 ! -name hello ! -name . ! -name .. -exec rm -rf {} +")
	// What is excluded is not taken away either: neither libs nor the environment beside it.
	inShell("mkdir -p " + remote + "/.env/bin && touch " + remote + "/.env/bin/python " + remote + "/stale")
	sync(local+"/project", remote, excludes...)
	if got := inShell("cd " + remote + " && find . | sort"); got != ".\n./.env\n./.env/bin\n./.env/bin/python\n./.git\n./.gitignore\n./.inmanta\n./libs\n./libs/hello\n./libs/hello/.git\n./libs/hello/model\n./libs/hello/model/_init.cf\n./link\n./main.cf" {
		s.t.Errorf("after the second synchronisation there is\n%s", got)
	}
	// cache_libs_folder and restore_libs_folder: rsync between two directories there.
	libs, cache := remote+"/libs", remote+"_cache/libs"
	inShell("mkdir -p " + libs + " " + cache + " && rsync -r --delete " + libs + "/ " + cache + "/")
	inShell("rm -r " + libs + "/hello/model && mkdir -p " + libs + "/extra")
	inShell("mkdir -p " + libs + " " + cache + " && rsync -r --delete " + cache + "/ " + libs + "/")
	if got := inShell("cd " + libs + " && find . | sort"); got != ".\n./hello\n./hello/.git\n./hello/model\n./hello/model/_init.cf" {
		s.t.Errorf("after caching and restoring there is\n%s", got)
	}
	// clear_environment(soft=True) moves the project out of the way, and back.
	inShell("mkdir -p " + remote + " && rm -rf " + remote + "_cache && mv " + remote + " " + remote + "_cache")
	inShell("mkdir -p " + remote + "_cache && rm -rf " + remote + " && mv " + remote + "_cache " + remote)
	// install_project and export_service_entities, in a container: the server's variables and interpreter.
	got := inShell("cd " + remote + " && PROJECT_PATH=" + remote + " lsm_no_instances=true /opt/inmanta/bin/python -c 'import inmanta.app, os; print(os.environ[\"PROJECT_PATH\"], os.environ[\"INMANTA_CONFIG_STATE_DIR\"])'")
	if got != remote+" /var/lib/inmanta" {
		s.t.Errorf("the installation runs with %q", got)
	}
	// A command that fails is told from one that did not get there, with what it said.
	if r := s.ends(9, shell+" 127.0.0.1 sh <<'END'\nbash -l -c 'echo why; echo because >&2; exit 9'\nEND"); r.stdout != "why\n" || !strings.Contains(r.stderr, "because\n") {
		s.t.Errorf("a failing command says %q and %q", r.stdout, r.stderr)
	}
	// What was sent is the orchestrator's own user's.
	if owner := s.docker("exec", s.server(), "stat", "-c", "%U:%G", remote+"/main.cf"); owner != "inmanta:inmanta" {
		s.t.Errorf("what was sent belongs to %s", owner)
	}
	inShell("rm -rf /var/lib/inmanta/server/" + environment)
}

package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// tree makes a directory of everything that file names and files can be, but
// links: scp and sftp follow those, and say so of one that leads nowhere.
func (s *sidecar) tree(dir string) {
	s.t.Helper()
	s.ok(`mkdir -p ` + dir + `/deep/er "` + dir + `/with space" && cd ` + dir + `
		echo plain > plain; : > empty; head -c 3000000 /dev/urandom > large
		echo quotes > "it's \"quoted\""; echo accents > ünïcodé; echo star > 'a*b[c]?'; echo dash > -dash; echo hidden > .hidden
		printf 'two\n' > "with space/in it"; echo deep > deep/er/est
		printf '#!/bin/sh\necho run\n' > program; chmod 755 program; chmod 600 plain; chmod 444 empty
		for i in $(seq 40); do echo $i > deep/$i; done
		touch -d 2001-02-03T04:05:06 plain "with space/in it"`)
}

// linked is tree with symbolic links.
func (s *sidecar) linked(dir string) {
	s.t.Helper()
	s.tree(dir)
	s.ok("cd " + dir + " && ln -s ../plain deep/link && ln -s nowhere broken && ln -s / root")
}

// fingerprint lists what is in a directory: kinds, modes, contents and targets.
func fingerprint(dir string) string {
	return `cd ` + dir + ` && find . -not -name . \( -type l -printf '%P -> %l\n' -o -type d -printf '%P/\n' -o -printf '%m ' -exec sha256sum {} \; \) | LC_ALL=C sort`
}

// alike fails the scenario unless what is here in a directory is what is there.
func (s *sidecar) alike(what, local, remote string) {
	s.t.Helper()
	here, there := s.ok(fingerprint(local)), s.ok("ssh sidecar "+quoted(fingerprint(remote)))
	if here != there {
		s.t.Errorf("%s: here is\n%s\nand there is\n%s", what, here, there)
	}
}

// sftpClient is OpenSSH's sftp: every verb it has.
func sftpClient(s *sidecar) {
	local, remote := s.room()
	s.tree(local + "/tree")
	batch := func(code int, commands ...string) result {
		s.t.Helper()
		return s.ends(code, "cd "+local+" && sftp -q -b - sidecar <<'END'\n"+strings.Join(commands, "\n")+"\nEND")
	}
	batch(0, "cd "+remote, "put -Rp tree", "get -Rp tree back")
	s.alike("sftp put -R", local+"/tree", remote+"/tree")
	s.prints("diff -r "+local+"/tree "+local+"/back && echo same", "same")
	s.prints("stat -c '%a %Y' "+local+"/back/plain", "600 "+s.ok("date -d 2001-02-03T04:05:06 +%s"))
	s.prints("ssh sidecar stat -c %Y "+remote+"/tree/plain", s.ok("date -d 2001-02-03T04:05:06 +%s"))

	r := batch(0, "cd "+remote, "pwd", "mkdir made", "put tree/plain made/one", "rename made/one made/two", "ln -s two made/soft", "ln made/two made/hard",
		"chmod 640 made/two", "ls -1 made", "ls -la made", "df made", "put -f tree/large made/large", "rm made/hard", "ls -1 made")
	s.says(r.stdout, "Remote working directory: "+remote, "hard", "soft", "-rw-r-----", "lrwxrwxrwx", "Avail")
	if _, last, _ := strings.Cut(r.stdout, "rm made/hard"); strings.Contains(last, "hard") {
		s.t.Errorf("what rm removed is still listed:\n%s", r.stdout)
	}
	s.prints("ssh sidecar 'cd "+remote+"/made && readlink soft && stat -c %a two && ls'", "two\n640\nlarge\nsoft\ntwo")
	// rename over a file that is there is what editors save with.
	batch(0, "cd "+remote+"/made", "put "+local+"/tree/program other", "rename other two", "get two "+local+"/two")
	s.ok("cmp " + local + "/two " + local + "/tree/program")
	// A transfer that was cut is taken up where it stopped.
	s.ok("head -c 1000000 " + local + "/tree/large > " + local + "/part && ssh sidecar 'head -c 1234567 " + remote + "/tree/large > " + remote + "/part'")
	batch(0, "reget "+remote+"/tree/large part", "reput tree/large "+remote+"/part")
	s.ok("cmp " + local + "/part " + local + "/tree/large && ssh sidecar cmp " + remote + "/part " + remote + "/tree/large")
	// Patterns are the server's files.
	r = batch(0, "ls -1 "+remote+"/tree/deep/1?")
	if strings.Count(r.stdout, "/tree/deep/1") != 10+1 { // sftp repeats the command
		s.t.Errorf("1? lists\n%s", r.stdout)
	}
	batch(0, "rm "+remote+"/made/*", "rmdir "+remote+"/made")

	// What cannot be is said, and ends the batch.
	for command, words := range map[string]string{
		"get " + remote + "/absent":                      "not found",
		"put tree/plain " + remote + "/absent/here":      "No such file",
		"put tree/plain /etc/inmanta-docker-e2e":         "denied",
		"get /etc/shadow":                                "denied",
		"rmdir " + remote + "/tree":                      "Failure",
		"mkdir " + remote + "/tree":                      "Failure",
		"rename " + remote + "/absent " + remote + "/be": "No such file",
		"ls " + remote + "/absent":                       "not found",
		"cd " + remote + "/tree/plain":                   "Can't change directory",
	} {
		if r := batch(1, command); !strings.Contains(r.stderr, words) {
			s.t.Errorf("sftp's %s says %q, not %q", command, r.stderr, words)
		}
	}
	// Many requests at once, of the largest size the client will send.
	s.ok("cd " + local + " && head -c 60000000 /dev/urandom > much && sftp -q -R 256 -B 261120 -b - sidecar <<<'put much " + remote + "/much\nget " + remote + "/much back-much' && cmp much back-much")
}

// ownSCP is a folder inside with our far side of scp's old protocol: the image's
// own, where it has one, is what a client is served by.
func (s *sidecar) ownSCP() string {
	s.t.Helper()
	_, remote := s.room()
	s.ok("ssh sidecar 'mkdir -p " + remote + "-bin && ln -sf /usr/local/bin/inmanta-sidecar " + remote + "-bin/scp'")
	return remote + "-bin"
}

// scpClient is OpenSSH's scp, over sftp and in the old way: with whatever scp is
// there, and with ours.
func scpClient(s *sidecar) {
	local, remote := s.room()
	s.tree(local + "/plain")
	private, public := s.key(local, "own", "-t ed25519")
	s.allow("own-scp", `command="PATH=`+s.ownSCP()+`:$PATH; exec bash -c \"$SSH_ORIGINAL_COMMAND\"" `+public)
	for flag, name := range map[string]string{"": "new", "-O ": "old", "-O -i " + private + " ": "ours"} {
		there := remote + "/" + name
		s.ok("ssh sidecar mkdir " + there)
		s.ok("cd " + local + " && scp -q " + flag + "-rp plain sidecar:" + there)
		s.alike("scp "+flag+"-rp", local+"/plain", there+"/plain")
		s.prints("ssh sidecar stat -c %Y "+there+"/plain/plain", s.ok("date -d 2001-02-03T04:05:06 +%s"))
		s.ok("cd " + local + " && mkdir " + name + " && scp -q " + flag + "-rp sidecar:" + there + "/plain " + name)
		s.prints("cd "+local+" && diff -r plain "+name+"/plain && stat -c '%a %Y' "+name+"/plain/plain", "600 "+s.ok("date -d 2001-02-03T04:05:06 +%s"))
		// One to a name, one to a directory, several, and by pattern.
		s.ok("cd " + local + " && scp -q " + flag + "plain/large sidecar:" + there + "/renamed && scp -q " + flag + "plain/empty plain/program sidecar:" + there)
		s.prints("ssh sidecar 'cd "+there+" && cmp renamed plain/large && ls'", "empty\nplain\nprogram\nrenamed")
		s.ok("cd " + local + " && mkdir " + name + "/some && scp -q " + flag + "'sidecar:" + there + "/plain/deep/1?' " + name + "/some")
		s.prints("ls "+local+"/"+name+"/some | wc -l", "10")
		// Relative paths are relative to home.
		s.ok("cd " + local + " && scp -q " + flag + "plain/program sidecar: && scp -q " + flag + "sidecar:program " + name + "/home && cmp plain/program " + name + "/home && ssh sidecar rm program")
		// And what cannot be is said.
		absent := map[string]string{"new": "No such file", "old": "o such file", "ours": "no such file"}[name]
		s.ends(1, "scp -q "+flag+"sidecar:"+remote+"/absent "+local, absent)
		s.ends(1, "scp -q "+flag+local+"/plain/program sidecar:/etc/inmanta-docker-e2e", "ermission denied")
		s.ends(1, "scp -q "+flag+"sidecar:"+there+" "+local, "not a regular file")
	}
	// From one remote side to another, by way of here.
	s.ok("scp -q -3 sidecar:" + remote + "/new/renamed sidecar:" + remote + "/third && ssh sidecar cmp " + remote + "/new/renamed " + remote + "/third")
}

// rsyncClient is rsync, of which the image has none.
func rsyncClient(s *sidecar) {
	local, remote := s.room()
	s.linked(local + "/tree")
	there := remote + "/tree"
	rsync := "cd " + local + " && rsync "
	s.ok(rsync + "-a tree sidecar:" + remote + "/")
	s.alike("rsync -a", local+"/tree", there)
	s.prints("ssh sidecar stat -c %Y "+there+"/plain", s.ok("date -d 2001-02-03T04:05:06 +%s"))
	s.ok(rsync + "-a sidecar:" + there + "/ back/")
	s.prints("cd "+local+" && diff -r --no-dereference tree back && stat -c '%a %Y' back/plain", "600 "+s.ok("date -d 2001-02-03T04:05:06 +%s"))
	// Nothing has changed, so nothing is sent.
	s.prints(rsync+"-ai tree sidecar:"+remote+"/", "")
	s.prints(rsync+"-ai sidecar:"+there+"/ back/", "")

	// A little of a large file has changed, and only that little goes over.
	s.ok("cd " + local + "/tree && printf changed | dd of=large bs=1 seek=1500000 conv=notrunc status=none && touch -d 2020-01-01 large")
	sent := s.ok(rsync + "-a --stats tree sidecar:" + remote + "/ | sed -n 's/^Literal data: \\([0-9,]*\\).*/\\1/p' | tr -d ,")
	if len(sent) > 5 {
		s.t.Errorf("for seven bytes that changed, %s were sent", sent)
	}
	s.alike("rsync of a change", local+"/tree", there)
	s.ok("ssh sidecar 'printf more >> " + there + "/large'")
	sent = s.ok(rsync + "-a --stats sidecar:" + there + "/ back/ | sed -n 's/^Literal data: \\([0-9,]*\\).*/\\1/p' | tr -d ,")
	if len(sent) > 5 {
		s.t.Errorf("for four bytes that were added, %s came", sent)
	}
	s.prints("cmp "+local+"/back/large <(ssh sidecar cat "+there+"/large) && echo same", "same")

	// --delete takes away what is not here, but for what is excluded; -n only says so.
	s.ok("ssh sidecar 'cd " + there + " && echo x > extra && mkdir -p kept.d gone.d/er && echo x > kept.d/x && echo x > gone.d/er/x && echo x > notes.bak'")
	want := "*deleting gone.d/\n*deleting gone.d/er/\n*deleting gone.d/er/x\n*deleting extra"
	lines := func(text string) string { return s.ok("sort -u <<'END' | tr -s ' '\n" + text + "\nEND") }
	if got := s.ok(rsync + "-ain --delete --exclude=kept.d --exclude='*.bak' tree/ sidecar:" + there + "/ | grep deleting"); lines(got) != lines(want) {
		s.t.Errorf("rsync -n --delete says\n%s", got)
	}
	s.ok("ssh sidecar test -e " + there + "/extra")
	s.ok(rsync + "-rl --delete --exclude=kept.d --exclude='*.bak' tree/ sidecar:" + there + "/")
	s.prints("ssh sidecar 'cd "+there+" && ls -d extra gone.d kept.d notes.bak 2>/dev/null || true'", "kept.d\nnotes.bak")
	s.ok(rsync + "-rl --delete --delete-excluded tree/ sidecar:" + there + "/")
	s.prints("cd "+local+" && find tree | wc -l", s.ok("ssh sidecar 'cd "+remote+" && find tree | wc -l'"))
	s.ok(rsync + "-a --delete sidecar:" + there + "/deep/ back/ && test ! -e " + local + "/back/plain && test -e " + local + "/back/er/est")

	// By checksum, compressed, in place, through a partial directory, with a limit, with names from a list.
	for _, flags := range []string{"-rlc", "-az", "-a --inplace", "-aP", "-a --whole-file", "-rlt --size-only", "-aH --numeric-ids", "-a --no-owner --no-group --chmod=F640"} {
		there := remote + "/" + strings.NewReplacer(" ", "", "-", "", "=", "", ".", "").Replace(flags)
		s.ok(rsync + flags + " tree/deep sidecar:" + there + "/")
		s.ok(rsync + flags + " sidecar:" + there + "/deep/ again/ && diff -r --no-dereference tree/deep again && rm -r again")
	}
	s.prints(rsync+"-a --files-from=- tree/ sidecar:"+remote+"/listed <<<$'plain\\ndeep/7' && ssh sidecar 'cd "+remote+"/listed && find . -type f | sort'", "./deep/7\n./plain")
	// One file, to another name; and a list of what is there.
	s.ok(rsync + "tree/program sidecar:" + remote + "/one && ssh sidecar cmp " + remote + "/one " + there + "/program")
	s.says(s.ok(rsync+"sidecar:"+there+"/"), "program", "deep")

	// And what cannot be is said, by rsync's own codes.
	s.ends(23, rsync+"-a sidecar:"+remote+"/absent "+local, "No such file")
	s.ends(3, rsync+"-a absent sidecar:"+remote+"/ 2>&1 || (exit 3)", "No such file")
	if r := s.sh(rsync + "-a tree/program sidecar:/etc/inmanta-docker-e2e"); r.code == 0 || !strings.Contains(r.stderr, "ermission denied") {
		s.t.Errorf("rsync to where nobody may write: exit code %d\n%s", r.code, r.stderr)
	}
	if r := s.sh(rsync + "-a tree sidecar:" + there + "/program/"); r.code == 0 {
		s.t.Errorf("rsync into a file: exit code %d\n%s%s", r.code, r.stdout, r.stderr)
	}
}

// rsyncInside is rsync between two directories of one session, which
// pytest-inmanta-lsm uses to keep its caches.
func rsyncInside(s *sidecar) {
	local, remote := s.room()
	s.linked(local + "/tree")
	s.ok("tar c -C " + local + " tree | ssh sidecar tar x -C " + remote)
	from, to := remote+"/tree", remote+"/cache/libs"
	s.ok("ssh sidecar " + quoted("bash -l -c 'mkdir -p "+to+" && rsync -r --delete "+from+"/deep/ "+to+"/'"))
	s.ok("ssh sidecar " + quoted("cd "+remote+" && diff -r --no-dereference tree/deep/er cache/libs/er && test $(ls cache/libs | wc -l) = 41 && test ! -e cache/libs/link"))
	s.ok("ssh sidecar 'rm " + from + "/deep/7; echo new > " + from + "/deep/new; echo old > " + to + "/old; rsync -r --delete " + from + "/deep/ " + to + "/'")
	s.prints("ssh sidecar 'cd "+to+" && cat new; ls -d 7 old 2>&1 | grep -c cannot'", "new\n2")
}

// gitClient is git with a bare repository on the volume.
func gitClient(s *sidecar) {
	local, remote := s.room()
	git := "cd " + local + " && export GIT_CONFIG_GLOBAL=/dev/null GIT_AUTHOR_NAME=x GIT_AUTHOR_EMAIL=x@y GIT_COMMITTER_NAME=x GIT_COMMITTER_EMAIL=x@y; "
	s.ok("ssh sidecar git init -q --bare -b main " + remote + "/model.git")
	s.ok(git + "git init -q -b main model && cd model && head -c 2000000 /dev/urandom > blob && git add . && git commit -qm one && git push -q sidecar:" + remote + "/model.git main")
	url := fmt.Sprintf("ssh://%s@127.0.0.1:%d%s/model.git", sidecarUser, s.sshPort, remote)
	s.ok(git + "git clone -q " + url + " clone && cmp model/blob clone/blob")
	s.ok(git + "cd clone && echo two > two && git add . && git commit -qm two && git push -q && cd ../model && git pull -q sidecar:" + remote + "/model.git main && cat two")
	s.prints(git+"git ls-remote "+url+" main | cut -f1", s.ok(git+"git -C clone rev-parse HEAD"))
	// The variable that asks for version 2 of git's protocol gets through.
	s.says(s.ok(git+"GIT_TRACE_PACKET=1 git -c protocol.version=2 ls-remote "+url+" 2>&1"), "version 2")
	s.ends(128, git+"git ls-remote sidecar:"+remote+"/absent.git", "does not appear to be a git repository")
	// As the orchestrator sees it, the repository is its own user's.
	s.prints("docker exec "+s.server()+" git -C "+remote+"/model.git log --format=%s main", "two\none")
}

// sshfsClient is sshfs, where this machine lets anybody mount one.
func sshfsClient(s *sidecar) {
	local, remote := s.room()
	if why := mountable(s.t); why != "" {
		// Not a skip: that reads as passed. Whoever reads the output is told, and nothing is claimed.
		fmt.Fprintf(os.Stderr, "e2e: sshfs was NOT RUN against the ssh sidecar: this machine does not let anybody mount with FUSE: %s\n", why)
		return
	}
	mount := filepath.Join(local, "mount")
	s.ok("mkdir " + mount)
	s.finally("fusermount3 -u -z " + mount)
	s.ok("sshfs sidecar:" + remote + " " + mount)
	s.tree(local + "/tree")
	s.ok("cp -R --preserve=mode " + local + "/tree " + mount + "/")
	s.alike("through sshfs", local+"/tree", remote+"/tree")
	s.prints("diff -r "+local+"/tree "+mount+"/tree && echo same", "same")
	// What an editor does to a file: write beside it, flush it, rename over it.
	s.ok("cd " + mount + " && echo saved > .plain.swp && sync .plain.swp && mv .plain.swp tree/plain && cat tree/plain")
	s.prints("ssh sidecar cat "+remote+"/tree/plain", "saved")
	s.ok("cd " + mount + " && ln tree/plain hard && ln -s tree/plain soft && chmod 700 hard && truncate -s 1000 hard && touch -d 2001-02-03T04:05:06 hard && rm -r tree/deep && mkdir sub && rmdir sub && df . && dd if=/dev/urandom of=seek bs=4k count=10 seek=1000 status=none")
	s.prints("ssh sidecar 'cd "+remote+" && stat -c \"%a %s %h %Y\" hard; readlink soft; test -e tree/deep || echo gone; stat -c %s seek'", "700 1000 2 "+s.ok("date -d 2001-02-03T04:05:06 +%s")+"\ntree/plain\ngone\n4136960")
	s.ends(1, "ls "+mount+"/absent 2>&1 || exit 1", "No such file")
	s.ok("fusermount3 -u " + mount)
}

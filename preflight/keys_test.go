package preflight

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	"github.com/inmanta/inmanta-docker/deployment"
	"github.com/inmanta/inmanta-docker/progress"
)

const (
	alice = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIBGMv/XUFsCykgUlFlMcNN7yN8Z76gLooGiuPOVkQSwp alice@desk"
	bob   = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIKr/MZ8iXeGOrE1o/E1ro0+4Z72Aj6cozgUB8fIt7u7p bob"

	sshOverlay = "docker-compose.ssh.yml"
)

// sshLab is a lab with the ssh sidecar.
func sshLab(t *testing.T) *lab {
	return newLab(t).with(sshOverlay)
}

// checked are the problems and warnings of the lab's files alone, with all else
// as it should be.
func (l *lab) checked(problems, warnings []want) {
	l.Helper()
	d, s := l.open()
	looked, _ := Gather(context.Background(), at(l.T, "unix://"+l.dir+"/no.sock"), s, d, progress.Discard)
	f := fine(s)
	f.KeyFiles, f.RotationFiles, f.Now = looked.KeyFiles, looked.RotationFiles, looked.Now
	f.DumpFolderIrregular, f.ArchiveFolderIrregular = looked.DumpFolderIrregular, looked.ArchiveFolderIrregular
	f.Sidecar = &deployment.Sidecar{Path: filepath.Join(l.dir, deployment.SidecarFile), Digest: "d", Processor: "amd64"}
	gotProblems, gotWarnings := Check(d, s, f)
	l.expect("problem", gotProblems, problems...)
	l.expect("warning", gotWarnings, warnings...)
}

func TestAuthorizedKeysOfTheVariable(t *testing.T) {
	const variable = "the shell's INMANTA_AUTHORIZED_KEYS"
	for name, c := range map[string]struct {
		env, shell, overlay string
		problems, warnings  []want
	}{
		"none":                         {problems: []want{{"keys-missing", "INMANTA_AUTHORIZED_KEYS", "nobody could log in", ".env; or leave docker-compose.ssh.yml out"}}},
		"empty":                        {env: "INMANTA_AUTHORIZED_KEYS=\n", problems: []want{{"keys-missing", "INMANTA_AUTHORIZED_KEYS", "nobody could log in", "ssh-keygen"}}},
		"only remarks":                 {env: "INMANTA_AUTHORIZED_KEYS='\n# nobody yet\n'\n", problems: []want{{"keys-missing", "INMANTA_AUTHORIZED_KEYS", "nobody could log in", "ssh-keygen"}}},
		"one, as the README writes it": {env: "INMANTA_AUTHORIZED_KEYS=" + alice + "\n"},
		"two, in quotes":               {env: "INMANTA_AUTHORIZED_KEYS='" + alice + "\n" + bob + "'\n"},
		"two, in the shell":            {shell: alice + "\n" + bob},
		"options":                      {env: `INMANTA_AUTHORIZED_KEYS='restrict,pty,from="10.0.0.0/8",command="echo $HOME" ` + alice + "'\n"},
		"the README's placeholder": {
			env:      "INMANTA_NAME=lab\nINMANTA_AUTHORIZED_KEYS=ssh-rsa ...\n",
			problems: []want{{"key-invalid", ".env:2", "INMANTA_AUTHORIZED_KEYS: ", ""}},
		},
		"a broken one among good ones": {
			env:      "INMANTA_NAME=lab\nINMANTA_AUTHORIZED_KEYS='" + alice + "\nssh-ed25519 AAAA carol\n" + bob + "'\n",
			problems: []want{{"key-invalid", ".env:3", "INMANTA_AUTHORIZED_KEYS, line 2: ", ""}},
		},
		"several broken ones": {
			env: "INMANTA_AUTHORIZED_KEYS='restict " + alice + "\nssh-ed25519 AAAA carol'\n",
			problems: []want{
				{"key-invalid", ".env:1", "INMANTA_AUTHORIZED_KEYS, line 1: ", ""},
				{"key-invalid", ".env:2", "INMANTA_AUTHORIZED_KEYS, line 2: ", ""},
			},
		},
		"broken in the shell": {
			env: "INMANTA_AUTHORIZED_KEYS=" + alice + "\n", shell: bob + "\n~/.ssh/id_rsa.pub",
			problems: []want{{"key-invalid", variable, "INMANTA_AUTHORIZED_KEYS, line 2: ", ""}},
		},
		"each added with its own name": {
			env:      "INMANTA_AUTHORIZED_KEYS=" + alice + "\nINMANTA_NAME=lab\nINMANTA_AUTHORIZED_KEYS=" + bob + "\n",
			warnings: []want{{"keys-overwritten", ".env:1", "set again in line 3, and only that counts", "one a line, between single quotes"}},
		},
		"one that has expired": {
			env:      "INMANTA_AUTHORIZED_KEYS='" + bob + "\nexpiry-time=\"20200101Z\" " + alice + "'\n",
			warnings: []want{{"key-expired", ".env:2", "INMANTA_AUTHORIZED_KEYS, line 2: this key has expired", "expiry-time"}},
		},
		"all have expired": {
			env:      "INMANTA_AUTHORIZED_KEYS='expiry-time=\"20200101Z\" " + alice + "'\n",
			problems: []want{{"keys-missing", "INMANTA_AUTHORIZED_KEYS", "nobody could log in", "ssh-keygen"}},
			warnings: []want{{"key-expired", ".env:1", "INMANTA_AUTHORIZED_KEYS: this key has expired", "expiry-time"}},
		},
		"one that has time yet": {env: "INMANTA_AUTHORIZED_KEYS='expiry-time=\"29990101Z\" " + alice + "'\n"},
		"of the user's own overlay": {
			overlay:  "services:\n  ssh:\n    environment:\n      INMANTA_AUTHORIZED_KEYS: ssh-rsa nonsense\n",
			problems: []want{{"key-invalid", "own.yml:4", "INMANTA_AUTHORIZED_KEYS: ", ""}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			l := sshLab(t).write(map[string]string{".env": c.env})
			if c.shell != "" {
				l.request.Environ = []string{"INMANTA_AUTHORIZED_KEYS=" + c.shell}
			}
			if c.overlay != "" {
				l.write(map[string]string{"own.yml": c.overlay}).with("own.yml")
			}
			l.checked(c.problems, c.warnings)
		})
	}
}

// Key files that the user's own overlay gives the sidecar count as the variable does.
func TestAuthorizedKeysInFiles(t *testing.T) {
	const (
		file   = "services: {ssh: {volumes: ['./keys:/etc/inmanta-sidecar/authorized_keys:ro']}}\n"
		folder = "services: {ssh: {volumes: ['./keys.d:/etc/inmanta-sidecar/authorized_keys.d:ro']}}\n"
		above  = "services: {ssh: {volumes: ['./sidecar:/etc/inmanta-sidecar:ro']}}\n"
		single = "services: {ssh: {volumes: ['./alice.pub:/etc/inmanta-sidecar/authorized_keys.d/alice:ro']}}\n"
		volume = "services: {ssh: {volumes: ['keys:/etc/inmanta-sidecar/authorized_keys.d']}}\nvolumes: {keys: {}}\n"
		config = "services: {ssh: {configs: [{source: keys, target: /etc/inmanta-sidecar/authorized_keys}]}}\nconfigs: {keys: {content: \"" + alice + "\\nnonsense\"}}\n"
		ours   = "services: {ssh: {configs: [{source: keys, target: /etc/inmanta-sidecar/authorized_keys}]}}\nconfigs: {keys: {file: ./keys}}\n"
		secret = "services: {ssh: {secrets: [{source: keys, target: /etc/inmanta-sidecar/authorized_keys}]}}\nsecrets: {keys: {environment: MY_KEYS}}\n"
	)
	none := []want{{"keys-missing", "INMANTA_AUTHORIZED_KEYS", "nobody could log in", "ssh-keygen"}}
	for name, c := range map[string]struct {
		overlay  string
		files    map[string]string
		arrange  func(dir string) error
		problems []want
	}{
		"a file":                        {overlay: file, files: map[string]string{"keys": "# us\n" + alice + "\n"}},
		"a file that is not there":      {overlay: file, problems: none},
		"an empty file":                 {overlay: file, files: map[string]string{"keys": "\n"}, problems: none},
		"a broken line":                 {overlay: file, files: map[string]string{"keys": alice + "\nssh-rsa\n"}, problems: []want{{"key-invalid", "keys:2", "", ""}}},
		"a folder":                      {overlay: folder, files: map[string]string{"keys.d/alice": alice, "keys.d/.hidden": "nonsense", "keys.d/more/x": "nonsense"}},
		"a broken line in a folder":     {overlay: folder, files: map[string]string{"keys.d/alice": alice, "keys.d/bob.pub": bob + "\n\nbob"}, problems: []want{{"key-invalid", "keys.d/bob.pub:3", "", ""}}},
		"an empty folder":               {overlay: folder, files: map[string]string{"keys.d/.keep": ""}, problems: none},
		"one file for a folder":         {overlay: single, files: map[string]string{"alice.pub": alice}},
		"the folder above":              {overlay: above, files: map[string]string{"sidecar/authorized_keys": alice, "sidecar/authorized_keys.d/bob": "bob"}, problems: []want{{"key-invalid", "sidecar/authorized_keys.d/bob:1", "", ""}}},
		"a volume, which nobody reads":  {overlay: volume},
		"a text of the compose files":   {overlay: config, problems: []want{{"key-invalid", "own.yml:2", "configs.keys, line 2: ", ""}}},
		"a file of the compose files":   {overlay: ours, files: map[string]string{"keys": bob}},
		"a text of the environment":     {overlay: secret, files: map[string]string{".env": "MY_KEYS='" + bob + "'\n"}},
		"a folder in the place of file": {overlay: file, files: map[string]string{"keys/bob": bob}},
		"a file of root's only": {
			overlay: file, files: map[string]string{"keys": alice}, arrange: func(dir string) error { return os.Chmod(dir+"/keys", 0o600) },
			problems: []want{{"keys-unreadable", "keys", "(uid 997) may not read", "chmod a+rX"}},
		},
		"a folder of root's only": {
			overlay: folder, files: map[string]string{"keys.d/alice": alice}, arrange: func(dir string) error { return os.Chmod(dir+"/keys.d", 0o700) },
			problems: []want{{"keys-unreadable", "keys.d", "(uid 997) may not read", "chmod a+rX"}},
		},
		"a link out of the folder": {
			overlay: folder, files: map[string]string{"keys.d/alice": alice, "bob": bob}, arrange: func(dir string) error { return os.Symlink("../bob", dir+"/keys.d/bob") },
			problems: []want{{"keys-irregular", "keys.d/bob", "no file that its container can see", "put a file"}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			l := sshLab(t).write(map[string]string{"own.yml": c.overlay}).write(c.files).with("own.yml")
			for name := range c.files {
				if err := os.Chmod(filepath.Join(l.dir, name), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			if c.arrange != nil {
				if err := c.arrange(l.dir); err != nil {
					t.Fatal(err)
				}
			}
			l.checked(c.problems, nil)
		})
	}
}

// Of files on another machine nothing is known, so nothing is held against anybody.
func TestAuthorizedKeysOnAnotherMachine(t *testing.T) {
	l := sshLab(t).write(map[string]string{"own.yml": "services: {ssh: {volumes: ['./keys:/etc/inmanta-sidecar/authorized_keys']}}\n"}).with("own.yml")
	d, s := l.open()
	problems, _ := Check(d, s, fine(s))
	l.expect("problem", problems)
}

// The port of the ssh sidecar is one like the orchestrator's.
func TestPortOfTheSidecar(t *testing.T) {
	keys := "INMANTA_AUTHORIZED_KEYS=" + alice + "\n"
	for name, c := range map[string]struct {
		env      string
		facts    Facts
		problems []want
	}{
		"no such port":            {env: "INMANTA_SSH_SIDECAR_PORT=0\n", problems: []want{{"setting-invalid", ".env:2", "INMANTA_SSH_SIDECAR_PORT: port 0 does not exist", ""}}},
		"the orchestrator's port": {env: "INMANTA_SSH_SIDECAR_PORT=8888\n", problems: []want{{"port-twice", ".env:2", "the services server and ssh both want port 8888", "or at INMANTA_ORCHESTRATOR_PORT (default)"}}},
		"its port elsewhere":      {env: "INMANTA_SSH_SIDECAR_PORT=8888\nINMANTA_SSH_SIDECAR_IP=127.0.0.2\n"},
		"held by a process":       {facts: Facts{Sockets: map[Endpoint]Socket{endpoint(t, "127.0.0.1:2222", tcp): {PID: 17, Command: "sshd"}}}, problems: []want{{"port-taken", "INMANTA_SSH_SIDECAR_PORT (default)", "port 127.0.0.1:2222 is taken by the process sshd (pid 17)", "set INMANTA_SSH_SIDECAR_PORT to a free port"}}},
		"held by another's":       {facts: Facts{Containers: []Container{{Name: "x-ssh-sidecar", Project: "x", Service: "ssh", Dir: "/srv/x", Running: true, Published: []Endpoint{endpoint(t, "127.0.0.1:2222", tcp)}}}}, problems: []want{{"port-taken", "INMANTA_SSH_SIDECAR_PORT (default)", "taken by the container x-ssh-sidecar of the project x (/srv/x)", "docker stop x-ssh-sidecar"}}},
		"held by its own":         {facts: Facts{Containers: []Container{{Name: "inmanta-ssh-sidecar", Project: "lab", Service: "ssh", Running: true, Published: []Endpoint{endpoint(t, "127.0.0.1:2222", tcp)}}}}},
		"an address not of here":  {env: "INMANTA_SSH_SIDECAR_IP=192.0.2.1\n", facts: Facts{Sockets: map[Endpoint]Socket{endpoint(t, "192.0.2.1:2222", tcp): {NotHere: true}}}, problems: []want{{"ip-not-here", ".env:2", "192.0.2.1 is not an address of this host", "set INMANTA_SSH_SIDECAR_IP to"}}},
		"its name is taken":       {facts: Facts{Containers: []Container{{Name: "inmanta-ssh-sidecar"}}}, problems: []want{{"container-name-taken", "INMANTA_NAME (default)", "already has the name inmanta-ssh-sidecar", "docker rm inmanta-ssh-sidecar"}}},
		"held on every address":   {facts: Facts{Sockets: map[Endpoint]Socket{endpoint(t, "127.0.0.1:2222", tcp): {}}}, problems: []want{{"port-taken", "INMANTA_SSH_SIDECAR_PORT (default)", "taken by another process", "ss -lptun 'sport = :2222'"}}},
	} {
		t.Run(name, func(t *testing.T) {
			l := sshLab(t).write(map[string]string{".env": keys + c.env})
			d, s := l.open()
			f := fine(s)
			f.Containers, f.Sockets = c.facts.Containers, c.facts.Sockets
			problems, warnings := Check(d, s, f)
			l.expect("problem", problems, c.problems...)
			l.expect("warning", warnings)
		})
	}
}

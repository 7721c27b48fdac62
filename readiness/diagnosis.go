package readiness

import (
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
	"sync"
)

// Cause is why something does not serve, as far as that is known.
type Cause struct {
	// ID is a stable name for scripts: "database-password"; "unknown" when
	// nothing that is known fits.
	ID string `json:"id"`
	// What is one sentence of cause; empty when unknown.
	What string `json:"what,omitempty"`
	// Fix is one sentence of what to do; empty when unknown.
	Fix string `json:"fix,omitempty"`
	// Line is the line it was read from; empty where it was not a line.
	Line string `json:"line,omitempty"`

	// hopeless causes stay, however often it is tried again.
	hopeless bool
	// client says that the line is about whoever the container refused.
	client bool
}

// unknown is the ID of a cause that is not known.
const unknown = "unknown"

// Evidence is all that a cause is told from.
type Evidence struct {
	// Container is the one that fails; zero when the engine refused before there was one.
	Container Container
	// Log is what it wrote in its last run, to the engine and to its own log file.
	Log []string
	// Needed is what the containers it waits for wrote since it was started.
	Needed []string
	// Engine is what the engine or Compose refused with.
	Engine string
}

// source is where a line was found.
type source uint8

const (
	own    source = 1 << iota // the container's own log
	needed                    // the log of one that it waits for
	refuse                    // the engine's refusal
)

// rule knows one cause by a line. In what and fix, $1 and $2 are what the
// pattern captured.
type rule struct {
	id       string
	in       source
	pattern  *regexp.Regexp
	what     string
	fix      string
	hopeless bool
}

const (
	passwordFix = "set INMANTA_DATABASE_PASSWORD in .env to the password the database volume was made with, or change the user's password in the database"
	versionFix  = "set POSTGRESQL_VERSION=$1 (and POSTGRESQL_IMAGE, where it is set, to an image of that version); to move to $2, dump the database with $1 and restore the dump into an empty volume"
	spaceFix    = "free some space (docker system df shows what the engine holds), then start it again; nothing needs to be restored"
	memoryFix   = "give it more memory, or stop what else needs it; PostgreSQL and the orchestrator want 2 GB between them"
	portFix     = "stop what uses it, or choose another port or address in .env (INMANTA_ORCHESTRATOR_PORT, INMANTA_ORCHESTRATOR_IP, or the sidecar's own)"
	imageFix    = "use an image for this machine's kind of CPU, or build one here: inmanta-docker image build"
	ownerFix    = "give the volume back to the user of the container's image, or restore it with its owners (docker volume inspect shows where it is)"
)

// rules are tried in this order: those that say most come first. Their patterns
// take a millisecond to compile, which only those who wait need.
var rules = sync.OnceValue(func() []rule {
	return []rule{
		// The sidecars' binary, and what it says.
		{"sidecar-platform", own, regexp.MustCompile(`exec \S*/inmanta-sidecar: exec format error`),
			"the sidecars' binary is made for another kind of CPU", "replace inmanta-docker and inmanta-sidecar with those of the release archive for this machine", true},
		{"sidecar-missing", refuse, regexp.MustCompile(`bind source path does not exist: (\S*/inmanta-sidecar)$`),
			"the sidecars' binary is not there: $1", "copy inmanta-sidecar there from the archive that inmanta-docker came from; in a checkout: make build", true},
		{"sidecar-permission", refuse, regexp.MustCompile(`exec: "\S*/inmanta-sidecar": permission denied`),
			"the sidecars' binary cannot be executed: what is mounted is a directory, or lacks the permission, or lies on a file system without it",
			"put inmanta-sidecar beside the compose files again, as a file with mode 755, on a file system that is not mounted noexec", true},
		{"image-foreign", own, regexp.MustCompile(`the image has no user (\S+), so it is not an orchestrator's`),
			"its image is not an orchestrator's: it has no user $1", "set INMANTA_ORCHESTRATOR_IMAGE to an image of the orchestrator", true},
		{"keys-missing", own, regexp.MustCompile(`no key is authorized: nobody can log in`),
			"no key is authorized, so nobody can log in over ssh",
			"put your public keys into INMANTA_AUTHORIZED_KEYS in .env, one a line between single quotes, or into the files that are mounted for it", true},
		{"host-keys", own, regexp.MustCompile(`host key (\S+) (?:can be read by others|is not a private key|is of another kind|cannot choose)`),
			"its host key $1 is not one that it can use", "put back the one it was, or remove it and its .pub from the volume inmanta-ssh-host-keys for a new one to be made, which clients will ask about", true},
		{"sidecar-capabilities", own, regexp.MustCompile(`giving up root, without which nothing is (?:served|rotated|run): (.*)`),
			"it may not become the user that it serves as: $1", "give it the user, the capabilities and the security options that its overlay has", true},

		// The database's volume and its image.
		{"database-version", own, regexp.MustCompile(`initialized by PostgreSQL version (\d+)\S*, which is not compatible with this version (\d+)`),
			"the database volume holds data of PostgreSQL $1, and the image is PostgreSQL $2", versionFix, true},
		{"database-version", own, regexp.MustCompile(`was made by PostgreSQL (\d+) and this is PostgreSQL (\d+)`),
			"the database volume holds data of PostgreSQL $1, and the image is PostgreSQL $2", versionFix, true},
		{"database-layout", own, regexp.MustCompile(`in (\d+)\+, these Docker images are configured to store database data`),
			"the images of PostgreSQL $1 and later keep their data in another place than this deployment's volume",
			"set POSTGRESQL_VERSION to an earlier version, the one that the data is of", true},
		{"database-password-missing", own, regexp.MustCompile(`superuser password is not specified|no password for the superuser`),
			"the database has no password to begin with", "set INMANTA_DATABASE_PASSWORD in .env", true},
		{"database-damaged", own, regexp.MustCompile(`could not locate a valid checkpoint record|invalid primary checkpoint record|PANIC:  could not (?:locate|find) .*`),
			"the database's files are damaged: it finds no state to start from",
			"keep a copy of the volume, then restore a dump into an empty one; do not reset the write-ahead log", true},

		// Room.
		{"shared-memory", own | needed, regexp.MustCompile(`could not resize shared memory segment`),
			"the database has too little shared memory", "raise shm_size of the service db", false},
		{"disk-full", own | refuse, regexp.MustCompile(`(?i)no space left on device|disk quota exceeded`),
			"the disk is full", spaceFix, true},
		{"disk-full", needed, regexp.MustCompile(`No space left on device`),
			"the disk under the database is full", spaceFix, false},

		// The database refuses the orchestrator.
		{"database-password", needed, regexp.MustCompile(`FATAL:\s+password authentication failed for user "([^"]+)"`),
			`the database refuses the password of its user "$1": the volume was made with another one`, passwordFix, true},
		{"database-password", own, regexp.MustCompile(`InvalidPasswordError: password authentication failed for user "([^"]+)"`),
			`the database refuses the password of its user "$1": the volume was made with another one`, passwordFix, true},
		{"database-missing", needed, regexp.MustCompile(`FATAL:\s+(database|role) "([^"]+)" does not exist`),
			`the $1 "$2" is not in the database volume: it was made for something else`,
			"use the volume that this deployment made, or an empty one", true},
		{"database-missing", own, regexp.MustCompile(`(?:InvalidCatalogNameError|InvalidAuthorizationSpecificationError): (database|role) "([^"]+)" does not exist`),
			`the $1 "$2" is not in the database volume: it was made for something else`,
			"use the volume that this deployment made, or an empty one", true},
		{"database-too-old", own, regexp.MustCompile(`is using PostgreSQL version (\S+?)\.? This version is not supported`),
			"this orchestrator needs a newer PostgreSQL than $1",
			"set POSTGRESQL_VERSION to the version that the orchestrator's release notes ask for, and move the data there with a dump", true},
		{"database-standby", own, regexp.MustCompile(`The database at (\S+) is a read-only standby`),
			"the database at $1 is a standby, which takes no writes", "point the orchestrator at the primary, or promote the standby", true},
		{"second-orchestrator", own, regexp.MustCompile(`Another Inmanta server is already active on database '([^']+)'`),
			"another orchestrator is already at work on the database $1", "stop the other one", false},

		// The orchestrator's own parts.
		{"web-console", own, regexp.MustCompile(`console_path config option references the non-existing directory (\S+?)\.?$`),
			"the extension ui is enabled, and the image has no web console in $1",
			"use an image that has the web console, or set INMANTA_SERVER_ENABLED_EXTENSIONS without ui for the service server", true},
		{"extension", own, regexp.MustCompile(`Extension (\S+) in config option enabled-extensions in section server is not available`),
			"the extension $1 is enabled, and is not in the image",
			"use an image that has it (the service orchestrator's, for the commercial ones), or take it out of INMANTA_SERVER_ENABLED_EXTENSIONS", true},
		{"licence", own, regexp.MustCompile(`(?i)(?:error|exception|invalid|expired|missing|no such|not found|cannot|could not|unable|fail\w*)\b.*\b(?:licen[cs]e|entitlement)|\b(?:licen[cs]e|entitlement)\b.*\b(?:error|exception|invalid|expired|missing|no such|not found|cannot|could not|unable|fail\w*)`),
			"the orchestrator does not accept its licence or entitlement",
			"put the two files that you were given into license/, as example.com.license and example.com.jwe, and check that they are readable and still valid", false},

		// The machine.
		{"foreign-cpu", own | refuse, regexp.MustCompile(`exec format error|no matching manifest for \S+|does not match the (?:detected|specified) host platform`),
			"the image is made for another kind of CPU", imageFix, true},
		{"port-taken", refuse, regexp.MustCompile(`(?:Bind for|listen \S+|exposing port \S+|bind host port(?: for)?) (\S*?:\d+)\D.*(?:port is already allocated|address already in use)`),
			"$1 is already in use on this host", portFix, true},
		{"port-taken", own, regexp.MustCompile(`(?i)address already in use`),
			"a port that it listens on is already in use", portFix, false},
		{"address-missing", refuse, regexp.MustCompile(`listen \S+ (\S+):\d+: bind: cannot assign requested address`),
			"$1 is no address of this host", "set the address in .env (INMANTA_ORCHESTRATOR_IP, or the sidecar's own) to one of this host's", true},
		{"name-taken", refuse, regexp.MustCompile(`Conflict\. The container name "/?([^"]+)" is already in use`),
			"a container called $1 exists, and is not of this deployment", "set INMANTA_NAME in .env to another prefix, or free the name: inmanta-docker preflight says whose it is, and how", true},
		{"file-missing", refuse, regexp.MustCompile(`bind source path does not exist: (\S+)`),
			"$1 is not there, and a container needs it", "make it, or leave the overlay out that mounts it", true},
		{"image-missing", refuse, regexp.MustCompile(`(?i)(?:no such image:|pull access denied for|manifest for) ([^\s,]+)|manifest unknown`),
			"the image $1 is not here, and the registry does not give it",
			"check its name and log in to its registry (docker login), or build one here: inmanta-docker image build", true},
		{"permission", own, regexp.MustCompile(`data directory "([^"]+)" has (?:invalid permissions|wrong ownership)`),
			"$1 in the database volume has another owner, or other permissions, than PostgreSQL asks for", ownerFix, true},
		{"permission", own, regexp.MustCompile(`PermissionError: \[Errno 13\] Permission denied: '([^']+)'`),
			"it may not touch $1: the volume belongs to another user", ownerFix, true},
		{"permission", own, regexp.MustCompile(`(?i)(?:(?:cannot|could not|unable to)[^:]*|find|chown|chmod|mkdir|cat|ls|touch|rm|cp|bash|sh|error): .*(?:permission denied|operation not permitted)|could not open (?:file|directory) .*permission denied|cannot be written by`),
			"it may not touch files of its own: the volume belongs to another user", ownerFix, false},
		{"out-of-memory", own | needed | refuse, regexp.MustCompile(`(?i)cannot allocate memory|out of memory|could not map anonymous shared memory|^MemoryError`),
			"there is not enough memory", memoryFix, false},

		// What follows from a database that is not there.
		{"database-lost", own, regexp.MustCompile(`lost the database singleton lock`),
			"the orchestrator lost its database and ended, as it does then", "look at why the database went away: docker logs of the service db", false},
		{"database-unreachable", own, regexp.MustCompile(`Timeout: database server not up after (\d+) seconds|Failed to connect to the database`),
			"the orchestrator could not reach its database", "check that the service db runs and is healthy, and INMANTA_DATABASE_HOST where it is set", false},
	}
})

// killed is the exit code of a process that was ended with SIGKILL.
const killed = 137

// Diagnose tells the likely cause from the evidence; its ID is "unknown" when
// none fits. It is a pure function.
func Diagnose(e Evidence) Cause {
	if e.Container.OOMKilled {
		return Cause{ID: "out-of-memory", What: "it needed more memory than it may have, and was ended", Fix: memoryFix}
	}
	text := map[source][]string{own: e.Log, needed: e.Needed, refuse: {e.Engine, e.Container.Error}}
	for from, lines := range text {
		text[from] = make([]string, len(lines))
		for i, line := range lines {
			text[from][i], _ = spoken(line)
		}
	}
	for _, r := range rules() {
		for _, from := range []source{refuse, own, needed} {
			if r.in&from == 0 {
				continue
			}
			// The last line that fits: the others may be of an earlier attempt.
			for i := len(text[from]) - 1; i >= 0; i-- {
				if c, ok := r.read(text[from][i]); ok {
					return c
				}
			}
		}
	}
	// What a sidecar says of itself, where no rule says it better.
	for i := len(e.Log) - 1; i >= 0; i-- {
		if what, fix := spoken(e.Log[i]); what != "" && fix != "" {
			return Cause{ID: "sidecar", What: what, Fix: fix, Line: e.Log[i]}
		}
	}
	if e.Container.State != "running" && e.Container.ExitCode == killed {
		return Cause{
			ID: "killed", What: "it was killed from outside (SIGKILL)",
			Fix: "if nobody did (docker kill), the machine ran out of memory: dmesg says so. " + strings.ToUpper(memoryFix[:1]) + memoryFix[1:],
		}
	}
	if e.Container.State == "exited" && e.Container.restarted {
		return Cause{ID: "stopped", What: "it was stopped", Fix: "start it again: inmanta-docker up"}
	}
	return Cause{ID: unknown}
}

// read is the cause if line fits.
func (r rule) read(line string) (Cause, bool) {
	match := r.pattern.FindStringSubmatchIndex(line)
	if match == nil {
		return Cause{}, false
	}
	fill := func(template string) string {
		return string(r.pattern.ExpandString(nil, template, line, match))
	}
	return Cause{ID: r.id, What: fill(r.what), Fix: fill(r.fix), Line: strings.TrimSpace(line), hopeless: r.hopeless, client: r.in == needed}, true
}

// spoken is what a line says of the program that wrote it, and how to mend it
// where the line knows. Sidecars log one JSON object a line: of those it is the
// problem, and nothing where there is none, since their other texts are what
// clients made up.
func spoken(line string) (what, fix string) {
	var event struct{ Event, Problem, Fix string }
	if !strings.HasPrefix(line, "{") || json.Unmarshal([]byte(line), &event) != nil || event.Event == "" {
		return line, ""
	}
	return event.Problem, event.Fix
}

// overhear reads one line of a running container's log: its own causes, and
// those of clients that it refuses.
func overhear(line string) (Cause, bool) {
	line, _ = spoken(line)
	for _, r := range rules() {
		if r.in&(own|needed) == 0 || !r.hopeless {
			continue
		}
		if c, ok := r.read(line); ok {
			return c, true
		}
	}
	return Cause{}, false
}

// summary is one sentence for a container and its cause.
func summary(st standing, c Cause) string {
	verb := "does not serve"
	if st.oneShot {
		verb = "failed"
	}
	switch {
	case c.ID != unknown && c.What != "":
		return fmt.Sprintf("%s %s: %s", st.Name, verb, c.What)
	case st.why != "":
		return fmt.Sprintf("%s %s", st.Name, st.why)
	default:
		return st.Name + " " + verb
	}
}

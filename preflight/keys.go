package preflight

import (
	"fmt"
	"strings"

	"github.com/inmanta/inmanta-docker/deployment"
	"github.com/inmanta/inmanta-docker/problem"
	"github.com/inmanta/inmanta-docker/settings"
	"github.com/inmanta/inmanta-docker/sidecar/authorizedkeys"
	"github.com/inmanta/inmanta-docker/topology"
)

// keys judges the authorized keys of the ssh sidecar, wherever they come from.
// Every line that lets nobody in is refused, though others would: whoever wrote
// it counts on it.
func (r *report) keys() {
	sources, ok := keysOf(r.stack.Project)
	if !ok {
		return
	}
	before := len(r.problems)
	valid := r.variableKeys()
	for _, written := range sources.written {
		valid += r.keyText(written.Text, func(line int) (where, what string) {
			return r.origin(written.Path), fmt.Sprintf("%s, line %d: ", written.Path, line)
		})
	}
	unseen := sources.elsewhere || len(sources.mounted) > 0 && r.facts.KeyFiles == nil
	for _, file := range r.facts.KeyFiles {
		valid += r.keyFile(file)
		unseen = unseen || file.Unseen
	}
	if valid > 0 || unseen || len(r.problems) > before {
		return
	}
	r.refuse(problem.Problem{
		ID: "keys-missing", Where: settings.AuthorizedKeys,
		What: "there is no public key that counts, so nobody could log in to the ssh sidecar",
		Fix: fmt.Sprintf("add yours (ssh-keygen makes one): echo \"%s='$(cat ~/.ssh/id_ed25519.pub)'\" >> %s; or leave docker-compose.ssh.yml out",
			settings.AuthorizedKeys, r.envFile()),
	})
}

// variableKeys judges the keys in the sidecar's variable, and returns how many
// could log in.
func (r *report) variableKeys() (valid int) {
	text := r.stack.Project.Services[topology.SSH].Environment[settings.AuthorizedKeys]
	if text == nil {
		return 0
	}
	held, from, set := r.deployment.Setting(settings.AuthorizedKeys)
	if !set || held != *text {
		// The user's own overlay says something else.
		return r.keyText(*text, func(line int) (where, what string) {
			return r.origin("services." + topology.SSH + ".environment." + settings.AuthorizedKeys), r.lineOf(*text, line)
		})
	}
	for _, file := range r.deployment.EnvFiles {
		if from.Source == deployment.FromEnv {
			r.forgotten(file)
		}
	}
	return r.keyText(*text, func(line int) (where, what string) {
		for _, file := range r.deployment.EnvFiles {
			if at := file.ValueLine(settings.AuthorizedKeys, line); at > 0 && from.Source == deployment.FromEnv {
				where = fmt.Sprintf("%s:%d", file.Path, at)
			}
		}
		if where == "" {
			where = from.Place()
		}
		return where, r.lineOf(*text, line)
	})
}

// lineOf names a line of the variable, where it has more than one.
func (r *report) lineOf(text string, line int) string {
	if !strings.Contains(strings.TrimSpace(text), "\n") {
		return settings.AuthorizedKeys + ": "
	}
	return fmt.Sprintf("%s, line %d: ", settings.AuthorizedKeys, line)
}

// forgotten finds keys that a later line of the same file takes away again, as
// when each was added with `echo … >> .env`.
func (r *report) forgotten(file deployment.EnvFile) {
	lines := file.Lines(settings.AuthorizedKeys)
	for i := 0; i+1 < len(lines); i++ {
		r.warn(problem.Problem{
			ID: "keys-overwritten", Where: fmt.Sprintf("%s:%d", file.Path, lines[i]),
			What: fmt.Sprintf("%s is set again in line %d, and only that counts: what is set here may not log in", settings.AuthorizedKeys, lines[len(lines)-1]),
			Fix:  "put all keys into one value, one a line, between single quotes; remove this line if that is meant",
		})
	}
}

// keyText judges a text of authorized keys, and returns how many could log in.
// place says where a line of it stands, and what to call it.
func (r *report) keyText(text string, place func(line int) (where, what string)) (valid int) {
	keys, faults := authorizedkeys.Parse(settings.AuthorizedKeys, text)
	for _, fault := range faults {
		where, what := place(max(fault.Line, 1))
		r.refuse(problem.Problem{ID: "key-invalid", Where: where, What: what + fault.What, Fix: fault.Fix})
	}
	for _, key := range keys {
		if expires := key.Options.Expires; expires.IsZero() || !r.facts.Now.After(expires) {
			valid++
			continue
		}
		where, what := place(key.Line)
		r.warn(problem.Problem{
			ID: "key-expired", Where: where, What: what + "this key has expired, so it lets nobody in any more",
			Fix: "take the line out, or give it a later expiry-time",
		})
	}
	return valid
}

// keyFile judges a file of keys, and returns how many could log in.
func (r *report) keyFile(file GivenFile) (valid int) {
	switch {
	case file.Irregular:
		r.refuse(problem.Problem{
			ID: "keys-irregular", Where: file.Path, What: "the ssh sidecar is given this for authorized keys, and it is no file that its container can see",
			Fix: "put a file of public keys there, or take it away",
		})
	case file.Barred:
		r.refuse(problem.Problem{
			ID: "keys-unreadable", Where: file.Path, What: fmt.Sprintf("the ssh sidecar's user (uid %d) may not read these authorized keys", inmantaUID),
			Fix: "chmod a+rX " + file.Path,
		})
	}
	return r.keyText(file.Text, func(line int) (where, what string) {
		return fmt.Sprintf("%s:%d", file.Path, line), ""
	})
}

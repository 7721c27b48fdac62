package ssh

import (
	"regexp"
	"slices"
	"strings"
)

// inherited are the variables of the container that sessions get: what the
// image and the overlay say about the orchestrator, the language, and how the
// network is reached.
var inherited = regexp.MustCompile(`^(INMANTA_\w+|PIP_\w+|PATH|LANG|LANGUAGE|LC_\w+|TZ|` +
	`(?i:https?_proxy|no_proxy|all_proxy)|SSL_CERT_FILE|SSL_CERT_DIR|REQUESTS_CA_BUNDLE|CURL_CA_BUNDLE|GIT_SSL_CAINFO|NODE_EXTRA_CA_CERTS)$`)

// withheld are those among them that are not a session's business: who may log
// in, and secrets of any kind.
var withheld = regexp.MustCompile(`(?i)^INMANTA_AUTHORIZED_KEYS$|PASSW(OR)?D|PASSPHRASE|SECRET|TOKEN|CREDENTIAL|PRIVATE`)

// accepted are the variables that a client may set. None of them makes a
// program load or run what it would not otherwise, as long as those that the C
// library looks up in a folder of its own do not lead out of that folder.
var accepted = regexp.MustCompile(`^(LANG|LANGUAGE|LC_[A-Z]+|TZ|TERM|COLORTERM|NO_COLOR|GIT_PROTOCOL|GIT_(AUTHOR|COMMITTER)_(NAME|EMAIL)|TERM_PROGRAM(_VERSION)?)$`)

var (
	lookedUp = regexp.MustCompile(`^(LANG|LANGUAGE|LC_[A-Z]+|TZ|TERM)$`)
	leadsOut = regexp.MustCompile(`(^|:)/|\.\.`)
)

// The limits of what a client may set: variables a session, and bytes a value.
const (
	mostVariables   = 64
	longestVariable = 4 << 10
)

// sessionEnvironment is what every session of the account starts from.
func sessionEnvironment(environ []string, account Account) []string {
	var kept []string
	for _, variable := range environ {
		name, _, _ := strings.Cut(variable, "=")
		if inherited.MatchString(name) && !withheld.MatchString(name) {
			kept = append(kept, variable)
		}
	}
	if lookup(kept, "PATH") == "" {
		kept = append(kept, "PATH=/usr/local/bin:/usr/bin:/bin")
	}
	return append(kept,
		"HOME="+account.Home,
		"USER="+account.Name,
		"LOGNAME="+account.Name,
		"SHELL="+account.Shell,
	)
}

// acceptable says whether a client may set a variable to a value.
func acceptable(name, value string) bool {
	if lookedUp.MatchString(name) && leadsOut.MatchString(value) {
		return false
	}
	return accepted.MatchString(name) && len(value) <= longestVariable && !strings.ContainsRune(value, 0)
}

// with is the environment with variables of which the last of each name counts.
func with(environ []string, variables ...string) []string {
	all := append(slices.Clone(environ), variables...)
	seen := map[string]bool{}
	var unique []string
	for _, variable := range slices.Backward(all) {
		if name, _, _ := strings.Cut(variable, "="); !seen[name] {
			seen[name] = true
			unique = append(unique, variable)
		}
	}
	slices.Reverse(unique)
	return unique
}

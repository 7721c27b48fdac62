package passwd

import (
	"regexp"
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

// Environment is what every process of the account's sessions starts from, out
// of the container's variables as NAME=value.
func (a Account) Environment(environ []string) []string {
	var kept []string
	path := false
	for _, variable := range environ {
		name, _, _ := strings.Cut(variable, "=")
		if inherited.MatchString(name) && !withheld.MatchString(name) {
			kept = append(kept, variable)
			path = path || name == "PATH"
		}
	}
	if !path {
		kept = append(kept, "PATH=/usr/local/bin:/usr/bin:/bin")
	}
	return append(kept,
		"HOME="+a.Home,
		"USER="+a.Name,
		"LOGNAME="+a.Name,
		"SHELL="+a.Shell,
	)
}

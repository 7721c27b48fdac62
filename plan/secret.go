package plan

import (
	"regexp"
	"slices"
	"strings"
)

// hidden stands where a secret's value would.
const hidden = "[hidden]"

var (
	// secretName is what a variable that holds a secret is called.
	secretName = regexp.MustCompile(`(?i)passw(or)?d|passphrase|secret|token|credential|(private|api|access)_?key`)
	// secretText is a secret inside other text: in a URL, or as an argument.
	secretText = regexp.MustCompile(`(?i)://[^/\s:@]*:[^/\s@]+@|(passw(or)?d|passphrase|secret|token)[a-z_-]*[=:\s]\s*\S`)
)

// freeText are the fields that people write anything into.
var freeText = []string{
	"environment", "labels", "annotations", "command", "entrypoint", "healthcheck", "logging", "driver_opts",
}

// secrecy knows which values must not be shown.
type secrecy struct {
	// secret says which variables' values are.
	secret func(name string) bool
	// values are those of secret variables.
	values []string
}

func newSecrecy(d Desired) secrecy {
	s := secrecy{secret: d.Secret}
	for name, value := range d.Project.Environment {
		if value != "" && d.Secret(name) {
			s.values = append(s.values, value)
		}
	}
	return s
}

// hides says that the value of a field made with these variables must not be
// shown. It would rather hide too much: a value may be an earlier secret, that
// nobody can recognise any more but by where it stands.
func (s secrecy) hides(key string, variables []string, values ...string) bool {
	if slices.ContainsFunc(variables, s.secret) {
		return true
	}
	field, name, _ := strings.Cut(key, ".")
	if !slices.Contains(freeText, field) {
		return false
	}
	// NAME_FILE holds where the secret is.
	if field != "healthcheck" && !strings.HasSuffix(name, "_FILE") && (s.secret(name) || secretName.MatchString(name)) {
		return true
	}
	for _, value := range values {
		if secretText.MatchString(value) {
			return true
		}
		if slices.ContainsFunc(s.values, func(secret string) bool { return strings.Contains(value, secret) }) {
			return true
		}
	}
	return false
}

// changedBy narrows the variables that a value is made with to those that
// changed it, as far as their present values tell.
func changedBy(variables []string, environment map[string]string, from, to string) []string {
	var guilty, unclear []string
	for _, name := range variables {
		value := environment[name]
		was, is := holds(from, value), holds(to, value)
		switch {
		case value != "" && is && !was:
			guilty = append(guilty, name)
		case value == "" || !is || !was:
			unclear = append(unclear, name)
		}
	}
	switch {
	case len(guilty) > 0:
		return guilty
	case len(unclear) > 0:
		return unclear
	}
	return variables
}

// holds says that text has value in it as a whole word.
func holds(text, value string) bool {
	if value == "" {
		return false
	}
	for at := 0; ; {
		i := strings.Index(text[at:], value)
		if i < 0 {
			return false
		}
		start, end := at+i, at+i+len(value)
		if (start == 0 || !wordy(text[start-1]) || !wordy(value[0])) &&
			(end == len(text) || !wordy(text[end]) || !wordy(value[len(value)-1])) {
			return true
		}
		at = start + 1
	}
}

func wordy(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= 0x80
}

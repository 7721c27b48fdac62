package authorizedkeys

import (
	"strconv"
	"strings"
	"time"
)

// unrestricted is what a line without options allows.
func unrestricted() Options {
	return Options{PTY: true, AgentForwarding: true, PortForwarding: true, UserRC: true}
}

// flags are the options without a value that also exist with `no-` in front.
// Later ones overrule earlier ones, as with sshd.
var flags = map[string]func(options *Options, on bool){
	"agent-forwarding": func(o *Options, on bool) { o.AgentForwarding = on },
	"port-forwarding":  func(o *Options, on bool) { o.PortForwarding = on },
	"pty":              func(o *Options, on bool) { o.PTY = on },
	"touch-required":   func(o *Options, on bool) { o.NoTouchRequired = !on },
	"user-rc":          func(o *Options, on bool) { o.UserRC = on },
	"x11-forwarding":   func(*Options, bool) {}, // never offered, allowed or not
}

// values are the options with a value.
var values = map[string]func(options *Options, value string) *Fault{
	"command":      (*Options).command,
	"environment":  func(*Options, string) *Fault { return environment() },
	"expiry-time":  (*Options).expiryTime,
	"from":         (*Options).fromAddresses,
	"permitlisten": (*Options).permitListen,
	"permitopen":   (*Options).permitOpen,
	"principals":   (*Options).principals,
	"tunnel":       func(_ *Options, value string) *Fault { return tunnel(value) },
}

// optionNames are all of them, as one would write them: what a misspelt one may
// have meant, and what a word that stands where the key belongs may be.
func optionNames() []string {
	names := []string{"cert-authority", "restrict", "verify-required"}
	for name := range flags {
		names = append(names, name, "no-"+name)
	}
	for name := range values {
		names = append(names, name)
	}
	return names
}

// parseOptions reads the options in front of a key and gives what comes after
// the blanks behind them.
func parseOptions(line string, key *Key) (rest string, fault *Fault) {
	rest = line
	for {
		if rest, fault = parseOption(rest, key); fault != nil {
			return "", fault
		}
		if rest == "" || rest[0] != ',' {
			break
		}
		rest = rest[1:]
	}
	if len(key.Options.Principals) > 0 && !key.Authority {
		return "", wrong("add cert-authority, or take principals= out: a plain key has no principals",
			"principals= is of use only together with cert-authority")
	}
	rest = strings.TrimLeft(rest, " \t")
	if kind, _ := cutBlank(rest); !isKeyType(kind) {
		return "", noKeyType(kind)
	}
	return rest, nil
}

// parseOption reads one option and gives what follows it: nothing, a comma or a blank.
func parseOption(line string, key *Key) (rest string, fault *Fault) {
	end := strings.IndexAny(line, `=," `+"\t")
	if end < 0 {
		end = len(line)
	}
	word, rest := line[:end], line[end:]
	name := strings.ToLower(word)
	set, takesValue := values[name]
	hasValue := strings.HasPrefix(rest, "=")
	switch {
	case word == "" && !hasValue:
		return "", wrong("take the comma out, and the blanks around it: options are separated by a comma alone",
			"there is a comma without an option before or after it")
	case takesValue && !hasValue:
		return "", wrong(`write `+name+`="VALUE"`, "%s needs a value", name)
	case takesValue:
		value, rest, fault := unquote(name, rest[1:])
		if fault != nil {
			return "", fault
		}
		if fault := set(&key.Options, value); fault != nil {
			return "", fault
		}
		return rest, following(name, rest)
	case !setFlag(name, key):
		return "", unknown(word, rest)
	case name == "verify-required":
		return "", wrong("take verify-required out, and set a PIN on the security key itself",
			"verify-required cannot be enforced here: the server sees that a security key was touched, not that a PIN was entered")
	case hasValue:
		return "", wrong("write "+name+" alone", "%s takes no value", name)
	}
	return rest, following(name, rest)
}

// setFlag applies an option without a value. It is false where there is none of that name.
func setFlag(name string, key *Key) bool {
	switch name {
	case "cert-authority":
		key.Authority = true
	case "restrict":
		key.Options.PTY, key.Options.AgentForwarding = false, false
		key.Options.PortForwarding, key.Options.UserRC = false, false
	case "verify-required", "no-verify-required": // the first is refused by the caller, the second is how it is
	default:
		positive, negated := strings.CutPrefix(name, "no-")
		set, known := flags[positive]
		if known {
			set(&key.Options, !negated)
		}
		return known
	}
	return true
}

// unquote reads the value of an option: in double quotes, with `\"` for one of its own.
func unquote(name, text string) (value, rest string, fault *Fault) {
	if !strings.HasPrefix(text, `"`) {
		return "", "", wrong(`write `+name+`="VALUE", with the plain double quotes of the keyboard`,
			"the value of %s is not in double quotes", name)
	}
	var unquoted strings.Builder
	for i := 1; i < len(text); i++ {
		switch {
		case text[i] == '"':
			return unquoted.String(), text[i+1:], nil
		case strings.HasPrefix(text[i:], `\"`):
			i++
		}
		unquoted.WriteByte(text[i])
	}
	return "", "", wrong(`end the value with ", and write \" for a quote inside it`,
		"the quote that begins the value of %s is never closed", name)
}

// following checks that an option ends where it should.
func following(name, rest string) *Fault {
	if rest == "" || strings.ContainsRune(", \t", rune(rest[0])) {
		return nil
	}
	return wrong(`separate options by a comma, and write \" for a quote inside a value`,
		"right after %s comes neither a comma nor a blank", name)
}

// twice is the fault of an option that may stand only once in a line.
func twice(name string) *Fault {
	return wrong("keep one "+name+"=", "%s= stands twice, and only one can count", name)
}

func (o *Options) command(value string) *Fault {
	if o.Command != "" {
		return twice("command")
	}
	if value == "" {
		return wrong(`write command="/bin/true" for a key that may run nothing, or name the command`,
			"command= is empty")
	}
	o.Command = value
	return nil
}

func environment() *Fault {
	return wrong("take environment= out; a command that needs a variable can be written command=\"env NAME=value …\"",
		"environment= is not accepted: a key could set LD_PRELOAD with it and be anything")
}

func (o *Options) principals(value string) *Fault {
	if o.Principals != nil {
		return twice("principals")
	}
	for name := range strings.SplitSeq(value, ",") {
		if name == "" {
			return wrong(`write principals="NAME,NAME"`, "principals= has an empty name in it")
		}
		o.Principals = append(o.Principals, name)
	}
	return nil
}

// tunnel checks a value that has no effect.
func tunnel(value string) *Fault {
	if _, err := strconv.ParseUint(value, 10, 31); err != nil && !strings.EqualFold(value, "any") {
		return wrong("take tunnel= out: there are no tunnels here", "tunnel= is neither a number nor any")
	}
	return nil
}

// expiryTime reads YYYYMMDD[HHMM[SS]], followed by Z or UTC where it is not
// local time. The earliest of several counts.
func (o *Options) expiryTime(value string) *Fault {
	digits, zone := value, time.Local
	for _, suffix := range []string{"Z", "UTC"} {
		if at := len(value) - len(suffix); at > 0 && strings.EqualFold(value[at:], suffix) {
			digits, zone = value[:at], time.UTC
		}
	}
	layout := map[int]string{8: "20060102", 12: "200601021504", 14: "20060102150405"}[len(digits)]
	expires, err := time.ParseInLocation(layout, digits, zone)
	if err != nil || layout == "" {
		return wrong(`write it as expiry-time="20301231Z", "203012312359Z" or "20301231235959Z"; without the Z it is local time`,
			"expiry-time= has %s, which is no such date", shown(value))
	}
	if o.Expires.IsZero() || expires.Before(o.Expires) {
		o.Expires = expires
	}
	return nil
}

package authorizedkeys

import (
	"strconv"
	"strings"
)

// endpoint is one permitopen= or permitlisten=.
type endpoint struct {
	host string
	port uint32 // 0 is any
}

func (e endpoint) hasPort(port uint32) bool { return e.port == 0 || e.port == port }

// everything is what also permits sockets in the file system, which the rules
// cannot name.
var everything = endpoint{host: "*"}

// longestHost is the longest name of a host, in bytes, that is compared with a
// pattern: beyond it comparing is only work.
const longestHost = 1024

// Destinations are what a client may have the server connect to: -L, -D and -W.
// The zero value is nothing.
type Destinations struct {
	any  bool
	only []endpoint
}

// Host is whether connections to that host and port are permitted. The host is
// compared as the client wrote it: nothing is looked up, so `localhost` and
// 127.0.0.1 are two.
func (d Destinations) Host(host string, port uint32) bool {
	permitted := d.any
	for _, one := range d.only {
		permitted = permitted || one.hasPort(port) && (one.host == "*" || one.host == host)
	}
	return permitted && port <= 65535
}

// Socket is whether connections to Unix sockets are permitted.
func (d Destinations) Socket() bool { return d.any || permitsAll(d.only) }

// Listeners are where a client may have the server listen: -R. The zero value
// is nowhere. Which of these the server offers to others than itself is the
// server's to say.
type Listeners struct {
	any  bool
	only []endpoint
}

// Host is whether listening there is permitted. The host is the one the client
// asks for, "" and "*" being all addresses, and a port of 0 being one of the
// server's choice.
func (l Listeners) Host(host string, port uint32) bool {
	if len(host) > longestHost {
		return false
	}
	permitted := l.any
	for _, one := range l.only {
		permitted = permitted || one.hasPort(port) && globs(one.host, strings.ToLower(host))
	}
	return permitted && port <= 65535
}

// Socket is whether listening on Unix sockets is permitted.
func (l Listeners) Socket() bool { return l.any || permitsAll(l.only) }

func permitsAll(rules []endpoint) bool {
	for _, one := range rules {
		if one == everything {
			return true
		}
	}
	return false
}

func (o *Options) destinations() Destinations {
	if !o.PortForwarding {
		return Destinations{}
	}
	return Destinations{any: len(o.open) == 0, only: o.open}
}

func (o *Options) listeners() Listeners {
	if !o.PortForwarding {
		return Listeners{}
	}
	return Listeners{any: len(o.listen) == 0, only: o.listen}
}

func (o *Options) permitOpen(value string) *Fault {
	const fix = `write permitopen="HOST:PORT", with [ADDRESS] for IPv6 and * for any port`
	one, what := parseEndpoint(value)
	switch {
	case what != "":
	case one.host == "":
		what = "has no host"
	case one.host != "*" && strings.ContainsAny(one.host, "*?"):
		what = "has a pattern for its host, which only permitlisten knows"
	}
	if what != "" {
		return wrong(fix, "permitopen=%s %s", shown(value), what)
	}
	o.open = append(o.open, one)
	return nil
}

func (o *Options) permitListen(value string) *Fault {
	const fix = `write permitlisten="PORT" or "HOST:PORT", with [ADDRESS] for IPv6 and * for any port`
	if !strings.Contains(value, ":") {
		value = "*:" + value
	}
	one, what := parseEndpoint(value)
	if what == "" && one.host != strings.ToLower(one.host) {
		what = "has a host with capital letters, and hosts are compared in small ones"
	}
	if what != "" {
		return wrong(fix, "permitlisten=%s %s", shown(value), what)
	}
	o.listen = append(o.listen, one)
	return nil
}

// parseEndpoint reads HOST:PORT, or says what is wrong with it.
func parseEndpoint(text string) (one endpoint, what string) {
	host, port, found := strings.Cut(text, ":")
	if bracketed, is := strings.CutPrefix(text, "["); is {
		if host, port, found = strings.Cut(bracketed, "]:"); !found {
			return endpoint{}, "has no ]: between its address and its port"
		}
	}
	switch {
	case !found:
		return endpoint{}, "has no port"
	case strings.ContainsAny(host, "/[] \t"):
		return endpoint{}, "has no such host"
	case strings.Contains(port, ":"):
		return endpoint{}, "has more than one colon: an IPv6 address goes into brackets"
	case port == "*":
		return endpoint{host: host}, ""
	}
	number, err := strconv.ParseUint(port, 10, 16)
	if err != nil || number == 0 {
		return endpoint{}, "has no port between 1 and 65535: names of services are not known here"
	}
	return endpoint{host: host, port: uint32(number)}, ""
}

package authorizedkeys

import (
	"net/netip"
	"strings"
)

// sources are the patterns of one `from=`; none of them means anywhere.
type sources []source

// source is one pattern of addresses: a prefix, or a glob where that is empty.
type source struct {
	except bool // a match forbids, whatever else matches
	prefix netip.Prefix
	glob   string
}

// allow is whether an attempt from there may be let in: something matches, and
// nothing that begins with an exclamation mark does.
func (s sources) allow(remote netip.Addr) bool {
	if s == nil {
		return true
	}
	remote = bare(remote)
	allowed := false
	for _, one := range s {
		switch {
		case !one.matches(remote):
		case one.except:
			return false
		default:
			allowed = true
		}
	}
	return allowed
}

// bare is an address as patterns are written: IPv4 as such even where it came
// over an IPv6 socket, and without the interface of a link-local one, which
// nothing would match.
func bare(address netip.Addr) netip.Addr { return address.Unmap().WithZone("") }

func (s source) matches(remote netip.Addr) bool {
	if s.glob == "" {
		return s.prefix.Contains(remote)
	}
	return remote.IsValid() && globs(s.glob, remote.String())
}

// fromAddresses reads the patterns of from=.
func (o *Options) fromAddresses(value string) *Fault {
	if o.from != nil {
		return twice("from")
	}
	reachable := false
	for text := range strings.SplitSeq(value, ",") {
		one, fault := parseSource(text)
		if fault != nil {
			return fault
		}
		o.from = append(o.from, one)
		reachable = reachable || !one.except
	}
	if !reachable {
		return wrong(`write from="*,!ADDRESS" for everywhere but there`,
			"from= only says from where not, so that nobody could use the key")
	}
	return nil
}

func parseSource(text string) (source, *Fault) {
	pattern, except := strings.CutPrefix(text, "!")
	pattern = strings.ToLower(pattern)
	if pattern == "" || strings.ContainsAny(pattern, " \t") {
		return source{}, wrong(`write from="PATTERN,PATTERN", without blanks`,
			"from= has an empty pattern or a blank in it")
	}
	if !strings.ContainsAny(pattern, "*?") {
		prefix, fault := parsePrefix(pattern)
		return source{except: except, prefix: prefix}, fault
	}
	if !isAddressGlob(pattern) {
		return source{}, hostName(pattern)
	}
	return source{except: except, glob: pattern}, nil
}

// parsePrefix reads an address, or a network as address/length.
func parsePrefix(text string) (netip.Prefix, *Fault) {
	address, _, isNetwork := strings.Cut(text, "/")
	one, err := netip.ParseAddr(address)
	if err != nil || one.Zone() != "" {
		return netip.Prefix{}, hostName(text)
	}
	prefix := netip.PrefixFrom(one, one.BitLen())
	if isNetwork {
		if prefix, err = netip.ParsePrefix(text); err != nil {
			return netip.Prefix{}, wrong("write the length as a number of bits, up to 32 for IPv4 and 128 for IPv6",
				"%s has no such length of network", shown(text))
		}
	}
	if one.Is4In6() {
		return netip.Prefix{}, wrong("write it as IPv4, like 192.0.2.0/24",
			"%s matches nobody: IPv4 addresses are compared as IPv4, over IPv6 too", shown(text))
	}
	if prefix.Masked() != prefix {
		return netip.Prefix{}, wrong("write "+prefix.Masked().String()+", or the address without a length",
			"%s is an address inside a network, not a network", shown(text))
	}
	return prefix, nil
}

// isAddressGlob is whether a pattern with wildcards could match an address in
// text. Letters are IPv6's: without a colon it is the pattern of a host name.
func isAddressGlob(pattern string) bool {
	if strings.Trim(pattern, "0123456789abcdef.:*?") != "" {
		return false
	}
	dotted, letters := strings.Contains(pattern, "."), strings.ContainsAny(pattern, "abcdef")
	colon := strings.Contains(pattern, ":")
	return !letters || colon && !dotted
}

// hostName is the fault of a pattern that is not one of addresses.
func hostName(pattern string) *Fault {
	return wrong("write addresses, like 192.0.2.7, 192.0.2.0/24, 192.0.2.* or 2001:db8::/32",
		"%s in from= is no address: names are never looked up here, so it would match nobody", shown(pattern))
}

// globs is whether the whole text matches a pattern in which * is any text and
// ? is any one byte. Stars cost no more than the product of both lengths.
func globs(pattern, text string) bool {
	star, resume := -1, 0 // the last * seen, and where it would take one byte more
	p, t := 0, 0
	for t < len(text) {
		switch {
		case p < len(pattern) && pattern[p] == '*':
			star, resume = p, t
			p++
		case p < len(pattern) && (pattern[p] == '?' || pattern[p] == text[t]):
			p++
			t++
		case star >= 0:
			resume++
			p, t = star+1, resume
		default:
			return false
		}
	}
	return strings.Trim(pattern[p:], "*") == ""
}

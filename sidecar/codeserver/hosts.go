package codeserver

import (
	"crypto/x509"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
)

// hosts decides by which names the editor may be asked for. A page that has its
// own name resolve to this host's address (DNS rebinding) is not another site to
// the browser, but its name shows in every request: whoever has none of the
// names is not served. An address is nobody's name.
type hosts struct {
	// names are in small letters.
	names []string
	// certificate has names too; nil without https.
	certificate *x509.Certificate
	// loopback says that of addresses only this machine's own count.
	loopback bool
}

// allow says whether a request for that host, "NAME[:PORT]", is served.
func (h hosts) allow(host string) bool {
	name := hostName(host)
	if ip, err := netip.ParseAddr(name); err == nil {
		return !h.loopback || ip.Unmap().IsLoopback()
	}
	if name == "localhost" || strings.HasSuffix(name, ".localhost") || slices.Contains(h.names, name) {
		return true
	}
	return name != "" && h.certificate != nil && h.certificate.VerifyHostname(name) == nil
}

// hostName is the name in "NAME[:PORT]", in small letters.
func hostName(host string) string {
	name, _, err := net.SplitHostPort(host)
	if err != nil {
		name = host
	}
	name = strings.ToLower(strings.TrimSuffix(name, "."))
	if inner, ok := strings.CutPrefix(name, "["); ok {
		name = strings.TrimSuffix(inner, "]")
	}
	return name
}

// hostPort is the port in "NAME[:PORT]"; "" where there is none.
func hostPort(host string) string {
	_, port, err := net.SplitHostPort(host)
	if err != nil {
		return ""
	}
	return port
}

// foreign says that a page of another origin made the request, and not by
// leading its reader here. Cookies alone do not tell: to them, every port of
// this host is the same site.
func foreign(r *http.Request) bool {
	if r.Method == http.MethodGet || r.Method == http.MethodHead {
		if r.Header.Get("Sec-Fetch-Mode") == "navigate" && r.Header.Get("Upgrade") == "" {
			return false
		}
	}
	switch r.Header.Get("Sec-Fetch-Site") {
	case "", "same-origin", "none":
	default:
		return true
	}
	origins := r.Header.Values("Origin")
	if len(origins) == 0 {
		return false // no browser, or one that just asks for a file
	}
	from, err := url.Parse(origins[0])
	return err != nil || len(origins) > 1 || from.Scheme != "http" && from.Scheme != "https" || !sameHost(from.Host, r.Host, from.Scheme)
}

// sameHost says that two are the same host and port; the port may be left out
// where it is the scheme's own.
func sameHost(a, b, scheme string) bool {
	usual := map[string]string{"http": "80", "https": "443"}[scheme]
	or := func(port string) string {
		if port == "" {
			return usual
		}
		return port
	}
	return hostName(a) != "" && hostName(a) == hostName(b) && or(hostPort(a)) == or(hostPort(b))
}

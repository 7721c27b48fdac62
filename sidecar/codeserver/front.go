package codeserver

import (
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"time"
)

// front is what everybody talks to: it lets in whoever is logged in, and passes
// on what they ask for to the editor.
type front struct {
	hosts hosts
	// secret is what lets somebody in; nil where nobody needs it.
	secret   *password
	sessions *sessions
	guesses  *guesses
	// secure says that browsers come over https.
	secure  bool
	editor  http.Handler
	healthy func(*http.Request) error
	// ready says that the editor answers.
	ready   atomic.Bool
	journal *journal
}

// requestPatience is how long somebody who is not logged in may take to send
// what they send.
const requestPatience = 10 * time.Second

// ServeHTTP serves one request.
func (f *front) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch {
	case !f.hosts.allow(r.Host):
		f.refuse(w, r, http.StatusMisdirectedRequest, "this host is not called that: "+namesVariable+" says by which names it may be")
		return
	case !strings.HasPrefix(r.URL.Path, "/") || r.Method == http.MethodConnect || r.Method == http.MethodTrace:
		f.refuse(w, r, http.StatusBadRequest, "nothing here takes such a request")
		return
	case foreign(r):
		f.refuse(w, r, http.StatusForbidden, "the request comes from a page of another site")
		return
	}
	switch r.URL.Path {
	case "/healthz":
		f.health(w, r)
		return
	case "/login":
		f.login(w, r)
		return
	case "/logout":
		f.logout(w, r)
		return
	}
	session, done := f.sessionOf(r)
	defer done()
	if f.secret != nil && session == nil {
		f.turnAway(w, r)
		return
	}
	admit(r)
	if !f.ready.Load() {
		w.Header().Set("Refresh", "1")
		page(w, http.StatusServiceUnavailable, "Starting", `<p>The editor is starting. This page goes on by itself.</p>`)
		return
	}
	if session != nil {
		// With the session end the connections that it opened.
		joined, end := join(r.Context(), session)
		defer end()
		r = r.WithContext(joined)
	}
	f.editor.ServeHTTP(w, r)
}

// refuse answers with one sentence, to whoever it is, and is done with them.
func (f *front) refuse(w http.ResponseWriter, r *http.Request, code int, reason string) {
	f.journal.refused(r.RemoteAddr, reason+" ("+r.Method+" "+r.Host+")")
	hurry(w, r)
	http.Error(w, reason, code)
}

// hurry bounds the time for what is left of a request that nobody will read.
func hurry(w http.ResponseWriter, r *http.Request) {
	if r.ContentLength != 0 {
		w.Header().Set("Connection", "close")
		// A connection that knows no deadlines is a test's.
		_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(requestPatience))
	}
}

// turnAway sends a person to the login, and tells everything else that it takes one.
func (f *front) turnAway(w http.ResponseWriter, r *http.Request) {
	hurry(w, r)
	w.Header().Set("Cache-Control", "no-store")
	if opensPage(r) {
		http.Redirect(w, r, "/login?to="+url.QueryEscape(r.URL.RequestURI()), http.StatusSeeOther)
		return
	}
	http.Error(w, "log in first: /login", http.StatusUnauthorized)
}

// opensPage says that a person is to see the answer.
func opensPage(r *http.Request) bool {
	if r.Method != http.MethodGet && r.Method != http.MethodHead || r.Header.Get("Upgrade") != "" {
		return false
	}
	if mode := r.Header.Get("Sec-Fetch-Mode"); mode != "" {
		return mode == "navigate"
	}
	return strings.Contains(r.Header.Get("Accept"), "text/html")
}

// health says whether the editor answers, to whoever asks, and nothing else.
func (f *front) health(w http.ResponseWriter, r *http.Request) {
	hurry(w, r)
	w.Header().Set("Cache-Control", "no-store")
	if err := f.healthy(r); err != nil {
		http.Error(w, "code-server does not answer", http.StatusServiceUnavailable)
		return
	}
	_, _ = w.Write([]byte("ok\n"))
}

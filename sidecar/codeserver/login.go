package codeserver

import (
	"context"
	"fmt"
	"mime"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/inmanta/inmanta-docker/sidecar/peer"
)

// What browsers keep. Cookies do not tell ports apart, and another deployment
// may be on another port of this host, so the port is part of the name.
const (
	sessionCookie = "inmanta-code-session"
	knownCookie   = "inmanta-code-known"
)

// largestForm is what a login may send, in bytes.
const largestForm = 4 << 10

// cookieName is a cookie's name for a request. With __Host- browsers take it
// from nobody but this host, over https.
func (f *front) cookieName(name string, r *http.Request) string {
	if port := hostPort(r.Host); port != "" {
		name += "-" + port
	}
	if f.secure {
		name = "__Host-" + name
	}
	return name
}

func (f *front) cookie(name string, r *http.Request) string {
	cookie, err := r.Cookie(f.cookieName(name, r))
	if err != nil {
		return ""
	}
	return cookie.Value
}

// give has the browser keep a value, where no script of a page sees it and no
// other site can use it; "" takes it away.
func (f *front) give(w http.ResponseWriter, r *http.Request, name, value string, keep time.Duration) {
	cookie := &http.Cookie{
		Name: f.cookieName(name, r), Value: value, Path: "/", MaxAge: int(keep.Seconds()),
		HttpOnly: true, Secure: f.secure, SameSite: http.SameSiteStrictMode,
	}
	if value == "" {
		cookie.MaxAge = -1
	}
	http.SetCookie(w, cookie)
}

// sessionOf is the session of a request, nil if it has none, and what to call
// when the request is over.
func (f *front) sessionOf(r *http.Request) (*session, func()) {
	return f.sessions.use(f.cookie(sessionCookie, r))
}

// login shows the form, and takes what is filled in.
func (f *front) login(w http.ResponseWriter, r *http.Request) {
	hurry(w, r)
	to := localPath(r.URL.Query().Get("to"))
	session, done := f.sessionOf(r)
	defer done()
	switch {
	case f.secret == nil || session != nil:
		http.Redirect(w, r, to, http.StatusSeeOther)
	case r.Method == http.MethodGet || r.Method == http.MethodHead:
		loginPage(w, http.StatusOK, to, "")
	case r.Method == http.MethodPost:
		f.try(w, r)
	default:
		w.Header().Set("Allow", "GET, HEAD, POST")
		http.Error(w, "log in with POST", http.StatusMethodNotAllowed)
	}
}

// try takes a password.
func (f *front) try(w http.ResponseWriter, r *http.Request) {
	if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || kind != "application/x-www-form-urlencoded" {
		http.Error(w, "this takes a form", http.StatusUnsupportedMediaType)
		return
	}
	r.Body = http.MaxBytesReader(w, r.Body, largestForm)
	if err := r.ParseForm(); err != nil {
		http.Error(w, "this takes a form with a password", http.StatusBadRequest)
		return
	}
	to := localPath(r.PostForm.Get("to"))
	source, browser := peer.Source(r.RemoteAddr), f.cookie(knownCookie, r)
	if wait, ok := f.guesses.take(source, browser); !ok {
		seconds := int(wait/time.Second) + 1
		f.journal.refused(r.RemoteAddr, "too many wrong passwords from there")
		w.Header().Set("Retry-After", strconv.Itoa(seconds))
		loginPage(w, http.StatusTooManyRequests, to, fmt.Sprintf("There were too many wrong passwords. Try again in %d s.", seconds))
		return
	}
	if !f.secret.is(r.PostForm.Get("password")) {
		f.journal.refused(r.RemoteAddr, "wrong password")
		loginPage(w, http.StatusUnauthorized, to, "That is not the password.")
		return
	}
	f.give(w, r, knownCookie, f.guesses.forgive(source, browser), longestSession)
	f.give(w, r, sessionCookie, f.sessions.begin(), longestSession)
	f.journal.write(event{Event: eventLogin, Remote: r.RemoteAddr})
	w.Header().Set("Cache-Control", "no-store")
	http.Redirect(w, r, to, http.StatusSeeOther)
}

// logout asks whether that is meant, and does it.
func (f *front) logout(w http.ResponseWriter, r *http.Request) {
	hurry(w, r)
	if r.Method != http.MethodPost {
		page(w, http.StatusOK, "Log out", `<form method="post" action="/logout"><button autofocus>Log out</button></form>`)
		return
	}
	f.sessions.finish(f.cookie(sessionCookie, r))
	f.give(w, r, sessionCookie, "", 0)
	f.journal.write(event{Event: eventLogout, Remote: r.RemoteAddr})
	http.Redirect(w, r, "/login", http.StatusSeeOther)
}

// longestPath is what of an address a login remembers, in bytes.
const longestPath = 2 << 10

// localPath is an address of this host to go on to, or its root. Browsers take
// "//host", and "/\host", for another one.
func localPath(to string) string {
	parsed, err := url.Parse(to)
	if err != nil || len(to) > longestPath || !strings.HasPrefix(to, "/") || strings.HasPrefix(to, "//") || parsed.Host != "" || parsed.Scheme != "" ||
		strings.HasPrefix(parsed.Path, "//") || strings.ContainsFunc(to, func(r rune) bool { return r < ' ' || r == '\\' || r == 0x7f }) {
		return "/"
	}
	return to
}

// join is a context that ends with either.
func join(ctx context.Context, other context.Context) (context.Context, context.CancelFunc) {
	joined, end := context.WithCancel(ctx)
	stop := context.AfterFunc(other, end)
	return joined, func() { stop(); end() }
}

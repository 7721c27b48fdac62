package codeserver

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// The limits of guessing.
const (
	// freeGuesses is how many wrong passwords in a row cost nothing, and pardon
	// how long it takes until one of them is forgotten.
	freeGuesses = 10
	pardon      = 3 * time.Second
	// mostSources bounds what is remembered of sources; beyond it, those with
	// nothing left to forgive are forgotten, and if that is not enough, all.
	mostSources = 10_000
)

// guesses bounds how fast passwords can be tried. A browser that has once been
// logged in counts by itself, and everybody else by where they come from: who
// guesses wrongly slows down nobody but their neighbours who are new here.
type guesses struct {
	now func() time.Time

	mu      sync.Mutex
	sources map[netip.Addr]*rate.Limiter
	// known are browsers, by the digest of what they have been given.
	known map[[sha256.Size]byte]*rate.Limiter
}

func newGuesses(now func() time.Time) *guesses {
	return &guesses{now: now, sources: map[netip.Addr]*rate.Limiter{}, known: map[[sha256.Size]byte]*rate.Limiter{}}
}

func newPatience() *rate.Limiter { return rate.NewLimiter(rate.Every(pardon), freeGuesses) }

// take is whether a password may be tried now, and if not, how long to wait.
// It counts as wrong unless forgive is called for it.
func (g *guesses) take(source netip.Addr, browser string) (wait time.Duration, ok bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	left := g.patience(source, browser)
	now := g.now()
	if left.AllowN(now, 1) {
		return 0, true
	}
	return time.Duration((1 - left.TokensAt(now)) * float64(pardon)), false
}

// patience is what is left to a browser that is known, else to a source.
func (g *guesses) patience(source netip.Addr, browser string) *rate.Limiter {
	if left := g.known[sha256.Sum256([]byte(browser))]; left != nil {
		return left
	}
	left := g.sources[source]
	if left == nil {
		g.forgetSome()
		left = newPatience()
		g.sources[source] = left
	}
	return left
}

// forgive says that the password was right. It returns what the browser is to
// be known by from now on.
func (g *guesses) forgive(source netip.Addr, browser string) (known string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	key := sha256.Sum256([]byte(browser))
	if g.known[key] != nil {
		g.known[key] = newPatience()
		return browser
	}
	delete(g.sources, source)
	if len(g.known) >= mostKnown {
		clear(g.known)
	}
	known = newToken()
	g.known[sha256.Sum256([]byte(known))] = newPatience()
	return known
}

func (g *guesses) forgetSome() {
	if len(g.sources) < mostSources {
		return
	}
	for source, left := range g.sources {
		if left.TokensAt(g.now()) >= freeGuesses {
			delete(g.sources, source)
		}
	}
	if len(g.sources) >= mostSources {
		clear(g.sources)
	}
}

// password is what lets somebody in. Of the word itself nothing is kept.
type password struct {
	key, sum [sha256.Size]byte
}

func newPassword(word string) password {
	var p password
	if _, err := rand.Read(p.key[:]); err != nil {
		panic(err) // documented never to happen
	}
	p.sum = p.of(word)
	return p
}

func (p password) of(word string) (sum [sha256.Size]byte) {
	mac := hmac.New(sha256.New, p.key[:])
	mac.Write([]byte(word))
	return [sha256.Size]byte(mac.Sum(nil))
}

// is says whether that is the word. How long it takes says nothing about it.
func (p password) is(word string) bool {
	given := p.of(word)
	return subtle.ConstantTimeCompare(given[:], p.sum[:]) == 1
}

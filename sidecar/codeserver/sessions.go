package codeserver

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"sync"
	"time"
)

// The limits of sessions.
const (
	// idleTime is after how long without a request one is over.
	idleTime = 24 * time.Hour
	// longestSession is after how long it is over in any case.
	longestSession = 30 * 24 * time.Hour
	// mostSessions is how many there may be: the one that was not used for
	// longest makes room.
	mostSessions = 1000
	// mostKnown is how many browsers are remembered.
	mostKnown = 1000
)

// session is somebody who is logged in. Its context ends with it, and with it
// whatever connections are open.
type session struct {
	context.Context

	end   context.CancelFunc
	begun time.Time
	// seen and uses are the sessions' own to change: when a request last began
	// or ended, and how many are under way.
	seen time.Time
	uses int
}

func (s *session) over(now time.Time) bool {
	return s.Err() != nil || now.Sub(s.begun) > longestSession || s.uses == 0 && now.Sub(s.seen) > idleTime
}

// sessions are those who are logged in, in memory only: a restart logs out.
type sessions struct {
	now func() time.Time

	mu sync.Mutex
	// open are by the digest of the token that the browser has: looking a token
	// up tells nothing of those that there are by how long it takes.
	open map[[sha256.Size]byte]*session
}

func newSessions(now func() time.Time) *sessions {
	return &sessions{now: now, open: map[[sha256.Size]byte]*session{}}
}

// begin logs somebody in, and is the token to give them.
func (s *sessions) begin() (token string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sweep()
	ctx, end := context.WithCancel(context.Background())
	now := s.now()
	token = newToken()
	s.open[sha256.Sum256([]byte(token))] = &session{Context: ctx, end: end, begun: now, seen: now}
	return token
}

// use is the session of a token, nil if there is none, and what to call when
// the request that uses it is over.
func (s *sessions) use(token string) (found *session, done func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	found = s.open[sha256.Sum256([]byte(token))]
	if found == nil || found.over(s.now()) {
		return nil, func() {}
	}
	found.uses++
	found.seen = s.now()
	return found, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		found.uses--
		found.seen = s.now()
	}
}

// finish logs out whoever has the token.
func (s *sessions) finish(token string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	key := sha256.Sum256([]byte(token))
	if found := s.open[key]; found != nil {
		found.end()
		delete(s.open, key)
	}
}

// sweep forgets those that are over, and makes room for one more.
func (s *sessions) sweep() {
	now := s.now()
	var oldest [sha256.Size]byte
	for key, one := range s.open {
		if one.over(now) {
			one.end()
			delete(s.open, key)
			continue
		}
		if first, ok := s.open[oldest]; !ok || one.seen.Before(first.seen) {
			oldest = key
		}
	}
	if len(s.open) >= mostSessions {
		s.open[oldest].end()
		delete(s.open, oldest)
	}
}

// newToken is 256 random bits.
func newToken() string {
	bits := make([]byte, 32)
	if _, err := rand.Read(bits); err != nil {
		panic(err) // documented never to happen
	}
	return base64.RawURLEncoding.EncodeToString(bits)
}

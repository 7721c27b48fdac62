package postgres

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// counter is a desk, and how many orders reached it.
func counter(t *testing.T, secret string) (*httptest.Server, Config, *int) {
	t.Helper()
	carried := new(int)
	d := &desk{secret: secret, status: func() Status { return Status{Node: SecondNode, Position: 7} }, orders: map[string]func(context.Context, []byte) error{
		"/fence": func(context.Context, []byte) error { *carried++; return nil },
		"/no":    func(context.Context, []byte) error { return refusal("it is not in step") },
	}}
	server := httptest.NewServer(d)
	t.Cleanup(server.Close)
	at, err := url.Parse(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	host, port, _ := net.SplitHostPort(at.Host)
	n, _ := strconv.Atoi(port)
	return server, Config{PeerHost: host, PeerAgentPort: n, Secret: "secret"}, carried
}

func TestPeersAskEachOther(t *testing.T) {
	t.Parallel()
	_, c, carried := counter(t, "secret")
	p := newPeer(c)
	s, _, err := p.status(t.Context())
	if err != nil || s.Node != SecondNode || s.Position != 7 {
		t.Errorf("%+v %v", s, err)
	}
	if err := p.tell(t.Context(), "fence", nil); err != nil || *carried != 1 {
		t.Errorf("%d orders, %v", *carried, err)
	}
	var refused refusal
	if err := p.tell(t.Context(), "no", nil); !errors.As(err, &refused) || refused != "it is not in step" {
		t.Errorf("%v", err)
	}
	if err := p.tell(t.Context(), "dance", nil); !errors.As(err, &refused) {
		t.Errorf("an order that is none: %v", err)
	}
}

func TestStrangersAreNotAnswered(t *testing.T) {
	t.Parallel()
	server, c, carried := counter(t, "another secret")
	if _, _, err := newPeer(c).status(t.Context()); err == nil {
		t.Error("who does not know the secret is answered")
	}
	response, err := http.Get(server.URL + "/status")
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusForbidden {
		t.Errorf("unsigned: %s", response.Status)
	}
	// One that pretends to be the peer.
	pretender := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_ = json.NewEncoder(w).Encode(Status{Node: SecondNode, Role: Primary})
	}))
	defer pretender.Close()
	if _, _, err := (&peer{base: pretender.URL, secret: "secret", client: http.DefaultClient}).status(t.Context()); !errors.Is(err, errSecret) {
		t.Errorf("a pretender is believed: %v", err)
	}
	if *carried != 0 {
		t.Error("an order was carried out")
	}
}

func TestOrdersAreNotRepeated(t *testing.T) {
	t.Parallel()
	server, c, carried := counter(t, "secret")
	p := newPeer(c)
	_, challenge, err := p.status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	send := func(challenge string) int {
		request, err := http.NewRequest(http.MethodPost, server.URL+"/fence", strings.NewReader("{}"))
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set(nonceHeader, "n")
		request.Header.Set(challengeHeader, challenge)
		request.Header.Set(signatureHeader, sign("secret", "ask", http.MethodPost, "/fence", "n", challenge, "{}"))
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close()
		return response.StatusCode
	}
	if code := send(challenge); code != http.StatusOK {
		t.Errorf("the first: %d", code)
	}
	if code := send(challenge); code != http.StatusConflict || *carried != 1 {
		t.Errorf("the same again: %d, carried out %d times", code, *carried)
	}
	if code := send("made up"); code != http.StatusConflict {
		t.Errorf("a challenge that was never given: %d", code)
	}
}

// Time is made by the test, ten seconds and more of it.
func TestOrdersGoStale(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := &desk{}
		fresh, stale := "", d.challenge()
		time.Sleep(challengeAge + time.Second)
		if fresh = d.challenge(); d.spend(stale) || !d.spend(fresh) {
			t.Error("a challenge is good for other than ten seconds")
		}
		if len(d.challenges) != 0 {
			t.Errorf("%d challenges are kept", len(d.challenges))
		}
	})
}

func TestSignIsOfEachPart(t *testing.T) {
	t.Parallel()
	if sign("s", "ab", "c") == sign("s", "a", "bc") {
		t.Error("two lists of parts have one signature")
	}
}

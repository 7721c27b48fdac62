package postgres

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"sync"
	"time"
)

// The nodes ask each other over HTTP on AgentPort. Either side of it proves that
// it knows the secret, and that it answers this very request: the caller sends a
// nonce and a signature, the answer is signed over the nonce. What changes
// something is signed over a challenge as well, which is good for one request:
// it cannot be sent again by somebody who saw it.
const (
	nonceHeader     = "Inmanta-Nonce"
	challengeHeader = "Inmanta-Challenge"
	signatureHeader = "Inmanta-Signature"
)

// longestMessage bounds what is read of a request or an answer, in bytes.
const longestMessage = 64 << 10

// peerPatience is how long a node waits for the other's answer.
const peerPatience = 3 * time.Second

func sign(secret string, parts ...string) string {
	mac := hmac.New(sha256.New, []byte(secret))
	for _, part := range parts {
		// Each with its length: no two lists of parts are written the same.
		fmt.Fprintf(mac, "%d:%s", len(part), part)
	}
	return hex.EncodeToString(mac.Sum(nil))
}

func signed(secret, signature string, parts ...string) bool {
	return hmac.Equal([]byte(signature), []byte(sign(secret, parts...)))
}

// peer is the other node, as its agent tells.
type peer struct {
	base, secret string
	client       *http.Client
}

func newPeer(c Config) *peer {
	return &peer{
		base: "http://" + net.JoinHostPort(c.PeerHost, strconv.Itoa(c.PeerAgentPort)), secret: c.Secret,
		client: &http.Client{Timeout: peerPatience, Transport: &http.Transport{DisableKeepAlives: true}},
	}
}

// errSecret is that whoever answers does not know the secret.
var errSecret = errors.New("it does not have the same replication password")

// status asks the peer how it is, and for a challenge.
func (p *peer) status(ctx context.Context) (s Status, challenge string, err error) {
	body, header, err := p.call(ctx, http.MethodGet, "/status", "", nil)
	if err != nil {
		return Status{}, "", err
	}
	if err := json.Unmarshal(body, &s); err != nil {
		return Status{}, "", fmt.Errorf("its answer: %w", err)
	}
	return s, header.Get(challengeHeader), nil
}

// tell has the peer do what an order says, and returns when it is done. An error
// of type refusal is its own; with any other it is not known what was done.
func (p *peer) tell(ctx context.Context, order string, given any) error {
	_, challenge, err := p.status(ctx)
	if err != nil {
		return refusal(err.Error()) // it was not even told
	}
	body, err := json.Marshal(given)
	if err != nil {
		return err
	}
	_, _, err = p.call(ctx, http.MethodPost, "/"+order, challenge, body)
	return err
}

// refusal is why a node does not do what it is asked to.
type refusal string

func (r refusal) Error() string { return string(r) }

func (p *peer) call(ctx context.Context, method, path, challenge string, body []byte) ([]byte, http.Header, error) {
	request, err := http.NewRequestWithContext(ctx, method, p.base+path, bytes.NewReader(body))
	if err != nil {
		return nil, nil, err
	}
	nonce := rand.Text()
	request.Header.Set(nonceHeader, nonce)
	request.Header.Set(challengeHeader, challenge)
	request.Header.Set(signatureHeader, sign(p.secret, "ask", method, path, nonce, challenge, string(body)))
	client := p.client
	if method == http.MethodPost {
		unhurried := *client
		unhurried.Timeout = 0 // ctx says how long it may take
		client = &unhurried
	}
	response, err := client.Do(request)
	if err != nil {
		var operation *net.OpError
		if errors.As(err, &operation) {
			err = operation.Err
		}
		return nil, nil, err
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(response.Body, longestMessage))
	if err != nil {
		return nil, nil, err
	}
	fresh := response.Header.Get(challengeHeader)
	if !signed(p.secret, response.Header.Get(signatureHeader), "answer", nonce, strconv.Itoa(response.StatusCode), fresh, string(answer)) {
		return nil, nil, errSecret
	}
	if response.StatusCode != http.StatusOK {
		return nil, nil, refusal(answer)
	}
	return answer, response.Header, nil
}

// desk is where the peer's questions and orders are answered.
type desk struct {
	secret string
	status func() Status
	// orders are carried out one at a time by whoever they are handed to.
	orders map[string]func(ctx context.Context, body []byte) error

	mu         sync.Mutex
	challenges map[string]time.Time
}

// challengeAge is how long a challenge is good.
const challengeAge = 10 * time.Second

// challenge makes one, and forgets those that are too old.
func (d *desk) challenge() string {
	d.mu.Lock()
	defer d.mu.Unlock()
	for c, made := range d.challenges {
		if time.Since(made) > challengeAge {
			delete(d.challenges, c)
		}
	}
	c := rand.Text()
	if d.challenges == nil {
		d.challenges = map[string]time.Time{}
	}
	d.challenges[c] = time.Now()
	return c
}

// spend says whether a challenge is good, which it then is no more.
func (d *desk) spend(challenge string) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	made, ok := d.challenges[challenge]
	delete(d.challenges, challenge)
	return ok && time.Since(made) <= challengeAge
}

func (d *desk) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(io.LimitReader(r.Body, longestMessage))
	nonce, challenge := r.Header.Get(nonceHeader), r.Header.Get(challengeHeader)
	if err != nil || !signed(d.secret, r.Header.Get(signatureHeader), "ask", r.Method, r.URL.Path, nonce, challenge, string(body)) {
		// Nothing for those who do not know the secret: not even a signature.
		http.Error(w, "not signed", http.StatusForbidden)
		return
	}
	code, answer, fresh := http.StatusOK, []byte("done"), ""
	switch order := d.orders[r.URL.Path]; {
	case r.Method == http.MethodGet && r.URL.Path == "/status":
		fresh = d.challenge()
		if answer, err = json.Marshal(d.status()); err != nil {
			code, answer = http.StatusInternalServerError, []byte(err.Error())
		}
	case r.Method != http.MethodPost || order == nil:
		code, answer = http.StatusNotFound, []byte("there is no such order")
	case !d.spend(challenge):
		code, answer = http.StatusConflict, []byte("the challenge is not good any more")
	default:
		if err := order(r.Context(), body); err != nil {
			code, answer = http.StatusConflict, []byte(err.Error())
		}
	}
	w.Header().Set(challengeHeader, fresh)
	w.Header().Set(signatureHeader, sign(d.secret, "answer", nonce, strconv.Itoa(code), fresh, string(answer)))
	w.WriteHeader(code)
	_, _ = w.Write(answer)
}

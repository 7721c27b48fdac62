package postgres

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"time"
)

// controlSocket is where an operator's orders come from: only root and postgres
// of this container reach it.
const controlSocket = runFolder + "/control.sock"

// listen answers the peer, and who asks in this container, until it is closed.
func (a *agent) listen(ctx context.Context) (closeAll func(), err error) {
	peers, err := net.Listen("tcp", fmt.Sprintf(":%d", AgentPort))
	if err != nil {
		return nil, err
	}
	if err := os.Remove(controlSocket); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	operator, err := net.Listen("unix", controlSocket)
	if err != nil {
		return nil, errors.Join(err, peers.Close())
	}
	order := func(name string) func(context.Context, []byte) error {
		return func(ctx context.Context, body []byte) error { return a.order(ctx, name, body) }
	}
	d := &desk{secret: a.config.Secret, status: a.Status, orders: map[string]func(context.Context, []byte) error{}}
	for _, name := range []string{orderInStep, orderOutOfStep, orderFence, orderTakeOver} {
		d.orders["/"+name] = order(name)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /status", func(w http.ResponseWriter, _ *http.Request) {
		_ = json.NewEncoder(w).Encode(Both{a.Status(), a.peerStatus()}) // its reader went away
	})
	mux.HandleFunc("POST /{order}", func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(io.LimitReader(r.Body, longestMessage))
		if err == nil {
			err = a.order(r.Context(), r.PathValue("order"), body)
		}
		if err != nil {
			http.Error(w, err.Error(), http.StatusConflict)
		}
	})
	servers := []*http.Server{
		{Handler: d, ReadTimeout: 5 * time.Second, MaxHeaderBytes: 16 << 10, BaseContext: func(net.Listener) context.Context { return ctx }},
		{Handler: mux, BaseContext: func(net.Listener) context.Context { return ctx }},
	}
	go func() { _ = servers[0].Serve(peers) }()
	go func() { _ = servers[1].Serve(operator) }()
	return func() {
		for _, s := range servers {
			_ = s.Close()
		}
	}, nil
}

// Both is what an agent says of its node and, as far as it knows, of the other.
type Both struct {
	Status
	Other *Status `json:"other,omitempty"`
}

// ask talks to the agent of this container.
func ask(ctx context.Context, method, path, body string) ([]byte, error) {
	client := http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "unix", controlSocket)
	}}}
	request, err := http.NewRequestWithContext(ctx, method, "http://agent/"+path, strings.NewReader(body))
	if err != nil {
		return nil, err
	}
	response, err := client.Do(request)
	if err != nil {
		return nil, errors.New("the agent of this container does not answer: it is only just starting, or stopping")
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(response.Body, longestMessage))
	if err != nil {
		return nil, err
	}
	if response.StatusCode != http.StatusOK {
		return nil, refusal(strings.TrimSpace(string(answer)))
	}
	return answer, nil
}

// Print writes what the agent of this container says, as JSON.
func Print(ctx context.Context, out io.Writer) error {
	answer, err := ask(ctx, http.MethodGet, "status", "")
	if err != nil {
		return err
	}
	_, err = out.Write(answer)
	return err
}

// Order has the agent of this container do something: switchover, failover or
// reinit. It returns when that is done, or why it is not.
func Order(ctx context.Context, name string, given any) error {
	body, err := json.Marshal(given)
	if err != nil {
		return err
	}
	_, err = ask(ctx, http.MethodPost, name, string(body))
	return err
}

// Health says whether the node does what it is here for, or why it does not.
func Health(ctx context.Context, out io.Writer) error {
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	answer, err := ask(ctx, http.MethodGet, "status", "")
	if err != nil {
		return err
	}
	var b Both
	if err := json.Unmarshal(answer, &b); err != nil {
		return err
	}
	well, sentence := wellness(b.Status)
	if !well {
		return errors.New(sentence)
	}
	_, err = fmt.Fprintln(out, sentence)
	return err
}

// wellness is the health check: a primary is well when commits are acknowledged,
// a standby when it receives the log.
func wellness(s Status) (well bool, sentence string) {
	sentence = s.State
	if s.Role != "" {
		sentence = string(s.Role) + ", " + sentence
	}
	if s.Why != "" {
		sentence += ": " + s.Why
	}
	switch {
	case s.State == StateServing && (s.Durable || s.Degraded || !s.Strict):
		well = true
	case s.State == StateFollowing && s.Running:
		well = true
	}
	if !well && s.Fix != "" {
		sentence += "; " + s.Fix
	}
	return well, sentence
}

package postgres

import (
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"
)

// scene is an agent of a node, with a server and a peer that do as the test says
// and keep what was on the disk when they were asked for something.
type scene struct {
	t     *testing.T
	agent *agent
	run   *running
	// peer is what the peer says, refuses why it does nothing of what it is told.
	// Where silent is set, it does not answer at all; where mute, it does not say
	// what came of an order.
	peer         Status
	refuses      error
	silent, mute bool
	// The server's state.
	server view

	mu sync.Mutex
	// happened is what the peer and the server were asked for, in order; noted and
	// waits are what the node's note and the server's orders were then.
	happened []string
	noted    map[string]Record
	waits    map[string]string
}

// standbyScene is the second node, in step with its primary, which is silent and
// sends nothing any more.
func standbyScene(t *testing.T) *scene {
	s := newScene(t, SecondNode, Record{Node: SecondNode, Role: Standby, System: ours, InStep: true})
	s.server.recovering, s.silent = true, true
	return s
}

// primaryScene is the first node, with its standby in step.
func primaryScene(t *testing.T) *scene {
	s := newScene(t, FirstNode, Record{Node: FirstNode, Role: Primary, System: ours, Strict: true, PeerInStep: true})
	s.peer = Status{Node: SecondNode, Role: Standby, System: ours, Timeline: 1, Running: true, InStep: true, State: StateFollowing}
	s.server.names, s.agent.orders.waitFor = names(SecondNode), SecondNode
	s.run.keeping = primaryWith(func(k *keeping) { k.record = s.agent.record })
	return s
}

func newScene(t *testing.T, name string, r Record) *scene {
	t.Helper()
	s := &scene{t: t, noted: map[string]Record{}, waits: map[string]string{}}
	s.server = view{system: ours, timeline: 1, position: 1000}
	c := node(name, r).config
	c.Data, c.Run, c.PeerSource, c.Secret, c.Superuser = t.TempDir(), t.TempDir(), "10.0.0.9/32", "secret", "inmanta"
	c.PeerHost, c.PeerAgentPort = s.answering(c.Secret)
	s.agent = &agent{config: c, volume: volume(c.Data), log: io.Discard, peer: newPeer(c)}
	if err := s.agent.volume.hold(); err != nil {
		t.Fatal(err)
	}
	if err := s.agent.note(func(now *Record) { *now = r }); err != nil {
		t.Fatal(err)
	}
	s.run = &running{server: s.process(), session: s.connected(), lostWhy: make(chan string, 1)}
	s.run.keeping.view.timeline = 1
	return s
}

// happens keeps that something did, and what was on the disk at that time.
func (s *scene) happens(what string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.happened = append(s.happened, what)
	r, _, err := readRecord(s.agent.volume.own(""))
	if err != nil {
		s.t.Error(err)
	}
	s.noted[what] = r
	text, _ := os.ReadFile(s.agent.config.told(configFile)) // before the first orders there is none
	for line := range strings.Lines(string(text)) {
		if value, is := strings.CutPrefix(line, "synchronous_standby_names = "); is {
			s.waits[what] = strings.TrimSpace(value)
		}
	}
}

// cannotNote makes the volume one that takes no note.
func (s *scene) cannotNote() {
	if err := os.Mkdir(s.agent.volume.own(recordFile+".new"), 0o700); err != nil {
		s.t.Fatal(err)
	}
}

// order has the agent do something.
func (s *scene) order(name string, given any) error {
	s.t.Helper()
	body, err := json.Marshal(given)
	if err != nil {
		s.t.Fatal(err)
	}
	return s.agent.carryOut(s.t.Context(), command{name: name, body: body}, s.run)
}

// answering is the peer, and where it is.
func (s *scene) answering(secret string) (host string, port int) {
	d := &desk{secret: secret, status: func() Status { return s.peer }, orders: map[string]func(context.Context, []byte) error{}}
	for _, name := range []string{orderInStep, orderOutOfStep, orderFence, orderTakeOver} {
		d.orders["/"+name] = func(context.Context, []byte) error { s.happens(name); return s.refuses }
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		s.t.Fatal(err)
	}
	server := httptest.NewUnstartedServer(hush{s, d})
	server.Listener = listener
	server.Start()
	s.t.Cleanup(server.Close)
	at, err := url.Parse(server.URL)
	if err != nil {
		s.t.Fatal(err)
	}
	port, err = strconv.Atoi(at.Port())
	if err != nil {
		s.t.Fatal(err)
	}
	return at.Hostname(), port
}

// process stands for the server's: one that is told nothing by a reload, and ends
// when it is stopped.
func (s *scene) process() *server {
	command := exec.Command("sh", "-c", `trap "" HUP; echo; exec sleep 600`)
	out, err := command.StdoutPipe()
	if err == nil {
		err = command.Start()
	}
	if err == nil {
		_, err = out.Read(make([]byte, 1)) // it does not mind a reload from here on
	}
	if err != nil {
		s.t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() { _ = command.Wait(); close(ended) }()
	s.t.Cleanup(func() { _ = command.Process.Kill(); <-ended })
	return &server{command: command, ended: ended}
}

// connected is a session with the server.
func (s *scene) connected() *session {
	config, err := pgconn.ParseConfig("host=server user=inmanta sslmode=disable")
	if err != nil {
		s.t.Fatal(err)
	}
	config.LookupFunc = func(context.Context, string) ([]string, error) { return []string{"server"}, nil }
	config.DialFunc = func(context.Context, string, string) (net.Conn, error) {
		ours, theirs := net.Pipe()
		go s.serve(theirs)
		return ours, nil
	}
	conn, err := pgconn.ConnectConfig(s.t.Context(), config)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { _ = conn.Close(context.Background()) })
	return &session{conn}
}

// serve answers one session until it ends.
func (s *scene) serve(conn net.Conn) {
	defer conn.Close()
	b := pgproto3.NewBackend(conn, conn)
	if _, err := b.ReceiveStartupMessage(); err != nil {
		return
	}
	b.Send(&pgproto3.AuthenticationOk{})
	for {
		b.Send(&pgproto3.ReadyForQuery{TxStatus: 'I'})
		if b.Flush() != nil {
			return
		}
		message, err := b.Receive()
		query, is := message.(*pgproto3.Query)
		if err != nil || !is {
			return // it takes its leave
		}
		for statement := range strings.SplitSeq(query.String, ";\n") {
			for _, row := range s.answer(statement) {
				b.Send(&pgproto3.RowDescription{Fields: make([]pgproto3.FieldDescription, len(row))})
				b.Send(&pgproto3.DataRow{Values: row})
			}
			b.Send(&pgproto3.CommandComplete{CommandTag: []byte("OK")})
		}
	}
}

// row is one of an answer; what is empty is NULL.
func row(fields ...string) [][]byte {
	var values [][]byte
	for _, field := range fields {
		if field == "" {
			values = append(values, nil)
		} else {
			values = append(values, []byte(field))
		}
	}
	return values
}

// answer is the server's to a statement.
func (s *scene) answer(statement string) [][][]byte {
	begins := func(with string) bool { return strings.HasPrefix(statement, with) }
	v := &s.server
	at := v.position.String()
	switch {
	case begins("SELECT pg_is_in_recovery(), system"):
		return [][][]byte{row(map[bool]string{true: "t", false: "f"}[v.recovering], v.system, "on")}
	case begins("SELECT CASE WHEN pg_is_in_recovery()"):
		return [][][]byte{row(at, at, "", strconv.Itoa(int(v.timeline)))}
	case begins("SELECT name, setting"):
		return [][][]byte{row("synchronous_standby_names", v.names)}
	case begins("SELECT slot_name"):
		return [][][]byte{row(slotName(s.agent.config.Peer), "reserved", "t", "0")}
	case begins("SELECT count(*)"), begins("SELECT (SELECT coalesce(sum(pg_tablespace_size"):
		return [][][]byte{row("0")}
	case begins("SELECT status, received_tli") && v.receiving:
		return [][][]byte{row("streaming", strconv.Itoa(int(v.timeline)))}
	case begins("SELECT pg_promote"):
		s.happens("promotion")
		v.recovering, v.timeline = false, v.timeline+1
		return [][][]byte{row("t")}
	case begins("ALTER SYSTEM"):
		s.happens(statement)
	}
	return nil
}

// hush is the peer's door, behind which nobody may answer.
type hush struct {
	scene *scene
	desk  http.Handler
}

func (h hush) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !h.scene.silent {
		h.desk.ServeHTTP(w, r)
	}
	if h.scene.silent || h.scene.mute && r.Method == http.MethodPost {
		panic(http.ErrAbortHandler) // the connection ends without an answer
	}
}

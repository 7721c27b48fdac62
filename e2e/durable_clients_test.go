package e2e

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/inmanta/inmanta-docker/e2e/history"
)

// clients write to the pair and read from it, wherever its primary is, and keep
// what they were told outside of it.
type clients struct {
	pair *pair
	// patience is how long one waits for an answer.
	patience time.Duration
	began    time.Time
	// ending is closed for each to end what it does, and no more.
	ending  chan struct{}
	end     func()
	running sync.WaitGroup

	mu      sync.Mutex
	journal []history.Operation
}

// registers are the registers' names.
var registers = []string{"x", "y"}

// clients starts some with an empty database: a set, a list and two registers.
func (p *pair) clients(number int, patience time.Duration) *clients {
	p.t.Helper()
	primary, _ := p.whole()
	return p.clientsOf(primary, number, patience)
}

// clientsOf is clients for a pair that is not to be whole.
func (p *pair) clientsOf(primary string, number int, patience time.Duration) *clients {
	p.t.Helper()
	p.sql(primary, `DROP TABLE IF EXISTS entry, list, register;
		CREATE TABLE entry (value text PRIMARY KEY);
		CREATE TABLE list (items text[]);
		CREATE TABLE register (key text PRIMARY KEY, value text);
		INSERT INTO list VALUES ('{}');
		INSERT INTO register SELECT unnest('{`+strings.Join(registers, ",")+`}'::text[]), ''`)
	c := &clients{pair: p, patience: patience, began: time.Now(), ending: make(chan struct{})}
	c.end = sync.OnceFunc(func() { close(c.ending) })
	ctx := p.t.Context()
	for id := range number {
		c.running.Go(func() {
			one := &client{clients: c, id: id}
			for ctx.Err() == nil && !c.over() {
				one.act(ctx)
			}
			one.leave()
		})
	}
	p.t.Cleanup(func() { c.end(); c.running.Wait() })
	return c
}

func (c *clients) over() bool {
	select {
	case <-c.ending:
		return true
	default:
		return false
	}
}

// acknowledged is how many operations have been, so far. Reads are among them:
// they lock what they read, and wait as writes do.
func (c *clients) acknowledged() (n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, o := range c.journal {
		if o.Outcome == history.OK {
			n++
		}
	}
	return n
}

// goesOn waits until writes that begin from now on are acknowledged.
func (c *clients) goesOn() {
	c.pair.t.Helper()
	before := c.acknowledged()
	c.pair.until("writes are acknowledged", func() bool { return c.acknowledged() >= before+10 })
}

// blocked makes sure that nothing is acknowledged any more.
func (c *clients) blocked(for_ time.Duration) {
	c.pair.t.Helper()
	before := c.acknowledged()
	time.Sleep(for_) // that something does not happen
	if after := c.acknowledged(); after != before {
		c.pair.t.Errorf("%d writes were acknowledged that had to wait", after-before)
	}
}

// judge ends the clients, waits until the pair is whole, and compares what was
// acknowledged with what both have.
func (c *clients) judge() history.Verdict {
	c.pair.t.Helper()
	primary, standby := c.pair.whole()
	c.end()
	c.running.Wait()
	final := c.read(primary)
	c.caughtUp(primary, standby)
	verdict := history.Judge(c.journal, final)
	c.pair.t.Log(verdict)
	if !verdict.Good() || verdict.Acknowledged == 0 {
		c.pair.t.Error("the promise is broken, or nothing was acknowledged at all")
	}
	return verdict
}

const allOfIt = `SELECT md5(string_agg(t, ',')) FROM (
	SELECT e::text t FROM entry e UNION ALL SELECT l::text FROM list l UNION ALL SELECT r::text FROM register r ORDER BY 1) AS parts`

// read reads what is there in the end.
func (c *clients) read(node string) (final history.Final) {
	c.pair.t.Helper()
	final.Set = strings.Fields(c.pair.sql(node, `SELECT value FROM entry`))
	final.List = strings.Fields(c.pair.sql(node, `SELECT unnest(items) FROM list`))
	final.Registers = map[string]string{}
	for line := range strings.Lines(c.pair.sql(node, `SELECT key, value FROM register`)) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), "|")
		final.Registers[key] = value
	}
	return final
}

// client does one thing after the other, over one connection after the other.
type client struct {
	*clients
	id, count int
	conn      *pgx.Conn
	// server and term say whose connection it is, noticed that it said more than
	// yes: a commit that was not waited for.
	server  string
	term    int
	noticed bool
}

// connect looks for the primary. It never sends a request to cancel, as one
// whose host is gone does not: a commit that is cancelled counts as done for
// everybody else, and the promise is over for it.
func (c *client) connect(ctx context.Context) error {
	p := c.pair
	// In either order: where two say that they are the primary, each has clients.
	order := rand.IntN(2)
	config, err := pgx.ParseConfig(fmt.Sprintf("host=%[1]s%[2]d,%[1]s%[3]d port=5432,5432 user=inmanta password=for-clients dbname=inmanta sslmode=disable target_session_attrs=primary connect_timeout=2", p.subnet, 2+order, 3-order))
	if err != nil {
		return err
	}
	connected := false
	var dialer net.Dialer
	config.DialFunc = func(ctx context.Context, network, address string) (net.Conn, error) {
		if connected {
			return nil, errors.New("no request to cancel")
		}
		return dialer.DialContext(ctx, network, address)
	}
	config.DefaultQueryExecMode = pgx.QueryExecModeExec
	config.OnNotice = func(conn *pgconn.PgConn, _ *pgconn.Notice) {
		c.noticed = true
		_ = conn.Conn().Close()
	}
	if c.conn, err = pgx.ConnectConfig(ctx, config); err != nil {
		return err
	}
	connected = true
	host, _, err := net.SplitHostPort(c.conn.PgConn().Conn().RemoteAddr().String())
	if err != nil {
		return err
	}
	c.server = nodes[host[len(host)-1]-'2']
	var file string
	if err := c.conn.QueryRow(ctx, "SELECT pg_walfile_name(pg_current_wal_lsn())").Scan(&file); err != nil {
		return err
	}
	timeline, err := strconv.ParseUint(file[:8], 16, 31)
	c.term = int(timeline)
	return err
}

func (c *client) leave() {
	if c.conn == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	_ = c.conn.Close(ctx) // its end may be gone
	c.conn = nil
}

// act does one thing, with a connection that it makes if it has none.
func (c *client) act(ctx context.Context) {
	limited, cancel := context.WithTimeout(ctx, c.patience)
	defer cancel()
	if c.conn == nil {
		if err := c.connect(limited); err != nil {
			c.leave()
			pause(ctx, 50*time.Millisecond)
			return
		}
	}
	c.count++
	o := history.Operation{Client: c.id, Value: fmt.Sprintf("%d-%d", c.id, c.count), Server: c.server, Term: c.term}
	var run func(context.Context, *history.Operation) error
	switch n := rand.IntN(20); {
	case n < 12:
		o.Kind, run = history.Insert, c.insert
	case n < 14:
		o.Kind, run = history.Append, c.append
	case n < 15:
		o.Kind, run = history.List, c.list
	case n < 17:
		o.Kind, run = history.Write, c.write
	default:
		o.Kind, run = history.Read, c.get
	}
	c.noticed = false
	o.Start = time.Since(c.began)
	err := run(limited, &o)
	o.End = time.Since(c.began)
	o.Outcome = outcome(err, c.noticed)
	c.mu.Lock()
	c.journal = append(c.journal, o)
	c.mu.Unlock()
	if o.Outcome == history.Unknown {
		c.leave()
	}
	pause(ctx, 5*time.Millisecond)
}

func pause(ctx context.Context, how time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(how):
	}
}

// outcome is what is known after an answer. A server that refuses a statement,
// and lives, has undone it; whatever else went wrong may have worked.
func outcome(err error, noticed bool) history.Outcome {
	var refused *pgconn.PgError
	switch {
	case err == nil && !noticed:
		return history.OK
	case !noticed && errors.As(err, &refused) && refused.Severity == "ERROR" && (refused.Code[:2] == "40" || refused.Code[:2] == "53"):
		return history.Failed
	}
	return history.Unknown
}

// insert does it by itself or in a transaction: an acknowledgement is of its COMMIT then.
func (c *client) insert(ctx context.Context, o *history.Operation) error {
	if c.count%2 == 0 {
		_, err := c.conn.Exec(ctx, "INSERT INTO entry VALUES ($1)", o.Value)
		return err
	}
	tx, err := c.conn.Begin(ctx)
	if err != nil {
		return err
	}
	if _, err := tx.Exec(ctx, "INSERT INTO entry VALUES ($1)", o.Value); err != nil {
		return errors.Join(err, tx.Rollback(ctx))
	}
	return tx.Commit(ctx)
}

func (c *client) append(ctx context.Context, o *history.Operation) error {
	_, err := c.conn.Exec(ctx, "UPDATE list SET items = items || $1::text", o.Value)
	return err
}

// list and get lock what they read: a plain read waits for nobody, and one of a
// primary that has been superseded and does not know yet shows what was.
func (c *client) list(ctx context.Context, o *history.Operation) error {
	o.Value = ""
	return c.conn.QueryRow(ctx, "SELECT items FROM list FOR UPDATE").Scan(&o.Values)
}

func (c *client) write(ctx context.Context, o *history.Operation) error {
	o.Key = registers[rand.IntN(len(registers))]
	_, err := c.conn.Exec(ctx, "UPDATE register SET value = $1 WHERE key = $2", o.Value, o.Key)
	return err
}

func (c *client) get(ctx context.Context, o *history.Operation) error {
	o.Key = registers[rand.IntN(len(registers))]
	return c.conn.QueryRow(ctx, "SELECT value FROM register WHERE key = $1 FOR UPDATE", o.Key).Scan(&o.Value)
}

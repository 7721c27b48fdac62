package dbdump

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
)

// server is what one of the addresses answered.
type server struct {
	address
	// err is why it did not; errAbsent where nobody has to be there.
	err error
	// standby is one; streaming that its primary sends, current that it shows all
	// that its primary had when that was asked.
	standby, streaming, current bool
	// position is up to where in the log a primary has stored what was committed, and
	// a standby shows it.
	position int64
	version  string
	// tables is how many there are in the database.
	tables int
}

// Role is what it is: "standby" or "primary".
func (s server) Role() string {
	if s.standby {
		return "standby"
	}
	return "primary"
}

// errAbsent is an optional server that the topology does not have.
var errAbsent = errors.New("there is no such server")

// askPatience is how long a server may take to say how it is.
const askPatience = 10 * time.Second

// question is what it is asked. A standby may have on its disk what it does not show
// yet: it is asked what it shows.
const question = `SELECT pg_is_in_recovery(), current_setting('server_version'),
	(SELECT count(*) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
		WHERE c.relkind IN ('r', 'p') AND n.nspname !~ '^(pg_|information_schema$)'),
	coalesce((SELECT status = 'streaming' FROM pg_stat_wal_receiver LIMIT 1), false),
	coalesce(CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_flush_lsn() END - '0/0'::pg_lsn, 0)::bigint`

// catchPatience is how long a standby may take to show what its primary has, and
// catchPeriod how often it is asked meanwhile.
const (
	catchPatience = 10 * time.Second
	catchPeriod   = 100 * time.Millisecond
)

// look asks all servers at the same time, and then those standbys again that are
// about to show what their primary has.
func (c Config) look(ctx context.Context) []server {
	asking, cancel := context.WithTimeout(ctx, askPatience)
	defer cancel()
	all := make([]server, len(c.Servers))
	var group sync.WaitGroup
	for i, a := range c.Servers {
		group.Go(func() { all[i] = c.inquire(asking, a) })
	}
	group.Wait()
	primary := slices.IndexFunc(all, func(s server) bool { return s.err == nil && !s.standby })
	if primary < 0 {
		return all
	}
	catching, cancel := context.WithTimeout(ctx, catchPatience)
	defer cancel()
	for i := range all {
		if all[i].err == nil && all[i].standby {
			group.Go(func() { all[i] = c.caughtUp(catching, all[i], all[primary].position) })
		}
	}
	group.Wait()
	return all
}

// caughtUp is a standby once it shows what its primary had, or will not soon.
func (c Config) caughtUp(ctx context.Context, s server, position int64) server {
	tick := time.NewTicker(catchPeriod)
	defer tick.Stop()
	for s.err == nil && s.position < position && s.streaming {
		select {
		case <-ctx.Done():
			return s
		case <-tick.C:
		}
		s = c.inquire(ctx, s.address)
	}
	s.current = s.err == nil && s.standby && s.position >= position
	return s
}

func (c Config) ask(ctx context.Context, a address) server {
	s := server{address: a}
	if a.Optional && !beside(ctx, a.Host) {
		s.err = errAbsent
		return s
	}
	config, err := pgconn.ParseConfig(c.connection(a))
	if err != nil {
		s.err = err
		return s
	}
	config.Password = c.Password
	conn, err := pgconn.ConnectConfig(ctx, config)
	if err != nil {
		s.err = plain(err)
		return s
	}
	defer conn.Close(context.WithoutCancel(ctx)) //nolint:errcheck // it was only asked
	results, err := conn.Exec(ctx, question).ReadAll()
	if err == nil && (len(results) != 1 || len(results[0].Rows) != 1 || len(results[0].Rows[0]) != 5) {
		err = errors.New("it answers something else than it was asked")
	}
	if err != nil {
		s.err = plain(err)
		return s
	}
	row := results[0].Rows[0]
	s.standby, s.version, s.streaming = string(row[0]) == "t", string(row[1]), string(row[3]) == "t"
	if s.tables, s.err = strconv.Atoi(string(row[2])); s.err == nil {
		s.position, s.err = strconv.ParseInt(string(row[4]), 10, 64)
	}
	return s
}

// connection is how a server is reached, in libpq's words but for the password. A
// link that is dead is found out within two minutes.
func (c Config) connection(a address) string {
	value := func(text string) string {
		return "'" + strings.NewReplacer(`\`, `\\`, "'", `\'`).Replace(text) + "'"
	}
	return fmt.Sprintf("host=%s port=%s user=%s dbname=%s application_name=inmanta-db-dump connect_timeout=10 target_session_attrs=any",
		value(a.Host), value(a.Port), value(c.User), value(c.Database))
}

// keepalives are further words for libpq, which pgconn does not know.
const keepalives = " keepalives_idle=30 keepalives_interval=15 keepalives_count=6"

// plain is why nobody could be reached, without who and where: whoever says it knows.
func plain(err error) error {
	var refused *pgconn.PgError
	if errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("it does not answer within %s", askPatience)
	}
	if errors.As(err, &refused) {
		return errors.New(refused.Message)
	}
	var unknown *net.DNSError
	if errors.As(err, &unknown) {
		return errors.New("there is no host of that name")
	}
	var failed *net.OpError
	if errors.As(err, &failed) {
		return failed.Err
	}
	return err
}

// beside says whether a host is on one of the networks of this container. A name
// may mean something else elsewhere, and that is not asked, nor told a password.
func beside(ctx context.Context, host string) bool {
	found, err := net.DefaultResolver.LookupIPAddr(ctx, host)
	if err != nil {
		return false
	}
	own, err := net.InterfaceAddrs()
	if err != nil {
		return false
	}
	return slices.ContainsFunc(own, func(a net.Addr) bool {
		network, is := a.(*net.IPNet)
		return is && slices.ContainsFunc(found, func(at net.IPAddr) bool { return network.Contains(at.IP) })
	})
}

// choose are the servers to dump, the best first: a standby that is current, since
// that spares the primary; the primary; and without a primary, a standby that has
// what there is. The error is why there is none.
func choose(all []server) ([]server, error) {
	var able []server
	var why []string
	primary := false
	for _, s := range all {
		switch {
		case errors.Is(s.err, errAbsent):
		case s.err != nil:
			why = append(why, fmt.Sprintf("%s: %v", s.Host, s.err))
		default:
			able = append(able, s)
			primary = primary || !s.standby
		}
	}
	if len(able) == 0 {
		return nil, fmt.Errorf("no database answers (%s)", strings.Join(why, "; "))
	}
	able = slices.DeleteFunc(able, func(s server) bool { return primary && s.standby && !s.current })
	rank := func(s server) int {
		switch {
		case s.standby && s.current:
			return 0
		case !s.standby:
			return 1
		}
		return 2
	}
	slices.SortStableFunc(able, func(a, b server) int { return cmp.Compare(rank(a), rank(b)) })
	return able, nil
}

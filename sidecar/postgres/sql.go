package postgres

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/inmanta/inmanta-docker/sidecar/scram"
)

// session is a connection to this node's own server, through its socket.
type session struct {
	conn *pgconn.PgConn
}

// sqlPatience is how long the server may take for what is asked of it here.
const sqlPatience = 5 * time.Second

// connect connects as the superuser. Its commits wait for nobody: it is the one
// who sees to it that there is somebody to wait for.
func connect(ctx context.Context, superuser string) (*session, error) {
	ctx, cancel := context.WithTimeout(ctx, sqlPatience)
	defer cancel()
	config, err := pgconn.ParseConfig("")
	if err != nil {
		return nil, err
	}
	config.Host, config.Port, config.User, config.Database = socketFolder, 5432, superuser, "postgres"
	config.Password, config.TLSConfig, config.Fallbacks = "", nil, nil
	config.RuntimeParams = map[string]string{
		"application_name": "inmanta-sidecar", "synchronous_commit": "local", "statement_timeout": "0", "search_path": "pg_catalog",
	}
	conn, err := pgconn.ConnectConfig(ctx, config)
	if err != nil {
		return nil, err
	}
	return &session{conn}, nil
}

func (s *session) close() { _ = s.conn.Close(context.Background()) }

// rows are a query's, as text; NULL is "".
type rows [][]string

// query runs statements and returns the rows of each.
func (s *session) query(ctx context.Context, statements ...string) ([]rows, error) {
	results, err := s.conn.Exec(ctx, strings.Join(statements, ";\n")).ReadAll()
	if err != nil {
		return nil, err
	}
	var all []rows
	for _, result := range results {
		var one rows
		for _, row := range result.Rows {
			var fields []string
			for _, field := range row {
				fields = append(fields, string(field))
			}
			one = append(one, fields)
		}
		all = append(all, one)
	}
	if len(all) != len(statements) {
		return nil, fmt.Errorf("%d results of %d statements", len(all), len(statements))
	}
	return all, nil
}

// ask is query with the patience for something that is quick.
func (s *session) ask(ctx context.Context, statements ...string) ([]rows, error) {
	ctx, cancel := context.WithTimeout(ctx, sqlPatience)
	defer cancel()
	return s.query(ctx, statements...)
}

// view is what a server says of itself.
type view struct {
	recovering bool
	timeline   uint32
	position   Position
	replayed   Position
	// names and trustworthy are what holds of the promise's settings.
	names       string
	trustworthy string
	// replication, slots and waiting are a primary's.
	replication *Replication
	slots       map[string]Slot
	waiting     int
	// receiving is a standby's: its receiver streams.
	receiving bool
	checksums bool
	system    string
}

// look asks the server for all of it at once.
func (s *session) look(ctx context.Context, peer string) (view, error) {
	answers, err := s.ask(ctx,
		`SELECT pg_is_in_recovery(), system_identifier, current_setting('data_checksums') FROM pg_control_system()`,
		`SELECT CASE WHEN pg_is_in_recovery() THEN coalesce(pg_last_wal_receive_lsn(), pg_last_wal_replay_lsn()) ELSE pg_current_wal_flush_lsn() END,
			CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_flush_lsn() END,
			CASE WHEN pg_is_in_recovery() THEN NULL ELSE substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8) END,
			(SELECT greatest(timeline_id, (SELECT min_recovery_end_timeline FROM pg_control_recovery())) FROM pg_control_checkpoint())`,
		`SELECT name, setting FROM pg_settings WHERE name IN ('synchronous_standby_names', 'fsync', 'full_page_writes')`,
		fmt.Sprintf(`SELECT state, sync_state, flush_lsn, replay_lsn,
			CASE WHEN pg_is_in_recovery() THEN 0 ELSE pg_wal_lsn_diff(pg_current_wal_flush_lsn(), flush_lsn) END,
			coalesce(extract(epoch FROM flush_lag), 0)
			FROM pg_stat_replication WHERE application_name = %s AND flush_lsn IS NOT NULL ORDER BY backend_start DESC LIMIT 1`, quote(peer)),
		`SELECT slot_name, coalesce(wal_status, ''), active,
			CASE WHEN pg_is_in_recovery() THEN 0 ELSE coalesce(pg_wal_lsn_diff(pg_current_wal_lsn(), restart_lsn), 0) END
			FROM pg_replication_slots WHERE slot_type = 'physical'`,
		`SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep'`,
		`SELECT status, received_tli FROM pg_stat_wal_receiver`,
	)
	if err != nil {
		return view{}, err
	}
	return readView(answers)
}

// reader reads fields and keeps the first mistake.
type reader struct{ err error }

func (r *reader) fail(err error) {
	if r.err == nil && err != nil {
		r.err = err
	}
}

func (r *reader) position(text string) Position {
	if text == "" {
		return 0
	}
	p, err := parsePosition(text)
	r.fail(err)
	return p
}

func (r *reader) number(text string, base int) int64 {
	whole, _, _ := strings.Cut(text, ".")
	n, err := strconv.ParseInt(whole, base, 64)
	r.fail(err)
	return n
}

func (r *reader) seconds(text string) float64 {
	n, err := strconv.ParseFloat(text, 64)
	r.fail(err)
	return n
}

// readView makes a view of the answers to look's questions.
func readView(answers []rows) (view, error) {
	var v view
	var r reader
	if len(answers) != 7 || len(answers[0]) != 1 || len(answers[1]) != 1 || len(answers[5]) != 1 {
		return view{}, fmt.Errorf("the server answers otherwise than it was asked")
	}
	v.recovering, v.system, v.checksums = answers[0][0][0] == "t", answers[0][0][1], answers[0][0][2] == "on"
	at := answers[1][0]
	v.position, v.replayed = r.position(at[0]), r.position(at[1])
	if at[2] != "" {
		v.timeline = uint32(r.number(at[2], 16))
	} else {
		v.timeline = uint32(r.number(at[3], 10))
	}
	for _, setting := range answers[2] {
		switch {
		case setting[0] == "synchronous_standby_names":
			v.names = setting[1]
		case setting[1] != "on":
			v.trustworthy = setting[0] + " is " + setting[1]
		}
	}
	for _, row := range answers[3] {
		v.replication = &Replication{
			State: row[0], Sync: row[1], Flushed: r.position(row[2]), Replayed: r.position(row[3]),
			LagBytes: max(0, r.number(row[4], 10)), LagSeconds: r.seconds(row[5]),
		}
	}
	v.slots = map[string]Slot{}
	for _, row := range answers[4] {
		v.slots[row[0]] = Slot{State: row[1], Active: row[2] == "t", KeptBytes: r.number(row[3], 10)}
	}
	v.waiting = int(r.number(answers[5][0][0], 10))
	for _, row := range answers[6] {
		v.receiving = row[0] == "streaming"
		if tli := row[1]; tli != "" {
			v.timeline = max(v.timeline, uint32(r.number(tli, 10)))
		}
	}
	return v, r.err
}

// size is what a copy of the cluster takes, in bytes.
func (s *session) size(ctx context.Context) (int64, error) {
	answers, err := s.ask(ctx, `SELECT (SELECT coalesce(sum(pg_tablespace_size(oid)), 0) FROM pg_tablespace) + (SELECT coalesce(sum(size), 0) FROM pg_ls_waldir())`)
	if err != nil {
		return 0, err
	}
	var r reader
	return r.number(answers[0][0][0], 10), r.err
}

// collations are those that the libraries of this image sort otherwise by than
// those that the databases were made with.
func (s *session) collations(ctx context.Context) ([]string, error) {
	answers, err := s.ask(ctx, `SELECT format('database %s: %s, this image has %s', datname, datcollversion, pg_database_collation_actual_version(oid))
		FROM pg_database WHERE datallowconn AND datcollversion IS DISTINCT FROM pg_database_collation_actual_version(oid)`)
	if err != nil {
		return nil, err
	}
	var all []string
	for _, row := range answers[0] {
		all = append(all, row[0])
	}
	return all, nil
}

// loose says who set synchronous_commit to less than the promise takes: in a
// file, or for a database or a user. What a session does to itself is its own.
func (s *session) loose(ctx context.Context) (string, error) {
	answers, err := s.ask(ctx,
		`SELECT setting || ' in ' || sourcefile FROM pg_file_settings WHERE name = 'synchronous_commit' AND applied AND setting NOT IN ('on', 'remote_apply')`,
		`SELECT split_part(one, '=', 2) || coalesce(' for database ' || datname, '') || coalesce(' for user ' || rolname, '')
			FROM pg_db_role_setting CROSS JOIN unnest(setconfig) AS one LEFT JOIN pg_database d ON d.oid = setdatabase LEFT JOIN pg_roles r ON r.oid = setrole
			WHERE one LIKE 'synchronous_commit=%' AND split_part(one, '=', 2) NOT IN ('on', 'remote_apply')`)
	if err != nil {
		return "", err
	}
	for _, answer := range answers {
		for _, row := range answer {
			return "synchronous_commit is " + row[0], nil
		}
	}
	return "", nil
}

// admitReplication makes the replication user, with the deployment's password.
func (s *session) admitReplication(ctx context.Context, secret string) error {
	stored, err := scram.Verifier(secret)
	if err != nil {
		return err
	}
	there, err := s.ask(ctx, "SELECT 1 FROM pg_roles WHERE rolname = "+quote(replicationUser))
	if err != nil {
		return err
	}
	verb := "CREATE"
	if len(there[0]) > 0 {
		verb = "ALTER"
	}
	_, err = s.ask(ctx, fmt.Sprintf("%s ROLE %s LOGIN REPLICATION NOSUPERUSER NOCREATEDB NOCREATEROLE CONNECTION LIMIT 8 PASSWORD %s", verb, replicationUser, quote(stored)))
	return err
}

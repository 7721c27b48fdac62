package dbarchive

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/inmanta/inmanta-docker/sidecar/moments"
)

// server is what the database says of itself.
type server struct {
	system, version string
	// size is how large a segment of its log is, and bytes all databases together.
	size, bytes int64
	// at is up to where it has written its log.
	at int64
	// hasSlot says whether there is a slot, and lost that it does not keep what it
	// should any more. held is how much of the log it keeps, in bytes, and needs the
	// segment that it begins with.
	hasSlot, lost bool
	held          int64
	needs         moments.Segment
	// receiving says whether somebody receives the log by the slot, and stored up to
	// where that one has it on its disk.
	receiving bool
	stored    int64
}

const question = `SELECT c.system_identifier, split_part(current_setting('server_version'), ' ', 1),
	pg_size_bytes(current_setting('wal_segment_size')), (SELECT sum(pg_database_size(oid)) FROM pg_database)::bigint,
	(pg_current_wal_insert_lsn() - '0/0')::bigint,
	s.slot_name IS NOT NULL, coalesce(s.wal_status = 'lost', false) OR s.restart_lsn IS NULL,
	coalesce(pg_current_wal_insert_lsn() - s.restart_lsn, 0)::bigint, coalesce(pg_walfile_name(s.restart_lsn), ''),
	r.flush_lsn IS NOT NULL, coalesce(r.flush_lsn - '0/0', 0)::bigint
FROM pg_control_system() c
	LEFT JOIN pg_replication_slots s ON s.slot_name = '` + slot + `'
	LEFT JOIN pg_stat_replication r ON r.pid = s.active_pid`

// connection is how the server is reached, in libpq's words: by its socket, which
// is shared, as it lets replication in by nothing else.
const connection = "host=" + socketFolder + " user=" + user + " dbname=" + maintenance + " application_name=inmanta-db-archive"

// ask asks the server for one row of so many columns.
func ask(ctx context.Context, question string, columns int) ([][]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, askPatience)
	defer cancel()
	conn, err := pgconn.Connect(ctx, connection)
	if err != nil {
		return nil, plain(err)
	}
	defer conn.Close(context.WithoutCancel(ctx)) //nolint:errcheck // it was only asked
	results, err := conn.Exec(ctx, question).ReadAll()
	if err != nil {
		return nil, plain(err)
	}
	if len(results) != 1 || len(results[0].Rows) != 1 || len(results[0].Rows[0]) != columns {
		return nil, errors.New("the database answers something else than it was asked")
	}
	return results[0].Rows[0], nil
}

// plain is why nobody could be reached, without who and where.
func plain(err error) error {
	var refused *pgconn.PgError
	var failed *net.OpError
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("the database does not answer within %s", askPatience)
	case errors.As(err, &refused):
		return errors.New("the database says: " + refused.Message)
	}
	if errors.As(err, &failed) {
		err = failed.Err
	}
	return fmt.Errorf("the database does not answer: %w", err)
}

func askServer(ctx context.Context) (server, error) {
	row, err := ask(ctx, question, 11)
	if err != nil {
		return server{}, err
	}
	return parseServer(row)
}

func parseServer(row [][]byte) (server, error) {
	s := server{
		system: string(row[0]), version: string(row[1]),
		hasSlot: string(row[5]) == "t", lost: string(row[6]) == "t", receiving: string(row[9]) == "t",
	}
	for column, to := range map[int]*int64{2: &s.size, 3: &s.bytes, 4: &s.at, 7: &s.held, 10: &s.stored} {
		value, err := strconv.ParseInt(string(row[column]), 10, 64)
		if err != nil {
			return s, fmt.Errorf("the database answers %q for a number", row[column])
		}
		*to = value
	}
	if s.hasSlot && !s.lost {
		var ok bool
		if s.needs, _, ok = moments.ParseSegment(string(row[8])); !ok {
			return s, fmt.Errorf("the database answers %q for a segment", row[8])
		}
	}
	return s, nil
}

// makeSlot makes the slot, anew where there is one that has lost something.
func makeSlot(ctx context.Context, s server) error {
	drop := ""
	if s.hasSlot {
		drop = "SELECT pg_drop_replication_slot('" + slot + "'); "
	}
	ctx, cancel := context.WithTimeout(ctx, askPatience)
	defer cancel()
	conn, err := pgconn.Connect(ctx, connection)
	if err != nil {
		return plain(err)
	}
	defer conn.Close(context.WithoutCancel(ctx)) //nolint:errcheck // it has been said
	if _, err := conn.Exec(ctx, drop+"SELECT pg_create_physical_replication_slot('"+slot+"', true)").ReadAll(); err != nil {
		return fmt.Errorf("making the replication slot: %w", plain(err))
	}
	return nil
}

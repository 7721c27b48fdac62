package database

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/inmanta/inmanta-docker/engine"
	"github.com/inmanta/inmanta-docker/sidecar/printed"
)

// Streaming runs commands in containers that read and print more than fits into
// memory.
type Streaming interface {
	Container
	// Feed passes on what the command prints while it does, and gives it stdin to
	// read; nil is an input that stays open and empty.
	Feed(ctx context.Context, container, user string, command []string, stdin io.Reader, stdout, stderr io.Writer) (exitCode int, err error)
}

var _ Streaming = (*engine.Engine)(nil)

// serverUser is the user of the image that the server runs as; maintenance is the
// database to be connected to while another one is made, renamed or dropped.
const (
	serverUser  = "postgres"
	maintenance = "postgres"
)

// psql asks the database of that name, quietly, and stops at the first error.
func psql(name string, more ...string) []string {
	return append([]string{
		"psql", "--no-psqlrc", "--no-password", "--quiet", "--tuples-only", "--no-align", "--set=ON_ERROR_STOP=1",
		"--username=" + User, "--dbname=" + name,
	}, more...)
}

// sql runs statements in the database of that name and returns what they print.
func sql(ctx context.Context, c Container, container, name, statements string) (string, error) {
	result, err := c.Exec(ctx, container, psql(name), statements)
	if err != nil {
		return "", err
	}
	if result.ExitCode != 0 {
		return "", fmt.Errorf("the database says: %s", printed.LastLine(result.Stderr))
	}
	return result.Stdout, nil
}

// Table is one table of the orchestrator's database.
type Table struct {
	Schema string `json:"schema"`
	Name   string `json:"name"`
	// Bytes is what it takes on the disk, without its indexes.
	Bytes int64 `json:"bytes"`
	// Rows is the server's own guess; -1 where it has none.
	Rows float64 `json:"rows"`
}

// Sum is what a table holds, in two figures: how many rows, and a sum over a hash
// of each row's text, which does not depend on their order. Two servers of one
// major version come to the same.
type Sum struct {
	Schema string `json:"schema"`
	Name   string `json:"name"`
	Rows   int64  `json:"rows"`
	Hash   string `json:"hash"`
}

// tables are those that a dump contains.
const tables = `from pg_class c join pg_namespace n on n.oid = c.relnamespace
where c.relkind = 'r' and c.relpersistence <> 't' and n.nspname not like 'pg\_%' and n.nspname <> 'information_schema'`

// Snapshot is one moment of the database that stays readable while others go on
// writing, for as long as it is open.
type Snapshot struct {
	// ID is PostgreSQL's name for it (pg_export_snapshot).
	ID     string
	Tables []Table
	// Bytes is the size of the database, indexes included.
	Bytes int64
	// Server is the server's version, such as "17.6"; Major is its first part.
	Server string
	Major  int
	// Encoding and Collation are the database's.
	Encoding, Collation string
	// Schema is the newest version of its tables by part of the orchestrator that
	// has some: {"core": 202610150}; empty before its first start.
	Schema map[string]int64

	container string
	end       func() error
}

// Close lets the moment go.
func (s *Snapshot) Close() error { return s.end() }

// patient has the server wait for as long as a snapshot is needed, whatever limits it
// has for others: a large state volume is packed meanwhile, or a large table hashed.
const patient = `set idle_in_transaction_session_timeout = 0; set statement_timeout = 0;
select set_config(name, '0', false) from pg_settings where name = 'transaction_timeout' \g /dev/null
`

// OpenSnapshot takes a snapshot of the orchestrator's database. The caller closes it.
func OpenSnapshot(ctx context.Context, c Streaming, container string) (*Snapshot, error) {
	ctx, cancel := context.WithCancel(ctx)
	in, ask := io.Pipe()
	answers, out := io.Pipe()
	said := &printed.Tail{Most: mostSaid}
	done := make(chan error, 1)
	go func() {
		code, err := c.Feed(ctx, container, serverUser, psql(User), in, out, said)
		if err == nil && code != 0 {
			err = fmt.Errorf("the database says: %s", printed.LastLine(said.String()))
		}
		out.CloseWithError(errors.Join(err, io.EOF))
		done <- err
	}()
	end := func() error {
		ask.Close()
		err := <-done
		cancel()
		return err
	}
	const question = patient + `begin isolation level repeatable read read only;
select json_build_object('id', pg_export_snapshot(),
 'tables', (select coalesce(json_agg(json_build_object('schema', n.nspname, 'name', c.relname, 'bytes', pg_table_size(c.oid), 'rows', c.reltuples)), '[]') ` + tables + `),
 'bytes', pg_database_size(current_database()),
 'server', split_part(current_setting('server_version'), ' ', 1),
 'major', current_setting('server_version_num')::int / 10000,
 'encoding', pg_encoding_to_char(d.encoding), 'collation', d.datcollate) from pg_database d where datname = current_database();
`
	go func() { _, _ = io.WriteString(ask, question) }()
	lines := bufio.NewReader(answers)
	s := &Snapshot{container: container, end: end}
	first, err := lines.ReadBytes('\n')
	if err == nil {
		err = json.Unmarshal(first, s)
	}
	if err == nil {
		// Not in the snapshot's own transaction: it would hold a lock on a table that an
		// orchestrator wants for itself when it starts, and pg_dump after it.
		s.Schema, err = schema(ctx, c, container)
	}
	if err != nil {
		cancel()
		answers.Close()
		return nil, fmt.Errorf("taking a snapshot of the database: %w", errors.Join(end(), err))
	}
	return s, nil
}

// schema is the newest version of the tables of each part of the orchestrator.
func schema(ctx context.Context, c Container, container string) (map[string]int64, error) {
	const question = `select to_regclass('public.schemamanager') is not null as managed \gset
\if :managed
select coalesce(json_object_agg(name, (select max(v) from unnest(installed_versions) v)), '{}') from schemamanager;
\else
select '{}';
\endif
`
	answer, err := sql(ctx, c, container, User, question)
	if err != nil {
		return nil, err
	}
	versions := map[string]int64{}
	return versions, json.Unmarshal([]byte(answer), &versions)
}

// Sums counts and hashes every table as of the snapshot. done is told of each.
func (s *Snapshot) Sums(ctx context.Context, c Streaming, done func(Sum)) ([]Sum, error) {
	return sums(ctx, c, s.container, User, "set transaction snapshot '"+s.ID+"';\n", done)
}

// Sums counts and hashes every table of the database of that name.
func Sums(ctx context.Context, c Streaming, container, name string, done func(Sum)) ([]Sum, error) {
	return sums(ctx, c, container, name, "", done)
}

func sums(ctx context.Context, c Streaming, container, name, at string, done func(Sum)) ([]Sum, error) {
	// How values are written must not depend on anybody's settings.
	question := patient + `begin isolation level repeatable read read only;
` + at + `set local timezone = 'UTC'; set local datestyle = 'ISO'; set local intervalstyle = 'postgres';
set local extra_float_digits = 1; set local bytea_output = 'hex'; set local jit = off;
select format('select json_build_object(''schema'', %L, ''name'', %L, ''rows'', count(*), ''hash'', coalesce(sum(hashtextextended(t::text, 0)), 0)::text) from only %I.%I t',
 n.nspname, c.relname, n.nspname, c.relname) ` + tables + ` order by n.nspname, c.relname \gexec
`
	answers, out := io.Pipe()
	said := &printed.Tail{Most: mostSaid}
	ended := make(chan error, 1)
	go func() {
		code, err := c.Feed(ctx, container, serverUser, psql(name), strings.NewReader(question), out, said)
		if err == nil && code != 0 {
			err = fmt.Errorf("the database says: %s", printed.LastLine(said.String()))
		}
		out.Close()
		ended <- err
	}()
	found := []Sum{}
	scanner := bufio.NewScanner(answers)
	var failed error
	for failed == nil && scanner.Scan() {
		var one Sum
		if failed = json.Unmarshal(scanner.Bytes(), &one); failed == nil {
			found = append(found, one)
			done(one)
		}
	}
	answers.Close()
	if err := errors.Join(<-ended, failed, scanner.Err()); err != nil {
		return nil, fmt.Errorf("counting the rows of %s: %w", name, err)
	}
	return found, nil
}

// application is what the server knows a dump's connection by.
const application = "inmanta-docker-dump"

// endPatience is how long that may take.
const endPatience = 10 * time.Second

// EndDumps ends what dumps of processes that are gone still do. A command in the
// database's container is never killed, and never has children: the first process
// there is the server itself, which takes the death of any process that it inherits
// for one of its own, and restarts (seen: "server process was terminated by signal
// 15 … reinitializing").
func EndDumps(ctx context.Context, c Container, container string) error {
	if _, err := sql(ctx, c, container, maintenance, "select pg_terminate_backend(pid) from pg_stat_activity where application_name = '"+application+"'"); err != nil {
		return fmt.Errorf("ending a dump that nobody waits for: %w", err)
	}
	return nil
}

// Dump writes the database as of the snapshot to w, in pg_dump's custom format.
// done is told how many bytes of Tables, in sum, have been read, every now and then.
func (s *Snapshot) Dump(ctx context.Context, c Streaming, w io.Writer, done func(int64)) error {
	whole := ctx
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	command := []string{"env", "PGAPPNAME=" + application, "pg_dump", "--format=custom", "--no-password", "--verbose", "--username=" + User, "--snapshot=" + s.ID}
	if s.Major >= 16 {
		// Several times as fast as gzip, and smaller (pg_dump since 16).
		command = append(command, "--compress=zstd")
	}
	watcher := watch(s.Tables, done)
	watching := make(chan struct{})
	go func() {
		defer close(watching)
		watcher.follow(ctx, c, s.container)
	}()
	code, err := c.Feed(ctx, s.container, serverUser, append(command, User), nil, w, watcher)
	cancel()
	<-watching
	if err != nil {
		// The engine lets it go on although nobody listens.
		ending, ended := context.WithTimeout(context.WithoutCancel(whole), endPatience)
		defer ended()
		return fmt.Errorf("dumping the database: %w", errors.Join(err, EndDumps(ending, c, s.container)))
	}
	if code != 0 {
		return fmt.Errorf("dumping the database: pg_dump ends with %d: %s", code, printed.LastLine(watcher.said.String()))
	}
	return nil
}

// Load reads a dump into the database of that name, which is empty.
func Load(ctx context.Context, c Streaming, container, name string, dump io.Reader) error {
	said := &printed.Tail{Most: mostSaid}
	code, err := c.Feed(ctx, container, serverUser, []string{
		"pg_restore", "--no-password", "--username=" + User, "--exit-on-error", "--no-owner", "--no-privileges", "--dbname=" + name,
	}, dump, io.Discard, said)
	if err != nil {
		return fmt.Errorf("loading the database: %w", err)
	}
	if code != 0 {
		return fmt.Errorf("loading the database: pg_restore ends with %d: %s", code, printed.LastLine(said.String()))
	}
	return nil
}

// Copy dumps the database of a name in one container into the one of another name,
// which is empty, in another container, without keeping the dump.
func Copy(ctx context.Context, c Streaming, from, name, to, into string) error {
	dumping, cancel := context.WithCancel(ctx)
	defer cancel()
	reader, writer := io.Pipe()
	dumped := make(chan error, 1)
	go func() {
		said := &printed.Tail{Most: mostSaid}
		code, err := c.Feed(dumping, from, serverUser, []string{
			"pg_dump", "--format=custom", "--compress=0", "--no-password", "--username=" + User, name,
		}, nil, writer, said)
		if err == nil && code != 0 {
			err = fmt.Errorf("pg_dump ends with %d: %s", code, printed.LastLine(said.String()))
		}
		writer.CloseWithError(err)
		dumped <- err
	}()
	err := Load(ctx, c, to, into, reader)
	reader.CloseWithError(err)
	cancel() // of one that was loaded nothing is left to be dumped
	if failed := <-dumped; err == nil && failed != nil {
		err = fmt.Errorf("dumping the database: %w", failed)
	}
	return err
}

// mostSaid is how much is kept of what a program complains about, in bytes.
const mostSaid = 16 << 10

// dumping is what pg_dump --verbose says when it begins with a table's rows.
var dumping = regexp.MustCompile(`dumping contents of table "(.*)"`)

// watcher knows how far pg_dump is: of tables it says when it begins with one, of
// rows the server says how many it has read.
type watcher struct {
	mu     sync.Mutex
	tables map[string]Table
	done   func(int64)
	said   *printed.Tail
	line   []byte
	// at is the table that is being read, and before what all those before it have.
	at     string
	before int64
}

func watch(tables []Table, done func(int64)) *watcher {
	w := &watcher{tables: map[string]Table{}, done: done, said: &printed.Tail{Most: mostSaid}}
	for _, t := range tables {
		w.tables[t.Schema+"."+t.Name] = t
	}
	return w
}

// Write takes what pg_dump says.
func (w *watcher) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	_, _ = w.said.Write(p)
	w.line = append(w.line, p...)
	for {
		line, rest, whole := bytes.Cut(w.line, []byte("\n"))
		if !whole {
			w.line = w.line[max(0, len(w.line)-mostSaid):]
			return len(p), nil
		}
		w.line = rest
		if m := dumping.FindSubmatch(line); m != nil {
			w.before += w.tables[w.at].Bytes
			w.at = string(m[1])
			w.done(w.before)
		}
	}
}

// rows says how many rows of a table have been read.
func (w *watcher) rows(table string, rows float64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if t := w.tables[table]; table == w.at && t.Rows > 0 {
		w.done(w.before + int64(min(rows/t.Rows, 1)*float64(t.Bytes)))
	}
}

// follow asks the server until ctx ends, once a second: it announces nothing.
func (w *watcher) follow(ctx context.Context, c Container, container string) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		const question = `select n.nspname || '.' || c.relname, p.tuples_processed from pg_stat_progress_copy p
join pg_class c on c.oid = p.relid join pg_namespace n on n.oid = c.relnamespace where p.datname = current_database() and p.command = 'COPY TO'`
		answer, err := sql(ctx, c, container, User, question)
		if err != nil {
			continue // it only makes the figures coarser
		}
		name, tuples, _ := strings.Cut(printed.LastLine(answer), "|")
		if rows, err := strconv.ParseFloat(tuples, 64); err == nil {
			w.rows(name, rows)
		}
	}
}

// Command bench measures inmanta-docker beside the stock docker compose, the init
// sidecar beside upstream's steps, the code sidecar beside code-server alone, the
// ssh sidecar beside OpenSSH's server, the log rotation sidecar beside Debian's
// logrotate, and the packing of volumes beside tar and zstd: the same work, in one
// run, in interleaved pairs, on the machine it runs on. It prints the tables of
// docs/performance.md.
// Ratios are what counts; these machines are noisy, so each figure is a median
// with its spread.
//
// With arguments only those rows are measured whose name has one of them in it:
// `go run ./bench ssh`, `go run ./bench 'sftp get' rsync`, `go run ./bench logrotate`.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"slices"
	"strings"
	"time"
)

// pairs is how often each comparison is made, unless its row says so.
const pairs = 20

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	work := run
	if os.Getenv(asWriter) != "" {
		work = writeLog
	}
	if err := work(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		stop()
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	w, err := newWorkshop(ctx)
	if err != nil {
		return err
	}
	defer w.close()
	fmt.Printf("%d CPUs, %s, engine %s\n", runtime.NumCPU(), time.Now().UTC().Format(time.DateOnly), w.engineVersion())
	chosen := choice(os.Args[1:])
	if err := tools(ctx, w, chosen); err != nil {
		return err
	}
	if err := initialisation(ctx, w, chosen); err != nil {
		return err
	}
	if err := editorStarts(ctx, w, chosen); err != nil {
		return err
	}
	if err := sshServers(ctx, w, chosen); err != nil {
		return err
	}
	if err := logRotation(ctx, w, chosen); err != nil {
		return err
	}
	if err := databasePairs(ctx, w, chosen); err != nil {
		return err
	}
	if err := volumes(ctx, w, chosen); err != nil {
		return err
	}
	return backups(ctx, w, chosen)
}

// choice is which rows are measured: those whose name has one of its words in
// it, or all where there is none.
type choice []string

func (c choice) has(row string) bool {
	return len(c) == 0 || slices.ContainsFunc(c, func(word string) bool { return strings.Contains(row, word) })
}

// tools are the rows that compare inmanta-docker with the stock tool.
func tools(ctx context.Context, w *workshop, chosen choice) error {
	began := false
	for _, c := range []struct {
		what   string
		target string
		memory bool
		// reset, untimed, comes before each run.
		reset       func(context.Context) error
		ours, stock func(context.Context) (sample, error)
	}{
		{
			what: "`--help`", target: "≤ 1.05", memory: true,
			ours:  w.command("inmanta-docker", "--help"),
			stock: w.command("docker-compose", "--help"),
		},
		{
			what: "`config`", target: "≤ 1.05", memory: true,
			ours:  w.command("inmanta-docker", "config"),
			stock: w.command("docker-compose", "config"),
		},
		{
			what: "`up`, from nothing to serving", target: "≤ 1.05", memory: true, reset: w.removeAll,
			ours:  w.untilServing("inmanta-docker", "up"),
			stock: w.untilServing("docker-compose", "up", "-d"),
		},
		{
			what: "`up`, nothing to do", target: "≤ 1.05", memory: true,
			ours:  w.command("inmanta-docker", "up"),
			stock: w.command("docker-compose", "up", "-d"),
		},
	} {
		if !chosen.has("tools: " + c.what) {
			continue
		}
		if !began {
			began = true
			header("stock")
		}
		ours, stock, err := interleave(ctx, pairs, c.reset, c.ours, c.stock)
		if err != nil {
			return fmt.Errorf("%s: %w", c.what, err)
		}
		row(c.what, c.target, seconds(ours), seconds(stock), "s", 3)
		if c.memory {
			row(c.what+": peak memory", c.target, mebibytes(ours), mebibytes(stock), "MiB", 1)
		}
	}

	if !chosen.has("tools: probes, size") {
		return nil
	}
	if _, err := w.command("inmanta-docker", "up")(ctx); err != nil {
		return err // they are probes of what serves
	}
	measuredHeader()
	for _, service := range []string{"db", "server"} {
		check, nothing, err := w.probeCost(ctx, service)
		if err != nil {
			return fmt.Errorf("the health probe of %s: %w", service, err)
		}
		fmt.Printf("| CPU of one health probe of `%s` in its container, beyond the engine's own %.1f ms to run `true` there | %.1f ms (medians of %d) | ≤ 10 ms |\n",
			service, nothing, check-nothing, pairs)
	}
	size, err := w.sidecarSize()
	if err != nil {
		return err
	}
	fmt.Printf("| size of `inmanta-sidecar` | %.1f MB | < 15 MB |\n", float64(size)/1e6)
	return nil
}

// sample is one run of a command.
type sample struct {
	took time.Duration
	// memory is the process's peak resident size, in bytes.
	memory int64
	// server is the processor time that the server it talks to took meanwhile,
	// with all it started.
	server time.Duration
}

// interleave runs both in pairs, the first of a pair changing each time.
func interleave(ctx context.Context, pairs int, reset func(context.Context) error, ours, stock func(context.Context) (sample, error)) (a, b []sample, err error) {
	one := func(f func(context.Context) (sample, error), to *[]sample) error {
		if reset != nil {
			if err := reset(ctx); err != nil {
				return err
			}
		}
		s, err := f(ctx)
		if err == nil {
			*to = append(*to, s)
		}
		return err
	}
	for i := range pairs {
		first, second := func() error { return one(ours, &a) }, func() error { return one(stock, &b) }
		if i%2 == 1 {
			first, second = second, first
		}
		if err := first(); err != nil {
			return nil, nil, err
		}
		if err := second(); err != nil {
			return nil, nil, err
		}
	}
	return a, b, nil
}

// header begins a table of pairs.
func header(other string) {
	fmt.Printf("\n%d interleaved pairs each, where nothing else is said.\n\n", pairs)
	fmt.Printf("| what | ours, median (10%%–90%%) | %s, median (10%%–90%%) | ratio of medians | target |\n", other)
	fmt.Println("| --- | --- | --- | --- | --- |")
}

// measuredHeader begins a table of what has nothing beside it.
func measuredHeader() {
	fmt.Print("\n| what | measured | target |\n| --- | --- | --- |\n")
}

func row(what, target string, ours, stock []float64, unit string, digits int) {
	show := func(values []float64) string {
		return fmt.Sprintf("%.*f %s (%.*f–%.*f)", digits, quantile(values, 0.5), unit, digits, quantile(values, 0.1), digits, quantile(values, 0.9))
	}
	ratio := quantile(ours, 0.5) / quantile(stock, 0.5)
	fmt.Println("|", strings.Join([]string{what, show(ours), show(stock), fmt.Sprintf("%.2f", ratio), target}, " | "), "|")
}

package logrotate

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"
)

// metric is one family of Prometheus' text format.
type metric struct {
	name, help string
	// total is a value of the sidecar's, each one of every log's.
	total func(State) float64
	each  func(LogState) float64
}

const metricPrefix = "inmanta_logrotate_"

var metrics = []metric{
	{name: "healthy", help: "Whether the log rotation is healthy.", total: func(s State) float64 { return truth(s.Healthy) }},
	{name: "free_bytes", help: "Room in the file system of the logs.", total: func(s State) float64 { return float64(s.FreeBytes) }},
	{name: "next_rotation_timestamp_seconds", help: "When the next log is rotated.", total: func(s State) float64 { return unixSeconds(s.Next) }},
	{name: "log_size_bytes", help: "How much of the log no archive has yet.", each: func(l LogState) float64 { return float64(l.SizeBytes) }},
	{name: "log_archives", help: "How many archives of the log there are.", each: func(l LogState) float64 { return float64(len(l.Archives)) }},
	{name: "log_archives_bytes", help: "How large they are together.", each: func(l LogState) float64 {
		var sum int64
		for _, a := range l.Archives {
			sum += a.SizeBytes
		}
		return float64(sum)
	}},
	{name: "log_waiting", help: "How many parts of the log are set aside and not archived yet.", each: func(l LogState) float64 { return float64(len(l.Waiting)) }},
	{name: "log_last_rotation_timestamp_seconds", help: "When the log was last rotated.", each: func(l LogState) float64 { return unixSeconds(l.LastRotation) }},
	{name: "log_failed", help: "Whether the last rotation of the log failed.", each: func(l LogState) float64 {
		return truth(l.Result != resultOK && l.Result != resultNone)
	}},
}

func truth(is bool) float64 {
	if is {
		return 1
	}
	return 0
}

func unixSeconds(t time.Time) float64 {
	if t.IsZero() {
		return 0
	}
	return float64(t.UnixMilli()) / 1000
}

// Metrics writes the state in Prometheus' text format:
// https://prometheus.io/docs/instrumenting/exposition_formats/.
func Metrics(ctx context.Context, out io.Writer) error {
	said, err := ask(ctx, address, request{Verb: "state"})
	if err != nil {
		return err
	}
	_, err = io.WriteString(out, said.State.metrics())
	return err
}

// What a label's value has escaped.
var labelEscapes = strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`)

func (s State) metrics() string {
	var text strings.Builder
	for _, m := range metrics {
		fmt.Fprintf(&text, "# HELP %s%s %s\n# TYPE %s%s gauge\n", metricPrefix, m.name, m.help, metricPrefix, m.name)
		if m.total != nil {
			fmt.Fprintf(&text, "%s%s %v\n", metricPrefix, m.name, m.total(s))
			continue
		}
		for _, l := range s.Logs {
			fmt.Fprintf(&text, "%s%s{log=\"%s\"} %v\n", metricPrefix, m.name, labelEscapes.Replace(l.Name), m.each(l))
		}
	}
	return text.String()
}

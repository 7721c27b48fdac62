package plan

import (
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
)

func TestContentIsHidden(t *testing.T) {
	t.Parallel()
	c := ContentOf("hush")
	if c != ContentOf("hush") || c == ContentOf("other") || c == (Content{}) || ContentOf("") == (Content{}) {
		t.Error("contents do not compare as their texts do")
	}
	asJSON, err := json.Marshal(map[string]Content{"/file": c})
	if err != nil {
		t.Fatal(err)
	}
	container := ObservedContainer{Files: map[string]Content{"/file": c}}
	for _, shown := range []string{
		fmt.Sprint(c), fmt.Sprintf("%v %+v %#v %s %x %d %q", c, c, c, c, c, c, c), string(asJSON),
		fmt.Sprintf("%+v %#v %x", container.Files, container.Files, container.Files),
	} {
		rest := strings.ReplaceAll(shown, hidden, "")
		if !strings.Contains(shown, hidden) || strings.Contains(shown, "hush") || strings.Contains(rest, strconv.Itoa(int(c.sum[0]))+" ") || strings.Contains(rest, fmt.Sprintf("%x", c.sum[:4])) {
			t.Errorf("%s shows too much", shown)
		}
	}
}

func TestWhatHidesAValue(t *testing.T) {
	t.Parallel()
	s := secrecy{secret: func(name string) bool { return name == "PASSWORD" }, values: []string{"hush"}}
	for _, c := range []struct {
		key       string
		variables []string
		value     string
		hides     bool
	}{
		{"ports", nil, "127.0.0.1:8888:8888", false},
		{"ports", []string{"PASSWORD"}, "127.0.0.1:8888:8888", true},
		{"environment.TZ", []string{"TIMEZONE"}, "UTC", false},
		{"environment.TZ", nil, "a-hush-b", true},
		{"environment.DATABASE_PASSWORD", nil, "earlier", true},
		{"environment.PASSWORD", nil, "earlier", true},
		{"environment.aws_secret", nil, "earlier", true},
		{"environment.API_KEY", nil, "earlier", true},
		{"environment.POSTGRES_PASSWORD_FILE", nil, "/run/secrets/password", false},
		{"environment.URL", nil, "postgres://u:pw@host/db", true},
		{"environment.URL", nil, "https://host:80/db", false},
		{"environment.INMANTA_AUTHORIZED_KEYS", nil, "ssh-ed25519 AAAA", false},
		{"labels.token", nil, "earlier", true},
		{"command", nil, "run --password earlier", true},
		{"command", nil, "run --db-password=earlier", true},
		{"command", nil, "postgres -c jit=off", false},
		{"healthcheck.test", nil, "CMD curl -u admin:token=abc", true},
		{"healthcheck.interval", nil, "5s", false},
		{"logging.options.splunk-token", nil, "earlier", true},
		{"driver_opts.o", nil, "username=a,password=b", true},
		{"image", nil, "hush:1", false},
	} {
		if got := s.hides(c.key, c.variables, "", c.value); got != c.hides {
			t.Errorf("%s %v %q: hidden %v, want %v", c.key, c.variables, c.value, got, c.hides)
		}
	}
}

func TestChangedBy(t *testing.T) {
	t.Parallel()
	environment := map[string]string{"IP": "127.0.0.1", "PORT": "9999", "ONE": "1"}
	for _, c := range []struct {
		from, to        string
		variables, want []string
	}{
		{"127.0.0.1:8888", "127.0.0.1:9999", []string{"IP", "PORT"}, []string{"PORT"}},
		{"0.0.0.0:8888", "127.0.0.1:9999", []string{"IP", "PORT"}, []string{"IP", "PORT"}},
		{"127.0.0.1:9999", "127.0.0.1:8888", []string{"IP", "UNSET"}, []string{"UNSET"}},
		{"127.0.0.1:9999", "127.0.0.1:8888", []string{"UNSET", "ALSO"}, []string{"UNSET", "ALSO"}},
		{"127.0.0.1:9999", "127.0.0.1:9999", []string{"IP", "PORT"}, []string{"IP", "PORT"}},
		{"21", "31", []string{"ONE", "UNSET"}, []string{"ONE", "UNSET"}},
		{"", "", nil, nil},
	} {
		if got := changedBy(c.variables, environment, c.from, c.to); !slices.Equal(got, c.want) {
			t.Errorf("%q → %q with %v: changed by %v, want %v", c.from, c.to, c.variables, got, c.want)
		}
	}
}

func TestReasonOnOneLine(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("word ", 40)
	for _, c := range []struct {
		reason Reason
		want   string
	}{
		{Reason{Path: "a", From: "b", To: "c"}, "a: b → c"},
		{Reason{Path: "a", To: "c", Settings: []string{"X", "Y"}}, "a: added c (X, Y)"},
		{Reason{Path: "a", From: "b"}, "a: removed b"},
		{Reason{Path: "a", From: hidden, To: hidden}, "a: changed [hidden]"},
		{Reason{Path: "a", To: hidden}, "a: added [hidden]"},
		{Reason{Path: "a", From: hidden}, "a: removed [hidden]"},
		{Reason{Path: "a", From: "b", To: "c", Text: "by hand"}, "a: b → c, by hand"},
		{Reason{Path: "a", Text: "is gone"}, "a: is gone"},
		{Reason{Path: "a", From: "b\x1b[2J\n", To: "ä"}, `a: "b\x1b[2J\n" → ä`},
		{Reason{Path: "a\nb", To: "\xff"}, `"a\nb": added "\xff"`},
		{Reason{Path: "a", From: long + "one" + long, To: long + "two" + long},
			"a: …d word word one" + long[:45] + "… → …d word word two" + long[:45] + "…"},
		{Reason{Path: "a", From: long, To: "word"}, "a: " + long[:60] + "… → word"},
	} {
		if got := c.reason.String(); got != c.want {
			t.Errorf("got  %q\nwant %q", got, c.want)
		}
	}
}

func TestCompare(t *testing.T) {
	t.Parallel()
	got := compare(
		fields{"same": {"a", "b"}, "gone": {"x"}, "list": {"a", "b", "c"}, "ipc": {"private"}, "runtime": {"runc"}},
		fields{"same": {"a", "b"}, "new": {""}, "list": {"b", "d"}, "runtime": {"crun"}},
	)
	want := []difference{{"gone", "x", ""}, {"list", "a, c", "d"}, {"new", "", `""`}, {"runtime", "runc", "crun"}}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestSize(t *testing.T) {
	t.Parallel()
	for bytes, want := range map[int64]string{1: "1", 1 << 10: "1k", 1536: "1536", 256 << 20: "256m", 1536 << 20: "1536m", 2 << 30: "2g", -1: "-1"} {
		if got := size(bytes); got != want {
			t.Errorf("%d is %q, want %q", bytes, got, want)
		}
	}
}

func FuzzExposedPorts(f *testing.F) {
	for _, seed := range []string{"80", "80/udp", "80-82", "80-82/udp", "82-80", "-", "/", "0-65535", "65536", "a-b/c", "1-2-3", "+1", ""} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, entry string) {
		ports := exposedPorts(entry)
		if len(ports) == 0 {
			t.Fatalf("%q gives no port at all", entry)
		}
		if len(ports) == 1 && ports[0] == entry {
			return
		}
		_, protocol, _ := strings.Cut(entry, "/")
		if protocol == "" && !strings.Contains(entry, "/") {
			protocol = "tcp"
		}
		last := -1
		for _, p := range ports {
			number, rest, ok := strings.Cut(p, "/")
			n, err := strconv.ParseUint(number, 10, 16)
			if err != nil || !ok || rest != protocol || int(n) <= last {
				t.Fatalf("%q gives %q", entry, ports)
			}
			last = int(n)
		}
	})
}

func FuzzReasonString(f *testing.F) {
	f.Add("services.a", "from", "to")
	f.Add("", "\x00", strings.Repeat("ä", 200))
	f.Add("a", strings.Repeat("x", 81), strings.Repeat("x", 82))
	f.Fuzz(func(t *testing.T, path, from, to string) {
		line := Reason{Path: path, From: from, To: to}.String()
		if strings.ContainsFunc(line, func(r rune) bool { return r < ' ' || r == 0x7f || r >= 0x80 && r < 0xa0 }) {
			t.Fatalf("%q would do something to a terminal", line)
		}
	})
}

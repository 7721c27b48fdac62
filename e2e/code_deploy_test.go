package e2e

import (
	"fmt"
	"regexp"
	"strings"
	"testing"
)

const codePage = "../docs/sidecars/code.md"

// undented is a block of a list's, as it is meant.
func undented(block string) string {
	var text strings.Builder
	for line := range strings.Lines(block) {
		text.WriteString(strings.TrimPrefix(line, "   "))
	}
	return strings.TrimRight(text.String(), " \n") + "\n"
}

// compiled says that the orchestrator's last compile for an environment is over,
// and ends the scenario where it failed.
func (e *codeSidecar) compiled(environment string) bool {
	e.t.Helper()
	var reports struct {
		Data []struct {
			ID, Completed string
			Success       bool
		}
	}
	if err := e.call("GET", "/api/v2/compilereport?limit=1&sort=requested.desc", environment, nil, &reports); err != nil {
		e.t.Fatal(err)
	}
	if len(reports.Data) == 0 || reports.Data[0].Completed == "" {
		return false
	}
	if !reports.Data[0].Success {
		var details any
		err := e.call("GET", "/api/v2/compilereport/"+reports.Data[0].ID, environment, nil, &details)
		e.t.Fatalf("the compile failed (%v):\n%v", err, details)
	}
	return true
}

// TestCodeFromNothing is the page's way from nothing to a deployed model, as it
// stands there, by what a terminal of the editor does; and then an edit.
func TestCodeFromNothing(t *testing.T) {
	t.Parallel()
	e, ok := newEditor(t)
	if !ok {
		return
	}
	if bundle := authorities(); bundle != "" {
		e.write("authorities.yml", fmt.Sprintf(`services:
  server:
    environment: {PIP_CERT: /etc/authorities.pem}
    volumes: [{type: bind, source: %s, target: /etc/authorities.pem, read_only: true}]
`, bundle))
		e.set("COMPOSE_FILE", "docker-compose.yml:docker-compose.code.yml:authorities.yml")
	}
	e.must("up")
	text, yaml := fenced(t, codePage, "text"), fenced(t, codePage, "yaml")
	if len(text) < 4 || len(yaml) < 1 || !strings.Contains(text[0], "environment create") || !strings.Contains(text[3], "recompile") {
		t.Fatalf("the page has other blocks: %q, %q", text, yaml)
	}
	var environment string
	for _, line := range commands(undented(text[0])) {
		// As wide as a terminal in the browser is, or the id takes two lines.
		environment = e.inside("inmanta", "COLUMNS=200 "+line)
	}
	// It is the first cell of the table that the command prints.
	id := regexp.MustCompile(`[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}`).FindString(environment)
	if id == "" {
		t.Fatalf("making an environment prints\n%s", environment)
	}
	folder := "/var/lib/inmanta/server/" + id + "/compiler"
	e.inside("inmanta", "mkdir -p "+folder)
	for name, content := range map[string]string{"project.yml": yaml[0], "requirements.txt": text[1], "main.cf": text[2]} {
		e.inside("inmanta", "cat > "+folder+"/"+name+" <<'END'\n"+undented(content)+"END")
	}
	deployed := func(want string) {
		t.Helper()
		e.eventually("the orchestrator has compiled "+want, func() bool { return e.compiled(id) })
		e.eventually("the orchestrator has deployed "+want, func() bool {
			return e.sh("docker exec "+e.server()+" grep -qx "+want+" /tmp/hello").code == 0
		})
		if got := e.docker("exec", e.server(), "stat", "-c", "%U:%G %a", "/tmp/hello"); got != "inmanta:inmanta 644" {
			t.Errorf("what is deployed is %s", got)
		}
	}
	lines := commands(undented(text[3]))
	e.inside("inmanta", lines[0])
	deployed("hello")
	if got := e.inside("inmanta", lines[1]); !strings.Contains(got, "1") {
		t.Errorf("%s says\n%s", lines[1], got)
	}

	e.inside("inmanta", `sed -i 's/content="hello"/content="edited"/' `+folder+"/main.cf")
	e.inside("inmanta", strings.ReplaceAll(lines[0], " -u", ""))
	deployed("edited")
}

package e2e

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// serving waits until the editor is served, after something that ended it.
func (e *codeSidecar) serving() {
	e.t.Helper()
	e.eventually("the editor answers", func() bool {
		response, err := plainClient.Get(e.root() + "/healthz")
		if err != nil {
			return false
		}
		response.Body.Close()
		return response.StatusCode == http.StatusOK
	})
}

// restarts is how often the engine has started the sidecar by itself.
func (e *codeSidecar) restarts() int {
	e.t.Helper()
	count, err := strconv.Atoi(e.docker("inspect", "-f", "{{.RestartCount}}", e.container()))
	if err != nil {
		e.t.Fatal(err)
	}
	return count
}

const settingsFile = "/var/lib/inmanta-code/home/.local/share/code-server/User/settings.json"

// restartOfCode: what somebody has set stays; who was logged in has to do it again.
func restartOfCode(e *codeSidecar) {
	cookies := e.logsIn()
	e.inside("inmanta", `sed -i 's/"update.mode"/"editor.fontSize": 17, "update.mode"/' `+settingsFile)
	e.docker("restart", e.container())
	e.serving()
	if got := e.inside("inmanta", "cat "+settingsFile); !strings.Contains(got, `"editor.fontSize": 17`) {
		e.t.Errorf("after a restart the settings are\n%s", got)
	}
	if response, _ := e.ask("GET", "/", nil, cookies, nil); response.StatusCode != http.StatusUnauthorized {
		e.t.Errorf("after a restart an old session gives %s", response.Status)
	}
	e.logsIn()
	extensionOfCode(e) // not a second time
}

// killedCode kills what runs, from within and from without.
func killedCode(e *codeSidecar) {
	before := e.restarts()
	e.docker("exec", "-u", "inmanta", e.container(), "bash", "-c", "pkill -9 -o -f out/node/entry; true")
	e.eventually("the engine starts it again", func() bool { return e.restarts() > before })
	e.serving()
	e.logsIn()
	if log := e.docker("logs", e.container()); !strings.Contains(log, "code-server has ended by itself") {
		e.t.Errorf("the log does not say why it ended:\n%s", log)
	}
	before = e.restarts()
	pid, err := strconv.Atoi(e.docker("inspect", "-f", "{{.State.Pid}}", e.container()))
	if err == nil {
		err = syscall.Kill(pid, syscall.SIGKILL)
	}
	if err != nil {
		e.t.Fatal(err)
	}
	e.eventually("the engine starts it again", func() bool { return e.restarts() > before })
	e.serving()
	e.logsIn()
}

// inVolume runs a line of shell as root with the volume of code-server at /v.
func (e *codeSidecar) inVolume(line string) {
	e.t.Helper()
	e.docker("run", "--rm", "--network=none", "-u", "0:0", "-v", e.name+"_inmanta-code-server:/v", "--entrypoint", "bash",
		e.docker("inspect", "-f", "{{.Config.Image}}", e.server()), "-euc", line)
}

// tamperedCode changes what is in the volume: it is not run, and put right again.
func tamperedCode(e *codeSidecar) {
	for what, c := range map[string]struct{ line, says string }{
		"one bit":       {"f=/v/current/files/out/node/entry.js; printf '\\x00' | dd of=$f bs=1 count=1 conv=notrunc status=none", "has another content"},
		"half unpacked": {"rm /v/current/manifest", "manifest"},
	} {
		e.inVolume(c.line)
		since := time.Now().UTC().Format(time.RFC3339Nano)
		e.docker("restart", e.container())
		e.eventually("the log says "+c.says, func() bool { return strings.Contains(e.docker("logs", "--since", since, e.container()), c.says) })
		if _, err := plainClient.Get(e.root() + "/healthz"); err == nil {
			e.t.Errorf("%s: something serves all the same", what)
		}
		e.docker("stop", e.container())
		e.must("image", "ensure")
		e.docker("start", e.container())
		e.serving()
	}
}

// stopOfCode: it ends at once, with nothing lost and exit code 0.
func stopOfCode(e *codeSidecar) {
	began := time.Now()
	e.docker("stop", "--time", "20", e.container())
	if took := time.Since(began); took > 12*time.Second {
		e.t.Errorf("stopping takes %s", took)
	}
	if code := e.docker("inspect", "-f", "{{.State.ExitCode}}", e.container()); code != "0" {
		e.t.Errorf("after a stop the exit code is %s\n%s", code, e.docker("logs", "--tail", "20", e.container()))
	}
}

// TestCodeRefused is what is refused by name before anything is touched.
func TestCodeRefused(t *testing.T) {
	t.Parallel()
	e := &codeSidecar{stack: newStack(t), codePort: freePort(t)}
	e.must("init", e.dir)
	e.set("COMPOSE_FILE", "docker-compose.yml:docker-compose.code.yml")
	e.set("INMANTA_CODE_SERVER_PORT", fmt.Sprint(e.codePort))
	e.env = append(e.env, "XDG_CACHE_HOME="+filepath.Join(e.dir, "cache"))
	nothing := func() {
		t.Helper()
		if got := e.containers(); len(got) != 0 {
			t.Errorf("the refused one left %v", got)
		}
	}
	for _, verb := range [][]string{{"image", "ensure"}, {"up"}} {
		// A release that cannot be reached, as on a machine without a network.
		e.set("INMANTA_CODE_SERVER_TARBALL", fmt.Sprintf("http://127.0.0.1:%d/code-server.tar.gz", freePort(t)))
		e.fails(1, []string{"cannot be fetched from", "connection refused", "INMANTA_CODE_SERVER_TARBALL"}, verb...)
		e.set("INMANTA_CODE_SERVER_TARBALL", "./absent.tar.gz")
		e.fails(1, []string{"there is no file " + e.dir + "/absent.tar.gz", ".env:"}, verb...)
		e.write("damaged.tar.gz", "half of it")
		e.set("INMANTA_CODE_SERVER_TARBALL", "./damaged.tar.gz")
		e.fails(1, []string{"is damaged, or another tarball", ".env:"}, verb...)
	}
	nothing()
	// Of the right checksum, and yet none.
	sum := e.sh("sha256sum damaged.tar.gz").stdout[:64]
	e.set("INMANTA_CODE_SERVER_SHA256", sum)
	e.fails(1, []string{"no gzip file"}, "up")
	// Whoever needs no password has to be on this machine.
	e.set("INMANTA_CODE_SERVER_LOGIN", "none")
	e.set("INMANTA_CODE_SERVER_IP", "0.0.0.0")
	e.fails(1, []string{"INMANTA_CODE_SERVER_LOGIN=none", "0.0.0.0 is reached from other machines", "INMANTA_CODE_SERVER_IP=127.0.0.1"}, "up")
	e.set("INMANTA_CODE_SERVER_IP", "127.0.0.1")
	e.set("INMANTA_CODE_SERVER_LOGIN", "never")
	e.set("INMANTA_CODE_SERVER_PASSWORD", "short")
	e.set("INMANTA_CODE_SERVER_KEY", "./key.pem")
	e.fails(1, []string{"neither password nor none", "fewer than 8 characters", "INMANTA_CODE_SERVER_CERTIFICATE is not"}, "preflight")
	nothing()
}

// TestCodeExample runs the README's lines as they stand, with both tools.
func TestCodeExample(t *testing.T) {
	t.Parallel()
	for _, tool := range []string{"sudo docker compose", "inmanta-docker"} {
		t.Run(strings.ReplaceAll(tool, " ", "-"), func(t *testing.T) {
			e := &codeSidecar{stack: newStack(t), codePort: freePort(t)}
			e.must("init", e.dir)
			e.set("INMANTA_CODE_SERVER_PORT", fmt.Sprint(e.codePort))
			if !e.takesCodeServer() {
				return
			}
			image := tools.images["INMANTA_ORCHESTRATOR_IMAGE"]
			if image == "" {
				image = borrowed[0]
			}
			lines := example(t, codeSidecarExample)
			if len(lines) != 5 {
				t.Fatalf("the example has %d lines: %q", len(lines), lines)
			}
			for _, line := range lines {
				ours := strings.ReplaceAll(strings.ReplaceAll(line, "sudo docker compose", tool), `"INMANTA_ORCHESTRATOR_IMAGE=..."`, `"INMANTA_ORCHESTRATOR_IMAGE=`+image+`"`)
				r := e.sh(ours)
				if r.code != 0 {
					t.Fatalf("%s: exit code %d\n%s%s", ours, r.code, r.stdout, r.stderr)
				}
				switch {
				case strings.HasSuffix(line, "up -d"):
					e.serving()
				case strings.HasSuffix(line, "ps -a"):
					if !strings.Contains(r.stdout, e.container()) {
						t.Errorf("%s does not list %s:\n%s", ours, e.container(), r.stdout)
					}
				case strings.HasSuffix(line, "down"):
					if got := e.volumes(); len(got) != 5 {
						t.Errorf("after %s the volumes are %v", ours, got)
					}
				case strings.HasSuffix(line, "down -v"):
					if got := e.volumes(); len(got) != 0 {
						t.Errorf("after %s there is %v", ours, got)
					}
				}
			}
		})
	}
}

// TestCodeOverHTTPS is a certificate of the user's, and then no login at all.
func TestCodeOverHTTPS(t *testing.T) {
	t.Parallel()
	e, ok := newEditor(t)
	if !ok {
		return
	}
	pool := e.certificate("code.example.test")
	e.set("INMANTA_CODE_SERVER_CERTIFICATE", "./tls/certificate.pem")
	e.set("INMANTA_CODE_SERVER_KEY", "./tls/key.pem")
	if r := e.must("up"); !strings.Contains(r.stdout, "https://127.0.0.1:") {
		t.Errorf("up does not say that it is https:\n%s", r.stdout)
	}
	address := fmt.Sprintf("127.0.0.1:%d", e.codePort)
	client := &http.Client{Timeout: 20 * time.Second, CheckRedirect: plainClient.CheckRedirect, Transport: &http.Transport{
		TLSClientConfig: &tls.Config{RootCAs: pool},
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "tcp", address)
		},
	}}
	// By the certificate's name, which needs no setting of its own.
	response, err := client.PostForm(fmt.Sprintf("https://code.example.test:%d/login", e.codePort), url.Values{"password": {e.password}})
	if err != nil {
		t.Fatal(err)
	}
	response.Body.Close()
	if response.StatusCode != http.StatusSeeOther {
		t.Errorf("logging in gives %s", response.Status)
	}
	for _, c := range response.Cookies() {
		if !c.Secure || !strings.HasPrefix(c.Name, "__Host-") {
			t.Errorf("the cookie %v is not for https alone", c)
		}
	}
	e.docker("exec", e.container(), "inmanta-sidecar", "code", "health")

	// None of it, and no login.
	for name, value := range map[string]string{"INMANTA_CODE_SERVER_CERTIFICATE": "", "INMANTA_CODE_SERVER_KEY": "", "INMANTA_CODE_SERVER_LOGIN": "none"} {
		e.set(name, value)
	}
	e.must("up")
	if response, _ := e.ask("GET", "/?folder=/var/lib/inmanta", nil, nil, nil); response.StatusCode != http.StatusOK {
		t.Errorf("without a login the editor gives %s", response.Status)
	}
	for host, code := range map[string]int{"evil.example": 421, "192.0.2.7": 421, "localhost:1": 200} {
		if response, _ := e.ask("GET", "/?folder=/var/lib/inmanta", nil, nil, map[string]string{"Host": host}); response.StatusCode != code {
			t.Errorf("without a login, asked for as %s, the editor gives %s", host, response.Status)
		}
	}
	// The stock tool does not look beforehand: the sidecar refuses by itself.
	e.set("INMANTA_CODE_SERVER_IP", "0.0.0.0")
	e.stock("up -d")
	e.eventually("the log says why", func() bool {
		return strings.Contains(e.docker("logs", e.container()), "takes an address that only this machine has")
	})
}

// certificate makes one of a name, with its key, and is who believes it.
func (e *codeSidecar) certificate(name string) *x509.CertPool {
	e.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		e.t.Fatal(err)
	}
	about := &x509.Certificate{
		SerialNumber: big.NewInt(1), DNSNames: []string{name}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true,
	}
	made, err := x509.CreateCertificate(rand.Reader, about, about, key.Public(), key)
	if err != nil {
		e.t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		e.t.Fatal(err)
	}
	public := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: made})
	e.write("tls/certificate.pem", string(public))
	e.write("tls/key.pem", string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret})))
	// Nobody's but an ordinary user's, as keys are.
	file := filepath.Join(e.dir, "tls/key.pem")
	for _, err := range []error{os.Chmod(file, 0o600), os.Chown(file, 1000, 1000)} {
		if err != nil {
			e.t.Fatal(err)
		}
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(public)
	return pool
}

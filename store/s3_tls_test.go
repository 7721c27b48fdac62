package store

import (
	"encoding/pem"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// Storage of one's own has a certificate of one's own.
func TestBucketBehindTLS(t *testing.T) {
	t.Parallel()
	server := serve(t)
	front := httptest.NewTLSServer(server.proxy)
	t.Cleanup(front.Close)
	authority := filepath.Join(t.TempDir(), "authority.pem")
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: front.Certificate().Raw})
	if err := os.WriteFile(authority, text, 0o600); err != nil {
		t.Fatal(err)
	}
	server.env["AWS_ENDPOINT_URL_S3"] = front.URL // before the one without TLS
	// In a process of its own: authorities are read once.
	write := func(more ...string) (string, error) {
		writes := exec.Command(os.Args[0])
		writes.Env = append(os.Environ(), writesAt+"=s3://backups/of/mine/"+file)
		for name, value := range server.env {
			writes.Env = append(writes.Env, name+"="+value)
		}
		writes.Env = append(writes.Env, more...)
		output, err := writes.CombinedOutput()
		return string(output), err
	}
	if output, err := write(); err == nil || !strings.Contains(output, "signed by nobody who is known here") {
		t.Errorf("without its authority: %s, %v", output, err)
	}
	if output, err := write("SSL_CERT_FILE=" + authority); err != nil {
		t.Errorf("with its authority: %s, %v", output, err)
	}
	if text, err := get(t, server.store("AWS_ENDPOINT_URL_S3="), file); err != nil || text != "half of it" {
		t.Errorf("it has %q, %v", text, err)
	}
}

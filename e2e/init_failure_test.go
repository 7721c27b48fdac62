package e2e

import (
	"archive/zip"
	"crypto/tls"
	"encoding/pem"
	"net"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/inmanta/inmanta-docker/sidecar/initrecord"
)

const passes = "def test_passes():\n    pass\n"

// Each way of failing has its exit code and its sentence, on the real binary in
// a container of the orchestrator's image.
func TestInitFailures(t *testing.T) {
	t.Parallel()
	for name, fails := range map[string]func(t *testing.T, r *initRun, m *module) ended{
		"settings": func(_ *testing.T, r *initRun, _ *module) ended {
			r.env["INMANTA_MODULE_REPO_URL"] = "https://me:hunter22@git.example.com/x"
			r.env["INMANTA_PYTEST_ARGUMENTS"] = "'open"
			return r.run().is(initrecord.CodeSettings, "INMANTA_MODULE_REPO_URL: ", "INMANTA_PYTEST_ARGUMENTS: ", "INMANTA_MODULE_REPO_TOKEN")
		},
		"wrong-url": func(t *testing.T, r *initRun, m *module) ended {
			r.env["INMANTA_MODULE_REPO_URL"] = "http://" + serving(t, m.smartHTTP("")) + "/other.git"
			return r.run().is(initrecord.CodeRepository, "no repository at http://", "/other.git")
		},
		"branch": func(_ *testing.T, r *initRun, _ *module) ended {
			r.env["INMANTA_MODULE_REPO_BRANCH"] = "main"
			return r.run().is(initrecord.CodeBranch, "called main", "master")
		},
		"credentials": func(t *testing.T, r *initRun, m *module) ended {
			r.env["INMANTA_MODULE_REPO_URL"] = "http://" + serving(t, m.smartHTTP("hunter22")) + "/hello.git"
			return r.run().is(initrecord.CodeCredentials, "asks for credentials", "INMANTA_MODULE_REPO_TOKEN")
		},
		"wrong-token": func(t *testing.T, r *initRun, m *module) ended {
			r.env["INMANTA_MODULE_REPO_URL"] = "http://" + serving(t, m.smartHTTP("hunter22")) + "/hello.git"
			r.secrets["inmanta-module-repo-token"] = "hunter21\n"
			return r.run().is(initrecord.CodeCredentials, "does not take the token")
		},
		"host-name": func(_ *testing.T, r *initRun, _ *module) ended {
			r.env["INMANTA_MODULE_REPO_URL"] = "https://nowhere.invalid/hello.git"
			return r.run().is(initrecord.CodeHostName, "no host called nowhere.invalid")
		},
		"refused": func(t *testing.T, r *initRun, _ *module) ended {
			r.env["INMANTA_MODULE_REPO_URL"] = "http://" + host(t) + ":1/hello.git"
			return r.run().is(initrecord.CodeUnreachable, "cannot be reached")
		},
		"silent": func(t *testing.T, r *initRun, _ *module) ended {
			l := listen(t)
			go func() {
				for {
					c, err := l.Accept()
					if err != nil {
						return
					}
					defer c.Close()
				}
			}()
			r.env["INMANTA_MODULE_REPO_URL"] = "http://" + l.Addr().String() + "/hello.git"
			return r.run().is(initrecord.CodeUnreachable, "cannot be reached")
		},
		"certificate": func(t *testing.T, r *initRun, m *module) ended {
			r.env["INMANTA_MODULE_REPO_URL"], _ = overTLS(t, m, "")
			return r.run().is(initrecord.CodeCertificate, "not trusted", "INMANTA_CA_BUNDLE")
		},
		"host-key": func(t *testing.T, r *initRun, m *module) ended {
			s := newSSHHost(t, m)
			r.env["INMANTA_MODULE_REPO_URL"] = s.url()
			r.secrets["inmanta-module-repo-ssh-key"] = s.clientKey
			return r.run().is(initrecord.CodeHostKey, "not known", "INMANTA_MODULE_REPO_KNOWN_HOSTS")
		},
		"key": func(t *testing.T, r *initRun, m *module) ended {
			s := newSSHHost(t, m)
			r.env["INMANTA_MODULE_REPO_URL"] = s.url()
			r.secrets["inmanta-module-repo-known-hosts"] = s.known
			return r.run().is(initrecord.CodeCredentials, "asks for a key", "INMANTA_MODULE_REPO_SSH_KEY")
		},
		"no-module": func(_ *testing.T, r *initRun, m *module) ended {
			m.git("-C", m.dir, "rm", "-q", "requirements.dev.txt")
			m.commit(nil)
			return r.run().is(initrecord.CodeInstall, "no Inmanta module")
		},
		"resolution": func(_ *testing.T, r *initRun, m *module) ended {
			m.commit(map[string]string{"requirements.txt": "no-such-thing-anywhere>=3\n"})
			return r.run().is(initrecord.CodeResolution, "no index has no-such-thing-anywhere>=3")
		},
		"wheel": func(t *testing.T, r *initRun, m *module) ended {
			m.commit(map[string]string{"requirements.txt": "--find-links /srv/old\nold-thing\n"})
			r.mounts = append(r.mounts, "-v", oldWheel(t)+":/srv/old:ro")
			return r.run().is(initrecord.CodeWheel, "old-thing has no wheel for the orchestrator's Python")
		},
		"constraint": func(_ *testing.T, r *initRun, m *module) ended {
			m.commit(map[string]string{"requirements.txt": "inmanta-core<20\n"})
			return r.run().is(initrecord.CodeConstraint, "asks for inmanta-core<20", "made with inmanta-core==")
		},
		"index": func(t *testing.T, r *initRun, m *module) ended {
			r.env["INMANTA_MODULE_REPO_URL"] = "http://" + serving(t, m.smartHTTP("")) + "/hello.git"
			r.env["PIP_INDEX_URL"], r.env["PIP_RETRIES"] = "http://"+host(t)+":1/simple", "1"
			r.env["PIP_TRUSTED_HOST"] = host(t)
			r.mounts = nil // there is a network, and no index in it
			return r.run().is(initrecord.CodeIndex, "index cannot be reached", "PIP_INDEX_URL")
		},
		"no-pytest": func(_ *testing.T, r *initRun, m *module) ended {
			m.commit(map[string]string{"requirements.dev.txt": "setuptools\n"})
			return r.run().is(initrecord.CodeUsage, "brings pytest", "requirements.dev.txt")
		},
		"test-fails": func(t *testing.T, r *initRun, m *module) ended {
			m.commit(map[string]string{"tests/test_it.py": passes + "def test_fails():\n    assert 'a cat' == 'a dog'\n"})
			e := r.run().is(initrecord.CodeTestsFailed, "1 of 2 tests failed: tests/test_it.py::test_fails")
			if !strings.Contains(e.log, "assert 'a cat' == 'a dog'") {
				t.Errorf("the log does not say why:\n%s", e.log)
			}
			return e
		},
		"no-tests": func(_ *testing.T, r *initRun, _ *module) ended {
			r.env["INMANTA_PYTEST_ARGUMENTS"] = "tests -k 'not test_passes'"
			return r.run().is(initrecord.CodeNoTests, "finds no test", "not test_passes")
		},
		"all-skipped": func(_ *testing.T, r *initRun, m *module) ended {
			m.commit(map[string]string{"tests/test_it.py": "import pytest\n\n@pytest.mark.skip\n" + passes})
			return r.run().is(initrecord.CodeNoTests, "no test has run", "1 skipped")
		},
		"only-looked": func(_ *testing.T, r *initRun, _ *module) ended {
			r.env["INMANTA_PYTEST_ARGUMENTS"] = "tests --collect-only"
			return r.run().is(initrecord.CodeNoTests, "runs no test", "--collect-only")
		},
		"collection": func(_ *testing.T, r *initRun, m *module) ended {
			m.commit(map[string]string{"tests/test_it.py": "import no_such_package\n"})
			return r.run().is(initrecord.CodeCollection, "tests/test_it.py")
		},
		"not-built": func(_ *testing.T, r *initRun, m *module) ended {
			m.commit(map[string]string{"setup.py": "raise SystemExit('never')\n"})
			return r.run().is(initrecord.CodeInstall, "the module cannot be installed")
		},
		"killed": func(_ *testing.T, r *initRun, m *module) ended {
			m.commit(map[string]string{"tests/test_it.py": "import os\n\ndef test_kills():\n    os.kill(os.getpid(), 9)\n"})
			return r.run().is(initrecord.CodePytest, "pytest was killed")
		},
		"usage": func(_ *testing.T, r *initRun, _ *module) ended {
			r.env["INMANTA_PYTEST_ARGUMENTS"] = "nowhere; touch /tmp/x"
			return r.run().is(initrecord.CodeUsage, "not found: nowhere;")
		},
		"orchestrator": func(t *testing.T, r *initRun, _ *module) ended {
			_, r.env["INMANTA_LSM_SRV_PORT"], _ = net.SplitHostPort(host(t) + ":1")
			r.env["INMANTA_INIT_PATIENCE"] = "4s"
			return r.run().is(initrecord.CodeOrchestrator, "did not serve within 4s", "nothing accepts connections at")
		},
		"disk-full": func(_ *testing.T, r *initRun, _ *module) ended {
			r.mounts = append(r.mounts, "--tmpfs", "/var/lib/inmanta-init:size=2m,mode=755")
			return r.run().is(initrecord.CodeDiskFull, "the disk is full")
		},
		"other-image": func(_ *testing.T, r *initRun, _ *module) ended {
			r.mounts = append(r.mounts, "--tmpfs", "/opt/inmanta")
			return r.run().is(initrecord.CodeSettings, "no orchestrator", "INMANTA_ORCHESTRATOR_IMAGE")
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := newModule(t, tested(passes))
			e := fails(t, newInitRun(t, m), m)
			if strings.Contains(e.log, "hunter2") {
				t.Errorf("the log has a secret:\n%s", e.log)
			}
		})
	}
}

// The exit codes that are documented are those that there are.
func TestInitCodesAreDocumented(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../docs/sidecars/init.md")
	if err != nil {
		t.Fatal(err)
	}
	source, err := os.ReadFile("../sidecar/initrecord/code.go")
	if err != nil {
		t.Fatal(err)
	}
	var codes []string
	for line := range strings.Lines(string(source)) {
		if _, code, ok := strings.Cut(line, "Code = "); ok {
			codes = append(codes, strings.TrimSpace(code))
		}
	}
	var documented []string
	for line := range strings.Lines(string(text)) {
		if cells := strings.Split(line, "|"); len(cells) > 3 && strings.Trim(strings.TrimSpace(cells[1]), "0123456789") == "" && strings.TrimSpace(cells[1]) != "" {
			documented = append(documented, strings.TrimSpace(cells[1]))
		}
	}
	slices.Sort(codes)
	slices.Sort(documented)
	if len(codes) < 10 || !slices.Equal(codes, documented) {
		t.Errorf("documented are %v, there are %v", documented, codes)
	}
}

// overTLS serves the module over https, with a certificate of nobody's.
func overTLS(t *testing.T, m *module, password string) (url, authority string) {
	t.Helper()
	s := httptest.NewUnstartedServer(m.smartHTTP(password))
	s.Listener = listen(t)
	certificate, text := selfSigned(t, host(t))
	s.TLS = &tls.Config{Certificates: []tls.Certificate{certificate}}
	s.StartTLS()
	t.Cleanup(s.Close)
	path := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: text}), 0o644); err != nil {
		t.Fatal(err)
	}
	return "https://" + s.Listener.Addr().String() + "/hello.git", path
}

// oldWheel is a folder with a wheel that is for another Python.
func oldWheel(t *testing.T) string {
	t.Helper()
	folder := t.TempDir()
	file, err := os.Create(filepath.Join(folder, "old_thing-1.0-cp39-cp39-manylinux1_x86_64.whl"))
	if err != nil {
		t.Fatal(err)
	}
	wheel := zip.NewWriter(file)
	if err := wheel.Close(); err != nil {
		t.Fatal(err)
	}
	if err := file.Close(); err != nil {
		t.Fatal(err)
	}
	return folder
}

// inspectable is all that `docker inspect` and `docker logs` say of a container.
func inspectable(t *testing.T, container string) string {
	t.Helper()
	inspected, err := exec.Command("docker", "inspect", container).CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, inspected)
	}
	logs, err := exec.Command("docker", "logs", container).CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, logs)
	}
	return string(inspected) + string(logs)
}

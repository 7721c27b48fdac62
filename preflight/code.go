package preflight

import (
	"fmt"
	"path"
	"strings"

	"github.com/inmanta/inmanta-docker/problem"
	"github.com/inmanta/inmanta-docker/settings"
	"github.com/inmanta/inmanta-docker/topology"
)

// Where the code sidecar looks for the user's certificate and its key.
const (
	codeCertificate = "/etc/inmanta-sidecar/code/tls/certificate.pem"
	codeKey         = "/etc/inmanta-sidecar/code/tls/key.pem"
)

// code judges who gets at the code sidecar's editor, and how.
func (r *report) code() {
	service, ok := r.stack.Project.Services[topology.Code]
	if !ok {
		return
	}
	r.codeCertificate()
	login := service.Environment[settings.CodeServerLogin]
	if login == nil || *login != "none" {
		r.codePassword()
		return
	}
	for _, p := range publications(r.stack.Project) {
		if p.Service == topology.Code && !p.IP.IsLoopback() {
			where, _ := r.place("services."+topology.Code+".ports", p.IP.String())
			r.refuse(problem.Problem{
				ID: "code-open", Where: where,
				What: fmt.Sprintf("the code server lets in whoever reaches it (%s=none), and %s is reached from other machines", settings.CodeServerLogin, p.IP.String()),
				Fix:  fmt.Sprintf("set %s=127.0.0.1, or leave %s out", settings.CodeServerIP, settings.CodeServerLogin),
			})
		}
	}
}

// codePassword says where the password comes from, if nobody has set one.
func (r *report) codePassword() {
	config, ok := r.stack.Project.Configs["code-server-password"]
	if !ok || strings.TrimSpace(config.Content) != "" {
		return
	}
	container := r.stack.Project.Services[topology.Code].ContainerName
	r.warn(problem.Problem{
		ID: "code-password-missing", Where: settings.CodeServerSecret, What: "no password is set for the code server, so it makes one up",
		Fix: fmt.Sprintf("docker exec %s inmanta-sidecar code password shows it; or set one in %s", container, r.envFile()),
	})
}

// codeCertificate refuses a certificate without its key, and a key without its certificate.
func (r *report) codeCertificate() {
	service := r.stack.Project.Services[topology.Code]
	given := func(target string) bool {
		for _, v := range service.Volumes {
			if path.Clean(v.Target) == target {
				return v.Source != "/dev/null"
			}
		}
		return false
	}
	certified, keyed := given(codeCertificate), given(codeKey)
	if certified == keyed {
		return
	}
	has, lacks := settings.CodeServerCert, settings.CodeServerKey
	if keyed {
		has, lacks = lacks, has
	}
	r.refuse(problem.Problem{
		ID: "code-certificate", Where: has, What: fmt.Sprintf("it is set and %s is not: https takes both", lacks),
		Fix: fmt.Sprintf("set %s too, or leave %s out", lacks, has),
	})
}

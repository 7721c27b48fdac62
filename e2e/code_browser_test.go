package e2e

import (
	"archive/zip"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// pictureVariable says that the picture of the documentation is to be made anew:
// INMANTA_DOCKER_PICTURE=docs/sidecars/code.png.
const pictureVariable = "INMANTA_DOCKER_PICTURE"

// browserOfCode does what a module's developer does, in a real browser.
func browserOfCode(e *codeSidecar) {
	b := newBrowser(e.t)
	b.open(e.root() + "/")
	b.see("the login", "document.querySelector('#password')")
	b.clicks("#password")
	b.types("not the password")
	b.presses("Enter", false)
	b.see("that it was wrong", "document.body.innerText.includes('That is not the password')")
	b.clicks("#password")
	b.types(e.password)
	b.presses("Enter", false)
	b.see("the explorer", "document.querySelector('.explorer-folders-view .monaco-list-row')")
	for name, is := range b.cookies() {
		if is != "Strict HttpOnly" {
			e.t.Errorf("the cookie %s is %s", name, is)
		}
	}
	if got, err := b.eval("document.cookie"); err != nil || strings.Contains(got, "inmanta") {
		e.t.Errorf("scripts see the cookies %q (%v)", got, err)
	}
	b.presses("p", true)
	b.see("where to ask for a file", "document.querySelector('.quick-input-widget input')")
	b.types("main.cf")
	b.see("the model", "[...document.querySelectorAll('.quick-input-list .monaco-list-row')].some(row => row.innerText.includes('main.cf'))")
	b.presses("Enter", false)
	b.see("the model's text", `document.querySelector('.tab.active[data-resource-name="main.cf"]') && [...document.querySelectorAll('.view-lines')].some(lines => lines.innerText.includes('import'))`)
	b.clicks(".view-lines .view-line")
	b.presses("End", true)
	b.types("# edited in the browser")
	b.see("that it is edited", "[...document.querySelectorAll('.view-lines')].some(lines => lines.innerText.includes('browser'))")
	b.presses("s", true)
	model := "/var/lib/inmanta/server/" + environmentID + "/compiler/main.cf"
	e.eventually("the model is changed on the volume", func() bool {
		return e.docker("exec", e.server(), "cat", model) == "import std\n# edited in the browser"
	})
	if got := e.docker("exec", e.server(), "stat", "-c", "%U:%G", model); got != "inmanta:inmanta" {
		e.t.Errorf("the model belongs to %s", got)
	}
	b.presses("`", true)
	b.see("a terminal", "document.activeElement.classList.contains('xterm-helper-textarea') && document.querySelector('.terminal-wrapper.active')")
	// What is typed before the shell asks for it may be lost.
	e.eventually("the terminal has a shell", func() bool { return e.sh("docker exec "+e.container()+" pgrep -x bash").code == 0 })
	b.types("inmanta-cli environment list | tee /tmp/listed; env > /tmp/environment; id -un\r")
	e.eventually("the terminal has run it", func() bool {
		return e.sh("docker exec "+e.container()+" test -s /tmp/environment").code == 0
	})
	if got := e.docker("exec", e.container(), "cat", "/tmp/listed"); !strings.Contains(got, "edited-here") {
		e.t.Errorf("inmanta-cli in the terminal says\n%s", got)
	}
	environment := e.docker("exec", e.container(), "cat", "/tmp/environment")
	for _, want := range []string{"INMANTA_CLIENT_REST_TRANSPORT_HOST=server", "INMANTA_CONFIG_STATE_DIR=/var/lib/inmanta", "HOME=/var/lib/inmanta-code/home", "USER=inmanta"} {
		if !strings.Contains(environment, want+"\n") {
			e.t.Errorf("the terminal has no %s", want)
		}
	}
	if strings.Contains(environment, e.password) {
		e.t.Error("the terminal has the password")
	}
	b.staysHere()
	if file := os.Getenv(pictureVariable); file != "" {
		b.types("clear\rinmanta-cli environment list\r")
		lists := func() bool { return e.sh("docker exec "+e.container()+" pgrep -f inmanta-cli").code == 0 }
		e.eventually("the environments are asked for", lists)
		e.eventually("the environments are listed", func() bool { return !lists() })
		time.Sleep(time.Second) // the terminal is drawn: no text of the page says what it shows
		b.picture(filepath.Join("..", file))
	}
}

// vsix writes an extension that does nothing, as a file to install. It depends on
// another, which is nowhere to be had.
func (e *codeSidecar) vsix(name string) {
	e.t.Helper()
	e.write("extensions/README", "not an extension\n")
	file, err := os.Create(filepath.Join(e.dir, "extensions", name+".vsix"))
	if err != nil {
		e.t.Fatal(err)
	}
	defer file.Close()
	archive := zip.NewWriter(file)
	for path, text := range map[string]string{
		"extension/package.json": `{"name":"` + name + `","publisher":"inmanta-e2e","version":"1.0.0","engines":{"vscode":"^1.60.0"},"extensionDependencies":["inmanta-e2e.absent"]}`,
		"extension.vsixmanifest": `<?xml version="1.0" encoding="utf-8"?><PackageManifest Version="2.0.0" xmlns="http://schemas.microsoft.com/developer/vsx-schema/2011"><Metadata><Identity Language="en-US" Id="` + name + `" Version="1.0.0" Publisher="inmanta-e2e"/><DisplayName>` + name + `</DisplayName></Metadata><Installation><InstallationTarget Id="Microsoft.VisualStudio.Code"/></Installation><Dependencies/><Assets><Asset Type="Microsoft.VisualStudio.Code.Manifest" Path="extension/package.json" Addressable="true"/></Assets></PackageManifest>`,
		"[Content_Types].xml":    `<?xml version="1.0" encoding="utf-8"?><Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types"><Default Extension=".json" ContentType="application/json"/><Default Extension=".vsixmanifest" ContentType="text/xml"/></Types>`,
	} {
		into, err := archive.Create(path)
		if err == nil {
			_, err = into.Write([]byte(text))
		}
		if err != nil {
			e.t.Fatal(err)
		}
	}
	if err := archive.Close(); err != nil {
		e.t.Fatal(err)
	}
}

func extensionOfCode(e *codeSidecar) {
	installed := e.inside("inmanta", "ls /var/lib/inmanta-code/home/.local/share/code-server/extensions")
	if !strings.Contains(installed, "inmanta-e2e.hello-1.0.0") {
		e.t.Errorf("the extension of the folder is not installed:\n%s", installed)
	}
	if got := strings.Count(e.docker("logs", e.container()), `"event":"extension"`); got != 1 {
		e.t.Errorf("extensions were installed %d times, want once", got)
	}
}

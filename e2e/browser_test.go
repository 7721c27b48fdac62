package e2e

import (
	"bufio"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// browser is a real one, Debian's Chromium without a window, told what to do
// over its debugging protocol (Chrome DevTools Protocol), on a pipe.
type browser struct {
	t       *testing.T
	to      *os.File
	session string

	mu      sync.Mutex
	number  int
	waiting map[int]chan answer
	gone    chan struct{}
	// elsewhere are the hosts beyond this machine that a page asked for anything.
	elsewhere []string
}

// answer is what the browser says to one command.
type answer struct {
	Result json.RawMessage
	Error  struct{ Message string }
}

// browserPatience is how long anything may take in the browser.
const browserPatience = 90 * time.Second

// newBrowser starts one with a profile of its own, and one page.
func newBrowser(t *testing.T) *browser {
	t.Helper()
	program, err := exec.LookPath("chromium")
	if err != nil {
		t.Fatal("chromium is not installed, so nothing can be said of the editor: `e2e/clients` installs what these tests need")
	}
	theirs, to, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	from, ours, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	profile, err := os.MkdirTemp("", "inmanta-docker-e2e-browser-")
	if err != nil {
		t.Fatal(err)
	}
	b := &browser{t: t, waiting: map[int]chan answer{}, gone: make(chan struct{})}
	command := exec.Command(program,
		"--proxy-server="+b.beyond(), "--headless=new", "--remote-debugging-pipe", "--user-data-dir="+profile, "--window-size=1280,800",
		"--no-first-run", "--disable-gpu", "--disable-dev-shm-usage", "--ignore-certificate-errors", "--hide-scrollbars",
		// It refuses to run as root with one, and all it is shown is ours.
		"--no-sandbox", "about:blank")
	command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	command.ExtraFiles = []*os.File{theirs, ours} // 3 and 4
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	theirs.Close()
	ours.Close()
	b.to = to
	go b.listen(from)
	t.Cleanup(func() {
		syscall.Kill(-command.Process.Pid, syscall.SIGKILL) //nolint:errcheck // it may have ended
		command.Wait()                                      //nolint:errcheck // it was killed
		to.Close()
		from.Close()
		os.RemoveAll(profile) //nolint:errcheck // what is left is in the system's folder for that
	})
	var made struct{ TargetID, SessionID string }
	b.do("Target.createTarget", map[string]any{"url": "about:blank"}, &made)
	b.do("Target.attachToTarget", map[string]any{"targetId": made.TargetID, "flatten": true}, &made)
	b.session = made.SessionID
	b.do("Page.enable", nil, nil)
	return b
}

// maker is what the browser itself asks its maker's hosts for all the time.
var maker = regexp.MustCompile(`\.(google|googleapis|gvt1)\.com(:|$)`)

// beyond is a proxy that is asked for whatever is not on this machine. It has
// none of that, and writes down whose it is.
func (b *browser) beyond() (address string) {
	b.t.Helper()
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !maker.MatchString(r.Host) {
			b.mu.Lock()
			b.elsewhere = append(b.elsewhere, r.Host)
			b.mu.Unlock()
		}
		w.WriteHeader(http.StatusBadGateway)
	}))
	b.t.Cleanup(proxy.Close)
	return proxy.URL
}

// staysHere fails the scenario where a page asked anybody else for anything.
func (b *browser) staysHere() {
	b.t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.elsewhere) > 0 {
		b.t.Errorf("the page asks others: %v", b.elsewhere)
	}
}

// listen hands out the answers.
func (b *browser) listen(from *os.File) {
	defer close(b.gone)
	reader := bufio.NewReader(from)
	for {
		text, err := reader.ReadBytes(0)
		if err != nil {
			return
		}
		var said struct {
			ID int
			answer
		}
		if json.Unmarshal(text[:len(text)-1], &said) != nil || said.ID == 0 {
			continue // an event
		}
		b.mu.Lock()
		if waiting := b.waiting[said.ID]; waiting != nil {
			waiting <- said.answer
			delete(b.waiting, said.ID)
		}
		b.mu.Unlock()
	}
}

// try gives a command and waits for its answer.
func (b *browser) try(method string, params map[string]any, into any) error {
	b.mu.Lock()
	b.number++
	id, waiting := b.number, make(chan answer, 1)
	b.waiting[id] = waiting
	message := map[string]any{"id": id, "method": method, "params": params}
	if params == nil {
		message["params"] = map[string]any{}
	}
	if b.session != "" {
		message["sessionId"] = b.session
	}
	text, err := json.Marshal(message)
	if err == nil {
		_, err = b.to.Write(append(text, 0))
	}
	b.mu.Unlock()
	if err != nil {
		return fmt.Errorf("%s: %w", method, err)
	}
	ctx, cancel := context.WithTimeout(b.t.Context(), browserPatience)
	defer cancel()
	select {
	case said := <-waiting:
		if said.Error.Message != "" {
			return fmt.Errorf("%s: %s", method, said.Error.Message)
		}
		if into == nil {
			return nil
		}
		return json.Unmarshal(said.Result, into)
	case <-b.gone:
		return fmt.Errorf("%s: the browser has ended", method)
	case <-ctx.Done():
		return fmt.Errorf("%s: no answer", method)
	}
}

// do is try, and the scenario ends here unless it succeeds.
func (b *browser) do(method string, params map[string]any, into any) {
	b.t.Helper()
	if err := b.try(method, params, into); err != nil {
		b.t.Fatal(err)
	}
}

// open goes to an address.
func (b *browser) open(address string) {
	b.t.Helper()
	var went struct{ ErrorText string }
	b.do("Page.navigate", map[string]any{"url": address}, &went)
	if went.ErrorText != "" {
		b.t.Fatalf("opening %s: %s", address, went.ErrorText)
	}
}

// eval is the value of a JavaScript expression in the page, as text.
func (b *browser) eval(expression string) (string, error) {
	var value struct {
		Result           struct{ Value any }
		ExceptionDetails *struct{ Text string }
	}
	err := b.try("Runtime.evaluate", map[string]any{"expression": expression, "returnByValue": true, "awaitPromise": true}, &value)
	if err == nil && value.ExceptionDetails != nil {
		err = fmt.Errorf("%s: %s", expression, value.ExceptionDetails.Text)
	}
	return fmt.Sprint(value.Result.Value), err
}

// see waits until a JavaScript expression is true in the page.
func (b *browser) see(what, expression string) {
	b.t.Helper()
	var last error
	for deadline := time.Now().Add(browserPatience); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		value, err := b.eval("Boolean(" + expression + ")")
		if err == nil && value == "true" {
			return
		}
		last = err // a page that is only just loading has nothing to ask
	}
	b.picture(filepath.Join(os.TempDir(), "inmanta-docker-e2e-unseen.png"))
	at, _ := b.eval("location.href + ' ' + document.title")
	b.t.Fatalf("the page does not show %s (%v); it is %s, and its picture is in %s", what, last, at, os.TempDir())
}

// types types text where the cursor is.
func (b *browser) types(text string) {
	b.t.Helper()
	for _, r := range text {
		b.do("Input.dispatchKeyEvent", map[string]any{"type": "char", "text": string(r)}, nil)
	}
}

// keys of which a scenario presses some, with their codes for Windows, which is
// what pages are told.
var keys = map[string]struct {
	code string
	key  string
	vk   int
}{
	"Enter": {"Enter", "Enter", 13}, "End": {"End", "End", 35}, "Escape": {"Escape", "Escape", 27},
	"s": {"KeyS", "s", 83}, "p": {"KeyP", "p", 80}, "`": {"Backquote", "`", 192},
}

// presses presses a key, with Ctrl if asked.
func (b *browser) presses(name string, ctrl bool) {
	b.t.Helper()
	k := keys[name]
	event := map[string]any{"code": k.code, "key": k.key, "windowsVirtualKeyCode": k.vk, "modifiers": 0}
	if ctrl {
		event["modifiers"] = 2
	}
	event["type"] = "rawKeyDown"
	if name == "Enter" {
		event["type"], event["text"] = "keyDown", "\r"
	}
	b.do("Input.dispatchKeyEvent", event, nil)
	event["type"] = "keyUp"
	delete(event, "text")
	b.do("Input.dispatchKeyEvent", event, nil)
}

// clicks clicks into the middle of what a selector finds.
func (b *browser) clicks(selector string) {
	b.t.Helper()
	b.see(selector, "document.querySelector("+quotedJS(selector)+")")
	place, err := b.eval("(() => { const r = document.querySelector(" + quotedJS(selector) + ").getBoundingClientRect(); return JSON.stringify([r.x + r.width / 2, r.y + r.height / 2]) })()")
	var at [2]float64
	if err == nil {
		err = json.Unmarshal([]byte(place), &at)
	}
	if err != nil {
		b.t.Fatal(err)
	}
	for _, kind := range []string{"mousePressed", "mouseReleased"} {
		b.do("Input.dispatchMouseEvent", map[string]any{"type": kind, "x": at[0], "y": at[1], "button": "left", "clickCount": 1}, nil)
	}
}

func quotedJS(text string) string {
	quoted, err := json.Marshal(text)
	if err != nil {
		panic(err) // a text is always JSON
	}
	return string(quoted)
}

// picture writes a picture of the page to a file.
func (b *browser) picture(file string) {
	b.t.Helper()
	var shot struct{ Data string }
	b.do("Page.captureScreenshot", map[string]any{"format": "png"}, &shot)
	image, err := base64.StdEncoding.DecodeString(shot.Data)
	if err == nil {
		err = os.WriteFile(file, image, 0o644)
	}
	if err != nil {
		b.t.Fatal(err)
	}
}

// cookies are the page's, as the browser keeps them: NAME and what they are.
func (b *browser) cookies() map[string]string {
	b.t.Helper()
	var kept struct {
		Cookies []struct {
			Name, Value, SameSite string
			HTTPOnly              bool `json:"httpOnly"`
			Secure                bool
		}
	}
	b.do("Network.getCookies", nil, &kept)
	found := map[string]string{}
	for _, c := range kept.Cookies {
		words := []string{c.SameSite}
		if c.HTTPOnly {
			words = append(words, "HttpOnly")
		}
		if c.Secure {
			words = append(words, "Secure")
		}
		found[c.Name] = strings.Join(words, " ")
	}
	return found
}

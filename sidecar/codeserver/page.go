package codeserver

import (
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"html"
	"net/http"
	"strings"
)

const style = `body{font:16px/1.5 system-ui,sans-serif;background:#f4f5f7;color:#1f2328;margin:0;min-height:100vh;display:grid;place-items:center}
main{background:#fff;border:1px solid #d0d7de;border-radius:8px;padding:2rem;width:min(22rem,90vw);box-sizing:border-box}
h1{font-size:1.25rem;margin:0 0 1rem}label{display:block;margin-bottom:.25rem}
input,button{font:inherit;width:100%;box-sizing:border-box;padding:.5rem;border-radius:6px;border:1px solid #8c959f}
button{margin-top:1rem;background:#1f6feb;border-color:#1f6feb;color:#fff;cursor:pointer}
.error{color:#b3261e;margin:.75rem 0 0}
@media(prefers-color-scheme:dark){body{background:#0d1117;color:#e6edf3}main{background:#161b22;border-color:#30363d}input{background:#0d1117;color:inherit;border-color:#6e7681}.error{color:#ff8a80}}`

// policy lets a page of ours do nothing but look like itself and send its form.
var policy = func() string {
	sum := sha256.Sum256([]byte(style))
	return "default-src 'none'; style-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) +
		"'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
}()

// page writes a page of ours; body is HTML.
func page(w http.ResponseWriter, code int, title, body string) {
	header := w.Header()
	header.Set("Content-Type", "text/html; charset=utf-8")
	header.Set("Content-Security-Policy", policy)
	header.Set("X-Content-Type-Options", "nosniff")
	header.Set("X-Frame-Options", "DENY")
	header.Set("Referrer-Policy", "same-origin")
	header.Set("Cache-Control", "no-store")
	w.WriteHeader(code)
	fmt.Fprintf(w, `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width,initial-scale=1"><title>%[1]s - Inmanta</title>
<style>%[2]s</style></head><body><main><h1>%[1]s</h1>
%[3]s
</main></body></html>
`, title, style, body)
}

// loginPage is the form. After a wrong password it says so.
func loginPage(w http.ResponseWriter, code int, to, wrong string) {
	var body strings.Builder
	fmt.Fprintf(&body, `<form method="post" action="/login"><input type="hidden" name="to" value="%s">
<label for="password">Password</label>
<input id="password" name="password" type="password" autocomplete="current-password" required autofocus>
<button>Log in</button></form>`, html.EscapeString(to))
	if wrong != "" {
		fmt.Fprintf(&body, `<p class="error" role="alert">%s</p>`, html.EscapeString(wrong))
	}
	page(w, code, "Inmanta code server", body.String())
}

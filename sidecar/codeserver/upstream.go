package codeserver

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httputil"
	"strings"
	"time"
)

// editorHealth is code-server's own health endpoint. Its answer is 200 whether
// somebody is at work ("alive") or nobody was for a while ("expired").
const editorHealth = "/healthz"

// transport reaches code-server at its socket.
func transport(socket string) *http.Transport {
	return &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", socket)
		},
		// What a browser can unpack goes through as it is.
		DisableCompression:  true,
		MaxIdleConnsPerHost: 64,
		IdleConnTimeout:     time.Minute,
	}
}

// upstream passes requests on to code-server, websockets included. What it
// answers is streamed.
func upstream(reach http.RoundTripper, own func(*http.Request) []string, j *journal) http.Handler {
	return &httputil.ReverseProxy{
		Transport:     reach,
		FlushInterval: -1,
		ErrorLog:      log.New(io.Discard, "", 0), // what matters comes to ErrorHandler
		Rewrite: func(r *httputil.ProxyRequest) {
			r.Out.URL.Scheme, r.Out.URL.Host = "http", "code-server"
			// code-server compares it with a websocket's Origin.
			r.Out.Host = r.In.Host
			r.Out.URL.RawQuery = r.In.URL.RawQuery
			// Who is logged in is not the business of what runs in there.
			dropCookies(r.Out.Header, own(r.In))
		},
		ModifyResponse: func(r *http.Response) error {
			r.Header.Add("Content-Security-Policy", "frame-ancestors 'self'")
			keepOwnCookies(r.Header)
			return nil
		},
		ErrorHandler: func(w http.ResponseWriter, r *http.Request, err error) {
			if r.Context().Err() == nil {
				j.write(event{Event: eventProblem, Problem: "code-server does not answer", Reason: err.Error()})
			}
			w.Header().Set("Cache-Control", "no-store")
			http.Error(w, "code-server does not answer", http.StatusBadGateway)
		},
	}
}

// dropCookies takes cookies of these names out of a request.
func dropCookies(header http.Header, names []string) {
	cookies := (&http.Request{Header: header}).Cookies()
	var kept []string
	for _, c := range cookies {
		ours := false
		for _, name := range names {
			ours = ours || c.Name == name
		}
		if !ours {
			kept = append(kept, c.Name+"="+c.Value)
		}
	}
	header.Del("Cookie")
	if len(kept) > 0 {
		header.Set("Cookie", strings.Join(kept, "; "))
	}
}

// keepOwnCookies takes out of an answer the cookies that would take the place of
// the front's own.
func keepOwnCookies(header http.Header) {
	set := header.Values("Set-Cookie")
	header.Del("Set-Cookie")
	for _, line := range set {
		if name, _, _ := strings.Cut(line, "="); !strings.Contains(name, sessionCookie) && !strings.Contains(name, knownCookie) {
			header.Add("Set-Cookie", line)
		}
	}
}

// ask asks code-server how it is.
func ask(ctx context.Context, reach http.RoundTripper) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://code-server"+editorHealth, nil)
	if err != nil {
		return err
	}
	answer, err := reach.RoundTrip(request)
	if err != nil {
		return fmt.Errorf("code-server does not answer: %w", innermost(err))
	}
	defer answer.Body.Close()
	_, _ = io.Copy(io.Discard, io.LimitReader(answer.Body, 4<<10))
	if answer.StatusCode != http.StatusOK {
		return fmt.Errorf("code-server answers its health check with %s", answer.Status)
	}
	return nil
}

// innermost is an error without where it came through.
func innermost(err error) error {
	var operation *net.OpError
	if errors.As(err, &operation) {
		return operation.Err
	}
	return err
}

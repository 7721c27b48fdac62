// Actor is what the containers of the engine tests run: it plays a part, in the
// order of its arguments, and then stays until it is told to stop. It is the only
// file in their image.
package main

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"
)

func main() {
	// As the first process of a container it would not end on these otherwise.
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT)
	go func() {
		<-signals
		os.Exit(143)
	}()
	for _, act := range os.Args[1:] {
		verb, what, _ := strings.Cut(act, "=")
		switch verb {
		case "after": // milliseconds
			n, _ := strconv.Atoi(what)
			time.Sleep(time.Duration(n) * time.Millisecond)
		case "say":
			fmt.Println(what)
		case "write": // a file
			must(os.WriteFile(what, nil, 0o600))
		case "await": // a file
			for _, err := os.Stat(what); err != nil; _, err = os.Stat(what) {
				time.Sleep(10 * time.Millisecond)
			}
		case "exists": // a file: for health checks
			if _, err := os.Stat(what); err != nil {
				fmt.Println(err)
				os.Exit(1)
			}
		case "exit":
			n, _ := strconv.Atoi(what)
			os.Exit(n)
		case "times": // N: exit with 1 the first N times
			n, _ := strconv.Atoi(what)
			if count("/count") <= n {
				os.Exit(1)
			}
		case "listen": // a port, silently
			listener, err := net.Listen("tcp", ":"+what)
			must(err)
			go func() {
				for {
					connection, err := listener.Accept()
					must(err)
					must(connection.Close())
				}
			}()
		case "serve": // the orchestrator's API: ok, login, warned (and login), disconnected
			listener, err := net.Listen("tcp", ":8888")
			must(err)
			go func() { must(http.Serve(listener, api(what))) }()
		case "eat": // all the memory there is
			var eaten [][]byte
			for {
				bite := make([]byte, 1<<20)
				for i := range bite {
					bite[i] = 1
				}
				eaten = append(eaten, bite)
				_ = eaten
			}
		default:
			must(fmt.Errorf("no act %q", act))
		}
	}
	select {}
}

func api(kind string) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /api/v1/serverstatus", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		if kind == "login" || kind == "warned" {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		fmt.Fprintf(w, `{"data": {"product": "Actor", "version": "1", "slices": [`+
			`{"name": "core.database", "status": {"connected": %t}}]}}`, kind == "ok")
	})
	mux.HandleFunc("GET /api/v2/health", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		if kind == "warned" {
			w.WriteHeader(http.StatusInternalServerError)
		}
		fmt.Fprint(w, `{"data": null}`)
	})
	return mux
}

// count is how often it was called in the life of the container.
func count(file string) int {
	must(func() error {
		f, err := os.OpenFile(file, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
		if err != nil {
			return err
		}
		defer f.Close()
		_, err = f.WriteString(".")
		return err
	}())
	marks, err := os.ReadFile(file)
	must(err)
	return len(marks)
}

func must(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
}

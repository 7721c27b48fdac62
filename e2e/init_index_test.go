package e2e

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
)

// index is a package index (PEP 503) of the wheels in a folder, which notes what
// is fetched.
type index struct {
	address string
	mu      sync.Mutex
	wheels  []string
}

func newIndex(t *testing.T, folder string) *index {
	t.Helper()
	entries, err := os.ReadDir(folder)
	if err != nil {
		t.Fatal(err)
	}
	links := map[string][]string{}
	for _, entry := range entries {
		name, _, _ := strings.Cut(entry.Name(), "-")
		name = strings.ToLower(regexp.MustCompile(`[-_.]+`).ReplaceAllString(name, "-"))
		links[name] = append(links[name], fmt.Sprintf(`<a href="/wheels/%s">%s</a>`, entry.Name(), entry.Name()))
	}
	x := &index{}
	handler := http.NewServeMux()
	handler.HandleFunc("/simple/{name}/", func(w http.ResponseWriter, r *http.Request) {
		found, ok := links[r.PathValue("name")]
		if !ok {
			http.NotFound(w, r)
			return
		}
		w.Header().Set("Content-Type", "text/html")
		fmt.Fprintf(w, "<!DOCTYPE html><html><body>%s</body></html>", strings.Join(found, "\n"))
	})
	handler.HandleFunc("/wheels/{file}", func(w http.ResponseWriter, r *http.Request) {
		x.mu.Lock()
		x.wheels = append(x.wheels, r.PathValue("file"))
		x.mu.Unlock()
		w.Header().Set("Cache-Control", "max-age=3600")
		http.ServeFile(w, r, filepath.Join(folder, filepath.Base(r.PathValue("file"))))
	})
	x.address = serving(t, handler)
	return x
}

// fetched are the wheels that were, in their order.
func (x *index) fetched() []string {
	x.mu.Lock()
	defer x.mu.Unlock()
	return slices.Clone(x.wheels)
}

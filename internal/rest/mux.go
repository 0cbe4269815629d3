package rest

import (
	"net/http"
	"path"
	"slices"
	"strings"
)

// Mux is an [http.ServeMux] that knows by which methods its paths can be had.
// It is filled before it serves.
type Mux struct {
	mux     http.ServeMux
	methods []string
	roots   []string
}

// catchAll is the pattern of what nothing else is there for.
const catchAll = "/"

// Handle adds what is there for a pattern, which begins with its method.
func (m *Mux) Handle(pattern string, f http.HandlerFunc) {
	m.mux.HandleFunc(pattern, f)
	method, path, _ := strings.Cut(pattern, " ")
	m.methods = append(m.methods, method)
	if method == http.MethodGet {
		m.methods = append(m.methods, http.MethodHead)
	}
	slices.Sort(m.methods)
	m.methods = slices.Compact(m.methods)
	root, _, _ := strings.Cut(strings.TrimPrefix(path, "/"), "/")
	if root = "/" + root; !slices.Contains(m.roots, root) {
		m.roots = append(m.roots, root)
	}
}

// Roots are the first parts of the paths that there is something for, as they
// were added.
func (m *Mux) Roots() []string { return m.roots }

// Else adds what is there for everything else.
func (m *Mux) Else(f http.HandlerFunc) { m.mux.HandleFunc(catchAll, f) }

// ServeHTTP hands a request to what is there for it.
func (m *Mux) ServeHTTP(w http.ResponseWriter, r *http.Request) { m.mux.ServeHTTP(w, r) }

// Allowed are the methods that a request's path has something for.
func (m *Mux) Allowed(r *http.Request) (list []string) {
	probe := r.WithContext(r.Context())
	for _, method := range m.methods {
		probe.Method = method
		if _, pattern := m.mux.Handler(probe); pattern != catchAll {
			list = append(list, method)
		}
	}
	return list
}

// Clean reports whether a mux takes a request's path as it is. It redirects
// others to what they come to, method and body included.
func Clean(r *http.Request) bool {
	p := r.URL.EscapedPath()
	clean := path.Clean("/" + p)
	if clean != "/" && strings.HasSuffix(p, "/") {
		clean += "/"
	}
	return p == clean
}

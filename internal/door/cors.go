package door

import "net/http"

// maxAge is how long a browser may remember what it may ask for, seconds.
const maxAge = "3600"

// CrossSite reports whether a browser says that another site's page has it send
// a request that may change something, and does not say whose.
func CrossSite(r *http.Request) bool {
	return len(r.Header["Origin"]) == 0 && r.Header.Get("Sec-Fetch-Site") == "cross-site" &&
		r.Method != http.MethodGet && r.Method != http.MethodHead
}

// Share lets the page that a request comes from read the answer, whose header
// is h, as far as it is trusted.
func Share(h http.Header, r *http.Request, t Trust) {
	switch t {
	case Named:
		h.Set("Access-Control-Allow-Origin", r.Header.Get("Origin"))
		h.Set("Access-Control-Allow-Credentials", "true")
	case Anybody:
		h.Set("Access-Control-Allow-Origin", "*") // and no cookies for whoever asks
	default:
		return
	}
	h.Set("Access-Control-Expose-Headers", "Retry-After")
	if r.Method == http.MethodOptions {
		h.Set("Access-Control-Allow-Methods", "GET, POST, PUT, PATCH, DELETE")
		h.Set("Access-Control-Allow-Headers", "Authorization, Content-Type")
		h.Set("Access-Control-Max-Age", maxAge)
	}
}

package rest_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gabblehq/chat/internal/rest"
	"github.com/gabblehq/chat/internal/wire"
)

var edge = rest.Edge{Timeout: time.Second, Bytes: 64}

func post(body string) *http.Request {
	r := httptest.NewRequest(http.MethodPost, "/", strings.NewReader(body))
	r.Header.Set("Content-Type", "application/json; charset=utf-8")
	return r
}

func TestMuxKnowsTheMethodsOfItsPaths(t *testing.T) {
	var m rest.Mux
	m.Handle("GET /rooms", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusOK) })
	m.Handle("PUT /rooms/{room}/mark", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusOK) })
	m.Else(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Allow", strings.Join(m.Allowed(r), ", "))
		w.WriteHeader(http.StatusTeapot)
	})
	for path, allow := range map[string]string{"/rooms": "GET, HEAD", "/rooms/r/mark": "PUT", "/nowhere": ""} {
		w := httptest.NewRecorder()
		m.ServeHTTP(w, httptest.NewRequest(http.MethodDelete, path, nil))
		require.Equal(t, http.StatusTeapot, w.Code)
		require.Equal(t, allow, w.Header().Get("Allow"), path)
	}
	m.Handle("GET /ws", func(http.ResponseWriter, *http.Request) {})
	require.Equal(t, []string{"/rooms", "/ws"}, m.Roots())
	w := httptest.NewRecorder()
	m.ServeHTTP(w, httptest.NewRequest(http.MethodPut, "/rooms/r/mark", nil))
	require.Equal(t, http.StatusOK, w.Code)
}

func TestPathsThatAMuxWouldRedirect(t *testing.T) {
	for path, clean := range map[string]bool{
		"/": true, "/rooms": true, "/rooms/": true, "/rooms/a%2Fb": true,
		"//": false, "/rooms//a": false, "/rooms/a/../b": false, "/rooms/./a": false, "/rooms/..": false,
	} {
		require.Equal(t, clean, rest.Clean(httptest.NewRequest(http.MethodGet, path, nil)), path)
	}
}

func TestBodiesAreHeldToRules(t *testing.T) {
	for body, want := range map[string]wire.Error{
		`{"title":"x"}`:                 {},
		`{"title":"x","of later":true}`: {},
		`{"title":""}`:                  {Code: wire.CodeInvalid, Field: "title", Message: "breaks the rule required"},
		`{"title":1}`:                   {Code: wire.CodeInvalid, Field: "title", Message: "the body is not the JSON that is expected"},
		`{"title":"x","title":"y"}`:     {Code: wire.CodeInvalid, Field: "title", Message: "the body is not the JSON that is expected"},
		``:                              {Code: wire.CodeInvalid, Message: "the body is not the JSON that is expected"},
		`{"title":"` + strings.Repeat("x", 64) + `"}`: {Code: wire.CodeTooLarge, Message: "the body is too large"},
	} {
		var v struct {
			Title string `json:"title" validate:"required"`
		}
		err := edge.Decode(post(body), &v)
		if want.Code == "" {
			require.NoError(t, err)
			require.Equal(t, "x", v.Title)
			continue
		}
		require.Equal(t, &want, err, body)
	}
	r := post(`{}`)
	r.Header.Set("Content-Type", "text/plain")
	_, err := edge.Body(r)
	require.Equal(t, &wire.Error{Code: wire.CodeInvalid, Field: "Content-Type", Message: "the body must be application/json"}, err)
}

func TestNumbersInQueries(t *testing.T) {
	for query, want := range map[string]int{"": 0, "n=": 0, "n=0": 0, "n=12": 12, "n=-1": -1, "n=x": -1, "n=1.5": -1} {
		n, err := rest.Int(httptest.NewRequest(http.MethodGet, "/?"+query, nil), "n")
		if want < 0 {
			require.Equal(t, &wire.Error{Code: wire.CodeInvalid, Field: "n", Message: "not a whole number from 0"}, err, query)
			continue
		}
		require.NoError(t, err, query)
		require.Equal(t, want, n, query)
	}
}

func TestRefusals(t *testing.T) {
	for code, status := range map[string]int{
		wire.CodeInvalid: 400, wire.CodeUnauthenticated: 401, wire.CodeForbidden: 403, wire.CodeNotFound: 404, wire.CodeConflict: 409,
		wire.CodeTooLarge: 413, wire.CodeRateLimited: 429, wire.CodeInternal: 500, wire.CodeUnsupported: 501, wire.CodeUnavailable: 503,
	} {
		require.Equal(t, status, rest.Status(code), code)
	}
	h := make(http.Header)
	body := rest.Refusal(h, &wire.Error{Code: wire.CodeRateLimited, Message: "too fast", RetryAfterMS: 1500})
	require.JSONEq(t, `{"code":"rate_limited","message":"too fast","retry_after_ms":1500}`, string(body))
	require.Equal(t, http.Header{"Retry-After": {"2"}}, h)
	h = make(http.Header)
	rest.Refusal(h, &wire.Error{Code: wire.CodeUnauthenticated})
	require.Equal(t, http.Header{"Www-Authenticate": {"Bearer"}}, h)
}

func TestAnswersSayWhatTheyAre(t *testing.T) {
	w := httptest.NewRecorder()
	edge.Answer(w, httptest.NewRequest(http.MethodGet, "/", nil), http.StatusOK, []byte(`{}`))
	require.Equal(t, http.Header{"Content-Type": {"application/json"}, "Content-Length": {"2"}}, w.Header())
	w = httptest.NewRecorder()
	edge.Answer(w, httptest.NewRequest(http.MethodGet, "/", nil), http.StatusNoContent, nil)
	require.Empty(t, w.Header())
}

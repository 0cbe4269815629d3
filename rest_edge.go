package chat

import (
	"errors"
	"net/http"
	"reflect"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/go-playground/validator/v10"

	"github.com/gabblehq/chat/internal/door"
	"github.com/gabblehq/chat/internal/wire"
)

// status is the HTTP status of a code.
func status(c Code) int {
	switch c {
	case CodeInvalid:
		return http.StatusBadRequest
	case CodeUnauthenticated:
		return http.StatusUnauthorized
	case CodeForbidden:
		return http.StatusForbidden
	case CodeNotFound:
		return http.StatusNotFound
	case CodeConflict:
		return http.StatusConflict
	case CodeTooLarge:
		return http.StatusRequestEntityTooLarge
	case CodeRateLimited:
		return http.StatusTooManyRequests
	case CodeUnsupported:
		return http.StatusNotImplemented
	case CodeUnavailable:
		return http.StatusServiceUnavailable
	}
	return http.StatusInternalServerError
}

func setRetryAfter(h http.Header, e *Error) {
	if n := e.retryAfter(time.Second); n > 0 {
		h.Set("Retry-After", strconv.FormatInt(n, 10))
	}
	if e.Code == CodeUnauthenticated {
		h.Set("WWW-Authenticate", "Bearer")
	}
}

func (s *Server) writeError(w http.ResponseWriter, r *http.Request, err error) {
	e := asError(err)
	s.writeStatus(w, r, status(e.Code), e)
}

func (s *Server) writeStatus(w http.ResponseWriter, r *http.Request, status int, e *Error) {
	setRetryAfter(w.Header(), e)
	s.count.errors.add(e.Code)
	s.answer(w, r, status, wire.AppendErrorObject(nil, &wire.Error{
		Code: string(e.Code), Message: cut(e.Message, maxSaid), Field: cut(e.Field, maxSaid), RetryAfterMS: e.retryAfter(time.Millisecond),
	}))
}

// cors lets the pages of allowed origins read the answers, and nobody else's
// page do anything: a browser sends cookies along with whatever page asks.
func (s *Server) cors(w http.ResponseWriter, r *http.Request) error {
	if len(r.Header["Origin"]) == 0 {
		if door.CrossSite(r) {
			return &Error{Code: CodeForbidden, Message: "a request of another site"}
		}
		return nil
	}
	w.Header().Add("Vary", "Origin")
	trust, err := s.checkOrigin(r)
	if err == nil {
		door.Share(w.Header(), r, trust)
	}
	return err
}

// fieldOf is the field of a body that a JSON pointer leads into. What is
// further inside is the client's own.
func fieldOf(ptr jsontext.Pointer) string {
	for name := range ptr.Tokens() {
		return clip(name)
	}
	return ""
}

// bodyRules reads the validate tags of bodies, each type's once.
var bodyRules = sync.OnceValue(func() *validator.Validate {
	v := validator.New(validator.WithRequiredStructEnabled())
	v.RegisterTagNameFunc(func(f reflect.StructField) string {
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		return name
	})
	return v
})

// decodeStrict reads a JSON body into v and checks its validate tags.
// Duplicate keys and bad UTF-8 are errors, unknown fields are not.
func decodeStrict(raw []byte, v any) error {
	if err := json.Unmarshal(raw, v); err != nil {
		e := &Error{Code: CodeInvalid, Message: "the body is not the JSON that is expected", cause: err}
		if s, ok := errors.AsType[*json.SemanticError](err); ok {
			e.Field = fieldOf(s.JSONPointer)
		} else if s, ok := errors.AsType[*jsontext.SyntacticError](err); ok {
			e.Field = fieldOf(s.JSONPointer)
		}
		return e
	}
	if err := bodyRules().Struct(v); err != nil {
		if fields, ok := errors.AsType[validator.ValidationErrors](err); ok && len(fields) > 0 {
			return (&Error{Code: CodeInvalid, Message: "breaks the rule " + fields[0].Tag()}).WithField(fields[0].Field()).WithCause(err)
		}
		return &Error{Code: CodeInvalid, Message: "not valid", cause: err}
	}
	return nil
}

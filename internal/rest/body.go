package rest

import (
	"errors"
	"io"
	"mime"
	"net/http"
	"reflect"
	"strconv"
	"strings"
	"sync"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/go-playground/validator/v10"

	"github.com/gabblehq/chat/internal/wire"
)

// Body returns a request's body, bounded. Its errors are *wire.Error, as are all
// of this package.
func (e Edge) Body(r *http.Request) ([]byte, error) {
	if ct, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type")); ct != "application/json" {
		return nil, invalid("Content-Type", "the body must be application/json")
	}
	raw, err := io.ReadAll(io.LimitReader(r.Body, int64(e.Bytes)+1))
	if err != nil {
		return nil, invalid("", "the body could not be read")
	}
	if len(raw) > e.Bytes {
		return nil, &wire.Error{Code: wire.CodeTooLarge, Message: "the body is too large"}
	}
	return raw, nil
}

// Decode reads a body into v and checks its validate tags. Duplicate keys and bad
// UTF-8 are errors, unknown fields are not.
func (e Edge) Decode(r *http.Request, v any) error {
	raw, err := e.Body(r)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(raw, v); err != nil {
		field := ""
		if s, ok := errors.AsType[*json.SemanticError](err); ok {
			field = fieldOf(s.JSONPointer)
		} else if s, ok := errors.AsType[*jsontext.SyntacticError](err); ok {
			field = fieldOf(s.JSONPointer)
		}
		return invalid(field, "the body is not the JSON that is expected")
	}
	if err := rules().Struct(v); err != nil {
		if fields, ok := errors.AsType[validator.ValidationErrors](err); ok && len(fields) > 0 {
			return invalid(fields[0].Field(), "breaks the rule "+fields[0].Tag())
		}
		return invalid("", "not valid")
	}
	return nil
}

// Int reads a parameter that is a whole number from 0, 0 where it is not given.
func Int(r *http.Request, name string) (int, error) {
	v := r.URL.Query().Get(name)
	if v == "" {
		return 0, nil
	}
	n, err := strconv.Atoi(v)
	if err != nil || n < 0 {
		return 0, invalid(name, "not a whole number from 0")
	}
	return n, nil
}

func invalid(field, message string) *wire.Error {
	return &wire.Error{Code: wire.CodeInvalid, Message: message, Field: field}
}

// fieldOf is the field of a body that a JSON pointer leads into. What is
// further inside is the client's own.
func fieldOf(ptr jsontext.Pointer) string {
	for name := range ptr.Tokens() {
		if len(name) > maxField {
			return name[:maxField] + "…"
		}
		return name
	}
	return ""
}

// maxField is how much of a field's name is said, which the client has made up.
const maxField = 100

// rules reads the validate tags of bodies, each type's once.
var rules = sync.OnceValue(func() *validator.Validate {
	v := validator.New(validator.WithRequiredStructEnabled())
	v.RegisterTagNameFunc(func(f reflect.StructField) string {
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		return name
	})
	return v
})

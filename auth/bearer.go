package auth

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
)

// maxToken bounds what is looked at. No header that carries more gets through
// common proxies, and hashing or parsing is not free.
const maxToken = 8 << 10

// BearerToken returns the token of a request's "Authorization: Bearer"
// header. It reports false unless there is exactly one such header, whose
// scheme is Bearer in any case and whose token is 1 to 8,192 visible ASCII
// characters. It looks nowhere else.
func BearerToken(r *http.Request) (string, bool) {
	token, err := bearer(r)
	return token, err == nil
}

// bearer is BearerToken with a reason. Only the absence of a bearer token is
// ErrNoCredential: one that is malformed was meant to be one.
func bearer(r *http.Request) (string, error) {
	headers := r.Header["Authorization"]
	switch len(headers) {
	case 0:
		return "", ErrNoCredential
	case 1:
	default:
		// Which of them counts is a matter of opinion, and a proxy in front
		// may have checked the other one.
		return "", fmt.Errorf("auth: %d Authorization headers", len(headers))
	}
	scheme, token, _ := strings.Cut(headers[0], " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return "", ErrNoCredential
	}
	token = strings.Trim(token, " ")
	if token == "" {
		return "", errors.New("auth: the bearer token is empty")
	}
	if len(token) > maxToken {
		return "", fmt.Errorf("auth: the bearer token is longer than %d bytes", maxToken)
	}
	if !visible(token) {
		return "", errors.New("auth: the bearer token holds a space or what is not printable ASCII")
	}
	return token, nil
}

func visible(s string) bool {
	for i := range len(s) {
		if s[i] <= ' ' || s[i] > '~' {
			return false
		}
	}
	return true
}

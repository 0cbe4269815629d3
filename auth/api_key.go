package auth

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"net/http"
	"sort"

	"github.com/gabblehq/chat"
)

// UserHeader names the user that a request with an API key acts for.
const UserHeader = "X-Gabble-User"

// APIKey authenticates other servers, which may act for any user they name:
//
//	Authorization: Bearer <key>
//	X-Gabble-User: alice
//
// keys maps a name of the key, such as that of the server it was given to, to
// the key: at least 32 random characters. Give each server its own, so that
// one can be taken back. No keys let nobody in.
//
// user fills in the name, avatar and roles of an id; its result's ID is
// ignored. It may turn an id down, and fails like the lookup of [Token]. If it
// is nil every id is accepted and shown as it is.
//
// The user gets the roles "api" and "api:" + the name of the key in addition,
// by which Authorize and middleware can tell a server's doing from the user's.
//
// A key must never reach a browser. APIKey panics if a key is too
// short, can be no bearer token, or is there twice: these are mistakes of the
// program.
func APIKey(keys map[string]string, user func(ctx context.Context, id string) (chat.User, error)) chat.Authenticator {
	known, err := newKeyring(keys)
	if err != nil {
		panic(err.Error())
	}
	return func(r *http.Request) (chat.User, error) {
		ids := r.Header[UserHeader]
		if len(ids) == 0 {
			return chat.User{}, refused(ErrNoCredential)
		}
		key, err := bearer(r)
		if errors.Is(err, ErrNoCredential) {
			// Not ErrNoCredential: nobody but a server names a user.
			return chat.User{}, refused(errors.New("auth: " + UserHeader + " without a bearer token"))
		}
		if err != nil {
			return chat.User{}, refused(err)
		}
		name, ok := known.find(key)
		if !ok {
			return chat.User{}, refused(errors.New("auth: unknown API key"))
		}
		if len(ids) > 1 {
			return chat.User{}, refused(fmt.Errorf("auth: %d %s headers", len(ids), UserHeader))
		}
		if err := validID(ids[0]); err != nil {
			return chat.User{}, refused(err)
		}
		var u chat.User
		if user != nil {
			if u, err = user(r.Context(), ids[0]); err != nil {
				return chat.User{}, unanswered(err)
			}
		}
		u.ID = ids[0]
		u.Roles = append(append([]string(nil), u.Roles...), "api", "api:"+name)
		return admitted(u)
	}
}

// keyring holds HMACs of the keys under a secret of this process, so that
// neither the length of a key nor how much of a guess was right shows in the
// time a comparison takes.
type keyring struct {
	secret [32]byte
	names  []string
	macs   [][]byte
}

func newKeyring(keys map[string]string) (*keyring, error) {
	k := &keyring{}
	rand.Read(k.secret[:]) //nolint:errcheck // never fails, says its contract
	for name := range keys {
		k.names = append(k.names, name)
	}
	sort.Strings(k.names)
	owner := make(map[string]string, len(keys))
	for _, name := range k.names {
		key := keys[name]
		if len(key) < 32 {
			return nil, fmt.Errorf("auth: APIKey: key %q has %d characters, not the 32 that keep it from being guessed", name, len(key))
		}
		if len(key) > maxToken || !visible(key) {
			return nil, fmt.Errorf("auth: APIKey: key %q can be no bearer token: it is too long, or holds a space or line break", name)
		}
		if other, ok := owner[key]; ok {
			return nil, fmt.Errorf("auth: APIKey: keys %q and %q are the same", other, name)
		}
		owner[key] = name
		k.macs = append(k.macs, k.mac(key))
	}
	return k, nil
}

func (k *keyring) mac(key string) []byte {
	h := hmac.New(sha256.New, k.secret[:])
	h.Write([]byte(key))
	return h.Sum(nil)
}

// find compares with every key, whichever matches.
func (k *keyring) find(key string) (name string, ok bool) {
	mac, found := k.mac(key), -1
	for i := range k.macs {
		found = subtle.ConstantTimeSelect(subtle.ConstantTimeCompare(mac, k.macs[i]), i, found)
	}
	if found < 0 {
		return "", false
	}
	return k.names[found], true
}

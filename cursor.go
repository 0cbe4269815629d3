package chat

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"crypto/sha256"
	"encoding/json"
	"errors"
)

// A cursor into the list of rooms may stand at a room that the user must not know of:
// such a one is sealed, for that user alone, with a secret that all servers of the
// store have.

const (
	// sealed is the first byte of what is sealed; no id begins with it.
	sealed = "\x00"
	// maxSkipped is how many rooms one list looks at that the user may not see.
	maxSkipped = 256
)

// sealCursor makes a cursor at the room, of which nobody can read the id.
func (s *Server) sealCursor(ctx context.Context, user, room string) (string, error) {
	seal, err := s.sealer(ctx)
	if err != nil {
		return "", err
	}
	text := seal.Seal(nil, nil, []byte(room), []byte(user)) //nolint:gosec // it draws the nonce itself
	return makeCursor(sealed + string(text)), nil
}

// openCursor returns the id of the room that a cursor of the list of rooms stands at.
func (s *Server) openCursor(ctx context.Context, user, cursor string) (string, error) {
	at, ok := readCursor(cursor)
	if !ok {
		return "", errCursor
	}
	if at == "" || at[:1] != sealed {
		return at, nil
	}
	seal, err := s.sealer(ctx)
	if err != nil {
		return "", err
	}
	room, err := seal.Open(nil, nil, []byte(at[1:]), []byte(user))
	if err != nil || len(room) == 0 {
		return "", errCursor
	}
	return string(room), nil
}

func (s *Server) sealer(ctx context.Context) (cipher.AEAD, error) {
	secret := s.secret
	if s.cluster != nil {
		var err error
		if secret, err = s.cluster.secret(ctx); err != nil {
			return nil, err
		}
	}
	key := sha256.Sum256([]byte("cursors\x00" + secret))
	block, err := aes.NewCipher(key[:])
	if err != nil {
		return nil, err
	}
	return cipher.NewGCMWithRandomNonce(block)
}

// secret is what only the servers of the store know: what the settings of the control
// log say, which clients never see, and its epoch. It is asked for every time: another
// log has another.
func (c *cluster) secret(ctx context.Context) (secret string, err error) {
	read := func() error {
		return c.srv.callStore(ctx, func(ctx context.Context) error {
			page, err := c.srv.opt.Store.History(ctx, c.srv.key(controlRoom), Query{})
			if err == nil && page.Room != nil {
				secret = page.Head.Epoch + string(page.Room.Meta)
			}
			return err
		})
	}
	if err = read(); !errors.Is(err, ErrNotFound) {
		return secret, err
	}
	if err = c.makeControl(ctx); err != nil {
		return "", err
	}
	err = read()
	return secret, err
}

// makeControl begins the control log, unless another server has.
func (c *cluster) makeControl(ctx context.Context) error {
	r := c.srv.acquire(controlRoom)
	defer r.release()
	meta, err := json.Marshal(map[string]string{"secret": rand.Text()})
	if err != nil {
		return err
	}
	_, err = r.commit(ctx, &commit{change: Change{Kind: ChangeCreateRoom, Room: RoomInfo{ID: controlRoom, Kind: roomControl, Meta: meta}}})
	if errors.Is(err, ErrConflict) {
		return nil
	}
	return err
}

package main

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
)

// signingSecret returns what tokens are signed with, and where that is from:
// GABBLE_SECRET, or a file beside the database, or nowhere, good for as long as
// the process.
func signingSecret(cfg config, store storage, log *slog.Logger) (secret []byte, from string, err error) {
	switch {
	case cfg.secret != nil:
		return cfg.secret, "GABBLE_SECRET", nil
	case store.file != "":
		from = store.file + ".secret"
		secret, err = keptSecret(from)
		return secret, from, err
	case store.shared:
		log.Warn("chat: other processes on this store will not know who signs in here; give them all the same GABBLE_SECRET")
	}
	// A page that comes back after a restart signs in again by the name that
	// it remembers.
	return newSecret(), "the signing secret", nil
}

func newSecret() []byte { return []byte(rand.Text() + rand.Text()) }

// keptSecret reads the secret in the file, or makes it. The database is locked
// by now, so there is no other process that would, too.
func keptSecret(path string) ([]byte, error) {
	secret, err := os.ReadFile(path)
	if err == nil {
		return []byte(strings.TrimSpace(string(secret))), nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("the signing secret: %w", err)
	}
	secret = newSecret()
	if err := writeSecret(path, secret); err != nil {
		return nil, fmt.Errorf("the signing secret: %w", err)
	}
	return secret, nil
}

// writeSecret makes the file as a whole or not at all, for this user's eyes
// only.
func writeSecret(path string, secret []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*") // has mode 0600
	if err != nil {
		return err
	}
	_, err = f.Write(secret)
	if err = errors.Join(err, f.Sync(), f.Close()); err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return nil
}

package main

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"text/template"
)

// startRedis starts a server of our own, reached by a socket in the directory,
// and returns its URL.
func startRedis(ctx context.Context, all *group, dir string) (url string, err error) {
	redis, err := find("redis-server", "redis-server")
	if err != nil {
		return "", fmt.Errorf("%w (or name one: -redis redis://HOST:PORT)", err)
	}
	socket := filepath.Join(dir, "redis.sock")
	// Acknowledged means on the disk within a second. What else there is to
	// choose, storage/redis says.
	p, err := all.start("redis", true, exec.Command(redis,
		"--port", "0", "--unixsocket", socket, "--dir", dir, "--appendonly", "yes", "--loglevel", "warning"))
	if err != nil {
		return "", err
	}
	return "unix://" + socket, p.until(ctx, func(ctx context.Context) error {
		conn, err := new(net.Dialer).DialContext(ctx, "unix", socket)
		if err != nil {
			return err
		}
		return conn.Close()
	})
}

//go:embed nginx.conf
var nginxConf string

// startNginx starts nginx with nginx.conf before the nodes. It returns when
// the chat can be reached through it.
func startNginx(ctx context.Context, all *group, nginx, dir, addr string, nodes []string) error {
	conf, err := template.New("nginx.conf").Parse(nginxConf)
	if err != nil {
		return err
	}
	file, err := os.Create(filepath.Join(dir, "nginx.conf"))
	if err != nil {
		return err
	}
	err = conf.Execute(file, map[string]any{"Dir": dir, "Addr": addr, "Nodes": nodes})
	if err = errors.Join(err, file.Close()); err != nil {
		return err
	}
	// Started by root, nginx works as somebody who must get at its files.
	if err := os.Chmod(dir, 0o711); err != nil { //nolint:gosec // names in it are not to be listed
		return err
	}
	p, err := all.start("nginx", true, exec.Command(nginx, "-p", dir, "-c", file.Name()))
	if err != nil {
		return err
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	return p.until(ctx, func(ctx context.Context) error {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+addr+"/chat/readyz", nil)
		if err != nil {
			return err
		}
		res, err := client.Do(req)
		if err != nil {
			return err
		}
		if err := res.Body.Close(); err != nil || res.StatusCode != http.StatusOK {
			return errors.Join(err, errors.New(res.Status))
		}
		return nil
	})
}

package redis

import (
	"net/url"
	"strings"
	"time"

	goredis "github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"

	"github.com/gabblehq/chat"
)

// What clients of our own are made with, where the URL does not say.
const (
	dialTimeout   = 2 * time.Second
	ioTimeout     = 3 * time.Second
	dialerRetries = 2
)

// dial makes a client. It does not connect yet.
func dial(rawURL string) (goredis.UniversalClient, error) {
	scheme, rest, _ := strings.Cut(rawURL, "://")
	plainScheme, kind, _ := strings.Cut(scheme, "-")
	var client goredis.UniversalClient
	var err error
	switch kind {
	case "":
		client, err = dialOne(rawURL)
	case "cluster":
		client, err = dialCluster(plainScheme + "://" + hosts(rest))
	case "sentinel":
		client, err = dialSentinel(plainScheme + "://" + hosts(rest))
	default:
		err = chat.Errorf(chat.CodeInvalid, "redis: %q is none of redis, rediss, unix, redis-cluster, rediss-cluster, redis-sentinel, rediss-sentinel", scheme)
	}
	if err != nil {
		return nil, invalidURL(err)
	}
	return client, nil
}

// invalidURL leaves out the URL, which may hold a password.
func invalidURL(err error) error {
	if e, ok := err.(*chat.Error); ok { //nolint:errorlint // made just above
		return e
	}
	if e, ok := err.(*url.Error); ok { //nolint:errorlint // it is the outermost
		err = e.Err
	}
	return chat.Errorf(chat.CodeInvalid, "redis: the URL: %w", plain(err))
}

// hosts turns "a:1,b:2/path?x=y" into "a:1/path?x=y&addr=b:2", which is how
// the driver writes it.
func hosts(rest string) string {
	end := strings.IndexAny(rest, "/?")
	if end < 0 {
		end = len(rest)
	}
	user, list := "", rest[:end]
	if at := strings.LastIndexByte(list, '@'); at >= 0 {
		user, list = list[:at+1], list[at+1:]
	}
	addrs := strings.Split(list, ",")
	path, query, _ := strings.Cut(rest[end:], "?")
	for _, a := range addrs[1:] {
		query += "&addr=" + url.QueryEscape(a)
	}
	return user + addrs[0] + path + "?" + strings.TrimPrefix(query, "&")
}

func dialOne(u string) (goredis.UniversalClient, error) {
	o, err := goredis.ParseURL(u)
	if err != nil {
		return nil, err
	}
	o.MaxRetries = -1
	o.ContextTimeoutEnabled = true
	o.DialerRetries = or(o.DialerRetries, dialerRetries)
	o.DialTimeout = or(o.DialTimeout, dialTimeout)
	o.ReadTimeout = or(o.ReadTimeout, ioTimeout)
	o.WriteTimeout = or(o.WriteTimeout, ioTimeout)
	o.MaintNotificationsConfig = quiet()
	return goredis.NewClient(o), nil
}

func dialCluster(u string) (goredis.UniversalClient, error) {
	o, err := goredis.ParseClusterURL(u)
	if err != nil {
		return nil, err
	}
	o.MaxRetries = -1
	o.ContextTimeoutEnabled = true
	o.DialerRetries = or(o.DialerRetries, dialerRetries)
	o.DialTimeout = or(o.DialTimeout, dialTimeout)
	o.ReadTimeout = or(o.ReadTimeout, ioTimeout)
	o.WriteTimeout = or(o.WriteTimeout, ioTimeout)
	o.MaintNotificationsConfig = quiet()
	return goredis.NewClusterClient(o), nil
}

func dialSentinel(u string) (goredis.UniversalClient, error) {
	o, err := goredis.ParseFailoverURL(u)
	if err != nil {
		return nil, err
	}
	if o.MasterName == "" {
		return nil, chat.Errorf(chat.CodeInvalid, "redis: the URL of Sentinel has no master_name")
	}
	o.MaxRetries = -1
	o.ContextTimeoutEnabled = true
	o.DialerRetries = or(o.DialerRetries, dialerRetries)
	o.DialTimeout = or(o.DialTimeout, dialTimeout)
	o.ReadTimeout = or(o.ReadTimeout, ioTimeout)
	o.WriteTimeout = or(o.WriteTimeout, ioTimeout)
	return goredis.NewFailoverClient(o), nil
}

// quiet does without a handshake that only some hosted servers know.
func quiet() *maintnotifications.Config {
	return &maintnotifications.Config{Mode: maintnotifications.ModeDisabled}
}

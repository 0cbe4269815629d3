// Package redis keeps rooms.
package redis

import _ "github.com/redis/go-redis/v9"

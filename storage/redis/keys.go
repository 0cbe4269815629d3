package redis

import (
	"hash/crc32"
	"strconv"
)

// buckets is into how many parts rooms are divided. All keys of a part and its
// hint channel are in one slot of a cluster. It cannot be changed while there
// is data.
const buckets = 64

// keyspace names everything that the store keeps in Redis. The room comes
// last in a key and what it may hold is never parsed, so no room's key can be
// taken for another's.
type keyspace struct{ prefix string }

func bucketOf(room string) int {
	return int(crc32.ChecksumIEEE([]byte(room)) % buckets)
}

// tag is the beginning of all keys of a bucket. Only what is in the first
// braces of a key decides on its slot.
func (k keyspace) tag(bucket int) string {
	return k.prefix + ":{" + strconv.Itoa(bucket) + "}"
}

// room returns the keys of a room that append.lua and the others ask for: the
// room's own, then the bucket's counter and directory.
func (k keyspace) room(room string) []string {
	t := k.tag(bucketOf(room))
	return []string{
		t + "k:" + room, t + "l:" + room, t + "n:" + room, t + "o:" + room, t + "t:" + room,
		t + "counter", t + "rooms",
	}
}

func (k keyspace) presence(room string) string { return k.tag(bucketOf(room)) + "p:" + room }
func (k keyspace) counter(bucket int) string   { return k.tag(bucket) + "counter" }
func (k keyspace) directory(bucket int) string { return k.tag(bucket) + "rooms" }

// peer is the directory of a user's direct rooms in a bucket.
func (k keyspace) peer(bucket int, user string) string { return k.tag(bucket) + "u:" + user }
func (k keyspace) channel(bucket int) string           { return k.tag(bucket) + "hints" }
func (k keyspace) probe(bucket int) string             { return k.tag(bucket) + "probe" }
func (k keyspace) nodes() string                       { return k.prefix + ":{nodes}leases" }
func (k keyspace) incarnations() string                { return k.prefix + ":{nodes}incarnations" }

// Package redis keeps rooms in Redis 7 or newer: one server, one that Sentinel
// watches over, or a Cluster. Several servers of a chat share it: it carries
// what each does to the others, and who is present where.
//
//	store, err := redis.Open(ctx, "redis://localhost:6379")
//	...
//	srv, err := chat.New(&chat.Options{Store: store, ...})
//
// # What acknowledged means
//
// A message is acknowledged when the server has executed the command. What
// that is worth is up to how the server is set up:
//
//	no persistence               the end of the process loses everything
//	appendfsync everysec         the end of the process loses nothing, the end
//	                             of the machine up to a second or two
//	appendfsync always           neither loses anything
//	replicas, or a Cluster       a failover loses what was not replicated yet;
//	                             with a partition that is all that the old
//	                             master took since, min-replicas-to-write or not
//	replicas and Options.Wait    a failover to a replica that had it loses
//	                             nothing; Sentinel and Cluster prefer that one,
//	                             and do not promise it
//
// What is lost is never passed over in silence. A log that is behind what a
// server has seen of it starts a new epoch, a room that is gone is
// [chat.ErrLost], and clients start over.
//
// maxmemory-policy must be noeviction, else the server throws rooms away when
// its memory is full; New and Open refuse any other. With noeviction a full
// server answers reads, and writes are ErrUnavailable.
//
// Nonces are known for Options.NonceTTL at least, also those of messages that
// are trimmed or deleted. Retention is off by default: everything is in memory,
// several hundred bytes beside the content of a message. Bound it by
// Options.MaxMessages and MaxAge.
//
// # Errors
//
// ErrUnavailable of Append means that nothing was written: the server was not
// reached, or has refused. After a timeout or a connection that broke the
// outcome is ErrUnknown. No command is sent twice by itself when that could do
// it twice, whatever the client's MaxRetries. A record that fails its checksum
// is shown as a deleted message, and logged once; the rest of its room stays
// readable.
//
// # Cluster and Sentinel
//
// Rooms are divided into 64 buckets. All keys of a bucket are in one slot, so
// every change is one script on one master; a Cluster of up to 64 masters
// shares the work. While a slot with keys is being migrated, its rooms are
// ErrUnavailable. All reads go to masters: ReadOnly, RouteByLatency and
// RouteRandomly of a ClusterClient have no effect on the Store.
//
// # What is in the server
//
// With the default prefix, and 17 for the bucket of a room:
//
//	gabble:{17}k:ROOM     hash: head, settings, messages by seq, ids
//	gabble:{17}l:ROOM     sorted set: the log, what changed by rev
//	gabble:{17}n:ROOM     hash: nonces; o: those of the lifetime before
//	gabble:{17}t:ROOM     string: the room was removed, for a week
//	gabble:{17}p:ROOM     hash: who is present, for a week after the last change
//	gabble:{17}rooms      sorted set: the bucket's rooms by key
//	gabble:{17}counter    string: number of the bucket's last hint
//	gabble:{nodes}leases, gabble:{nodes}incarnations   the nodes
//	gabble:limit:HASH     hash: a rate limit's budget
//	gabble:{17}hints      sharded channel: hints and signals
//
// An ACL user needs these keys and channels and a few commands:
//
//	user chat on >secret ~gabble:* &gabble:* +@read +@write +@connection
//	    +@scripting +@pubsub +info +time +wait +cluster|slots +cluster|shards
//
// # Cost
//
// Concurrent calls share pipelines, and at light load none waits for others.
// Sending a message is one round trip and, in the server, one script of about
// nine commands. Watching costs a connection to each master and the reading
// of 64 counters a second, however many rooms there are.
package redis

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
//	dumps alone (save)           it loses all since the last dump
//	appendfsync everysec, no     the end of the process can lose what was
//	                             acknowledged in the last moment: while a sync
//	                             is under way the log is written up to two
//	                             seconds late. The end of the machine loses a
//	                             second or two; with appendfsync no, what the
//	                             system had not written yet
//	appendfsync always           neither loses anything: the log is on disk
//	                             before the answer goes out, if the disk says
//	                             the truth
//	replicas, or a Cluster       a failover loses what was not replicated yet;
//	                             with a partition that is all that the old
//	                             master took since, min-replicas-to-write or not
//	replicas and Options.Wait    a failover to a replica that had it loses
//	                             nothing; Sentinel and Cluster prefer that one,
//	                             and do not promise it. That a replica has it
//	                             does not mean that it is on a disk
//
// A backup that is put back loses all since it was made.
//
// # What is lost is said
//
// The server may come back as it was earlier. Each life of its data has an id,
// the replication id: it is a new one with each process and with each promotion
// of a replica. Each script that writes compares it with that of the room's
// last epoch, in the same call. The first write in another life begins a new
// epoch and notes after which rev: see [chat.Page.Past]. Positions up to there
// stay good, so a restart that loses nothing resets nobody; those above are of
// what is gone. A log that is behind what a server has seen of it starts a new
// epoch in the same life, too, and a room that is gone is [chat.ErrLost].
//
// Put data back with the server stopped. What is replaced key by key in a
// running one, or by DEBUG RELOAD NOSAVE, goes back within one life. Then only
// a server that has seen more notices, from the log that is shorter; tell the
// others by [chat.EpochStarter].
//
// # Memory
//
// maxmemory-policy must be noeviction, else the server throws rooms away when
// its memory is full; New and Open refuse any other, and one that is set later
// is logged. With noeviction a full
// server answers reads, and writes are ErrUnavailable.
//
// Nonces are known for Options.NonceTTL at least, also those of messages that
// are trimmed or deleted. Retention is off by default: everything is in memory,
// several hundred bytes beside the content of a message. Bound it by
// Options.MaxMessages and MaxAge.
//
// # Errors
//
// What the server refuses for and its operator can mend is logged once per
// cause, with what to do, and [Store.Check] fails: see GET /readyz. Clients are
// told no more than that the store is full, takes no changes or does not answer.
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
//	gabble:{17}k:ROOM     hash: head, lineage, settings, messages by seq, ids
//	gabble:{17}l:ROOM     sorted set: the log, what changed by rev
//	gabble:{17}n:ROOM     hash: nonces; o: those of the lifetime before
//	gabble:{17}t:ROOM     string: the room was removed, for a week
//	gabble:{17}p:ROOM     hash: who is present, for a week after the last change
//	gabble:{17}rooms      sorted set: the bucket's rooms by key
//	gabble:{17}counter    string: number of the bucket's last hint
//	gabble:{17}probe      string: a change could be made, seconds ago
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
// Concurrent calls share pipelines and appends share scripts, and at light load
// none waits for others. Sending a message is one round trip and, in the
// server, about nine commands of one script. Watching costs a connection to each master and the reading
// of 64 counters a second, however many rooms there are.
package redis

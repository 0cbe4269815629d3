-- The direct rooms of a user, by either of the two.
CREATE INDEX rooms_peer_a ON rooms (CASE WHEN json_valid(peers) THEN json_extract(peers, '$[0]') END, key) WHERE peers IS NOT NULL;
CREATE INDEX rooms_peer_b ON rooms (CASE WHEN json_valid(peers) THEN json_extract(peers, '$[1]') END, key) WHERE peers IS NOT NULL;

-- The direct rooms of a user.
CREATE INDEX rooms_peers ON ~.rooms USING gin (peers);

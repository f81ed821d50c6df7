-- Approvals that calls asked for. Times are milliseconds since 1970. The arguments are kept only for whoever decides:
-- they go when nothing can be decided any more. `rounds` counts how often a call was made with it: once, and once more
-- for each answer to what its server asked meanwhile. `held_seq` and `decided_seq` are places in the journal, 0 before
-- they are known.
CREATE TABLE approvals (
    id TEXT NOT NULL PRIMARY KEY,
    binding TEXT NOT NULL,
    key_id TEXT NOT NULL,
    server TEXT NOT NULL,
    tool TEXT NOT NULL,
    definition TEXT NOT NULL,
    policy TEXT NOT NULL,
    arguments TEXT,
    arguments_digest TEXT NOT NULL,
    created BIGINT NOT NULL,
    expires BIGINT NOT NULL,
    state TEXT NOT NULL,
    rounds BIGINT NOT NULL,
    decided BIGINT,
    decided_by TEXT NOT NULL,
    reason TEXT NOT NULL,
    used BIGINT,
    held_shard BIGINT NOT NULL,
    held_seq BIGINT NOT NULL,
    decided_shard BIGINT NOT NULL,
    decided_seq BIGINT NOT NULL
);
CREATE INDEX approvals_by_binding ON approvals (binding);
CREATE INDEX approvals_by_state ON approvals (state, expires);

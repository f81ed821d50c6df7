-- What budgets let through. Amounts are micro-dollars of up to 64 bits without a sign, as digits.
CREATE TABLE ledger_rows (
    label TEXT NOT NULL PRIMARY KEY,
    charged TEXT NOT NULL,
    lost TEXT NOT NULL,
    ceiling TEXT NOT NULL
);
-- What was charged when somebody reset the budget; written beside a gate that runs, so apart from what it writes.
CREATE TABLE ledger_resets (
    label TEXT NOT NULL PRIMARY KEY,
    forgiven TEXT NOT NULL
);
-- Calls of which the journal has no outcome yet.
CREATE TABLE ledger_held (
    shard BIGINT NOT NULL,
    seq BIGINT NOT NULL,
    amount TEXT NOT NULL,
    labels TEXT NOT NULL,
    PRIMARY KEY (shard, seq)
);
-- How far the journal of each shard was read: the next entry, and the time of the one before as it was written.
CREATE TABLE ledger_places (
    shard BIGINT NOT NULL PRIMARY KEY,
    next BIGINT NOT NULL,
    hlc TEXT NOT NULL
);
-- The writer of all that: log, boot, shards, ended.
CREATE TABLE ledger_writer (
    name TEXT NOT NULL PRIMARY KEY,
    value TEXT NOT NULL
);

-- What the command line and the admin API make: each object is the JSON of its table in the configuration file.
-- Times are milliseconds since 1970; a revision counts the changes of its object, from 1 on.
CREATE TABLE objects (
    kind TEXT NOT NULL,
    name TEXT NOT NULL,
    body TEXT NOT NULL,
    revision BIGINT NOT NULL,
    created BIGINT NOT NULL,
    changed BIGINT NOT NULL,
    PRIMARY KEY (kind, name)
);

-- Who holds the database, for the message to a second server. The lock itself is an advisory lock (SQLite: a lock
-- on a file), which ends with the process; this row stays behind and proves nothing.
CREATE TABLE server (
    -- The single row.
    id         INTEGER PRIMARY KEY CHECK (id = 1),
    hostname   TEXT NOT NULL,
    pid        INTEGER NOT NULL,
    started_at TEXT NOT NULL
) STRICT;

-- Marks what belongs to this installation in the systems that it shares with others. Made at the first start
-- without SMO_INSTALLATION.
CREATE TABLE installation (
    -- The single row.
    id         INTEGER PRIMARY KEY CHECK (id = 1),
    -- A UUID; not used while SMO_INSTALLATION is set.
    name       TEXT NOT NULL,
    created_at TEXT NOT NULL
) STRICT;

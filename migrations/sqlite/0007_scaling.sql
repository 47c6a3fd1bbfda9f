-- How much load a replica of a service handles, by the name of the service.
CREATE TABLE profiles (
    service    TEXT PRIMARY KEY,
    profile    TEXT NOT NULL CHECK (json_valid(profile)),
    -- When it was written.
    updated_at TEXT NOT NULL
) STRICT;

-- The last scaling ticks of each graph. Old ones are deleted as new ones are added.
CREATE TABLE scaling_ticks (
    -- Grows in the order of writing.
    id    INTEGER PRIMARY KEY,
    graph TEXT NOT NULL REFERENCES graphs (name) ON DELETE CASCADE,
    -- When the load was measured.
    at    TEXT NOT NULL,
    -- What was observed and decided.
    data  TEXT NOT NULL CHECK (json_valid(data))
) STRICT;

CREATE INDEX scaling_ticks_by_graph ON scaling_ticks (graph, id);

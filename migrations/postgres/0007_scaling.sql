-- How much load a replica of a service handles, by the name of the service.
CREATE TABLE profiles (
    service    TEXT COLLATE "C" PRIMARY KEY,
    profile    JSON NOT NULL,
    -- When it was written.
    updated_at TIMESTAMPTZ NOT NULL
);

-- The last scaling ticks of each graph. Old ones are deleted as new ones are added.
CREATE TABLE scaling_ticks (
    -- Grows in the order of writing.
    id    BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    graph TEXT COLLATE "C" NOT NULL REFERENCES graphs (name) ON DELETE CASCADE,
    -- When the load was measured.
    at    TIMESTAMPTZ NOT NULL,
    -- What was observed and decided.
    data  JSON NOT NULL
);

CREATE INDEX scaling_ticks_by_graph ON scaling_ticks (graph, id);

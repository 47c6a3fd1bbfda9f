-- How much load a replica of a service handles, by the name of the service.
CREATE TABLE profiles (
    service    TEXT COLLATE "C" PRIMARY KEY,
    profile    JSON NOT NULL,
    -- When it was written.
    updated_at TIMESTAMPTZ NOT NULL
);

-- The last steps of scaling of each graph. Old ones are deleted as new ones come.
CREATE TABLE scaling_ticks (
    -- Grows in the order of writing.
    id    BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    graph TEXT COLLATE "C" NOT NULL REFERENCES graphs (name) ON DELETE CASCADE,
    -- When the load was looked at.
    at    TIMESTAMPTZ NOT NULL,
    -- What was seen and decided.
    data  JSON NOT NULL
);

CREATE INDEX scaling_ticks_by_graph ON scaling_ticks (graph, id);

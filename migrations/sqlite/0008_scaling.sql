-- What scaling decided, and what it decides with.

-- Replicas that scaling decided; null while the chart decides.
ALTER TABLE services ADD COLUMN replicas_decided INTEGER;
-- Whether the graph is scaled; null = as configured.
ALTER TABLE graphs ADD COLUMN scaling_enabled INTEGER CHECK (scaling_enabled IN (0, 1));
-- When a step of scaling last had the graph placed anew; null when none ever had.
ALTER TABLE graphs ADD COLUMN rescheduled_at TEXT;

-- How much load a replica of a service handles, by the name of the service.
CREATE TABLE profiles (
    service    TEXT PRIMARY KEY,
    profile    TEXT NOT NULL CHECK (json_valid(profile)),
    -- When it was written.
    updated_at TEXT NOT NULL
) STRICT;

-- The last steps of scaling of each graph. Old ones are deleted as new ones come.
CREATE TABLE scaling_ticks (
    -- Grows in the order of writing.
    id    INTEGER PRIMARY KEY,
    graph TEXT NOT NULL REFERENCES graphs (name) ON DELETE CASCADE,
    -- When the load was looked at.
    at    TEXT NOT NULL,
    -- What was seen and decided.
    data  TEXT NOT NULL CHECK (json_valid(data))
) STRICT;

CREATE INDEX scaling_ticks_by_graph ON scaling_ticks (graph, id);

-- One row per graph: what the user wants of it, and how far that has been carried out.
-- Documents are JSON text, unchanged; times are RFC 3339 in UTC ("...+00:00"), which sorts as text; names sort byte by
-- byte; identities are 16 bytes.
CREATE TABLE graphs (
    -- hdaGraph.id
    name                TEXT PRIMARY KEY,
    -- The project it belongs to.
    project             TEXT NOT NULL,
    -- Namespace of its releases.
    namespace           TEXT NOT NULL,
    -- The descriptor under hdaGraph, as posted.
    document            TEXT NOT NULL CHECK (json_valid(document)),
    -- SHA-256 (hex) of the descriptor in canonical form; equal digests mean the same descriptor.
    document_digest     TEXT NOT NULL,
    -- What the user wants. A graph to be deleted keeps its row until everything outside is gone.
    desired             TEXT NOT NULL CHECK (desired IN ('running', 'stopped', 'deleted')),
    -- Bumped by every change of intent.
    generation          INTEGER NOT NULL,
    -- The newest generation that has been carried out.
    observed_generation INTEGER NOT NULL,
    -- Bumped by every write of this row; guards read-decide-write.
    version             INTEGER NOT NULL,
    -- No placement was decided; the charts decide.
    static_placement    INTEGER NOT NULL CHECK (static_placement IN (0, 1)),
    -- The decision that placed it, in decisions; null when static.
    decision_id         BLOB,
    -- Conditions of the graph as a whole: list of {type, status, reason, message, since}.
    conditions          TEXT NOT NULL CHECK (json_valid(conditions)),
    -- Whether the graph is scaled, as its descriptor asks and as the interface set it; null = as configured.
    scaling_requested   INTEGER CHECK (scaling_requested IN (0, 1)),
    scaling_enabled     INTEGER CHECK (scaling_enabled IN (0, 1)),
    -- When scaling last rescheduled the graph; null if it never has.
    rescheduled_at      TEXT,
    -- When it was posted.
    created_at          TEXT NOT NULL,
    -- When the intent for it last changed.
    updated_at          TEXT NOT NULL
) STRICT;

CREATE INDEX graphs_by_project ON graphs (project, name);

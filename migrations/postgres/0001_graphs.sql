-- One row per graph: what the user wants of it, and how far that has been carried out.
-- Documents are JSON, not JSONB: JSONB would reorder the keys and rewrite the numbers of what the user posted.
-- Names sort byte by byte (COLLATE "C"), so that pages of a list are the same on every server and every engine.
CREATE TABLE graphs (
    -- hdaGraph.id
    name                TEXT COLLATE "C" PRIMARY KEY,
    -- The project it belongs to.
    project             TEXT COLLATE "C" NOT NULL,
    -- Namespace of its releases.
    namespace           TEXT COLLATE "C" NOT NULL,
    -- The descriptor under hdaGraph, as posted.
    document            JSON NOT NULL,
    -- SHA-256 (hex) of the descriptor in canonical form; equal digests mean the same descriptor.
    document_digest     TEXT NOT NULL,
    -- What the user wants. A graph to be deleted keeps its row until everything outside is gone.
    desired             TEXT NOT NULL CHECK (desired IN ('running', 'stopped', 'deleted')),
    -- Bumped by every change of intent.
    generation          BIGINT NOT NULL,
    -- The newest generation that has been carried out.
    observed_generation BIGINT NOT NULL,
    -- Bumped by every write of this row; guards read-decide-write.
    version             BIGINT NOT NULL,
    -- No placement was decided; the charts decide.
    static_placement    BOOLEAN NOT NULL,
    -- The decision that placed it, in decisions; null when static.
    decision_id         UUID,
    -- Conditions of the graph as a whole: list of {type, status, reason, message, since}.
    conditions          JSON NOT NULL,
    -- Whether the graph is scaled, as its descriptor asks and as the interface set it; null = as configured.
    scaling_requested   BOOLEAN,
    scaling_enabled     BOOLEAN,
    -- When scaling last rescheduled the graph; null if it never has.
    rescheduled_at      TIMESTAMPTZ,
    -- When it was posted.
    created_at          TIMESTAMPTZ NOT NULL,
    -- When the intent for it last changed.
    updated_at          TIMESTAMPTZ NOT NULL
);

CREATE INDEX graphs_by_project ON graphs (project, name);

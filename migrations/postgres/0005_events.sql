-- Append-only outbox: events, each written in the transaction of the change it reports. Outlives graphs.
CREATE TABLE events (
    -- Global sequence; it may have gaps.
    seq        BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    time       TIMESTAMPTZ NOT NULL,
    -- Type, such as graph.created.
    kind       TEXT NOT NULL,
    -- The graph it is about, if any.
    graph      TEXT COLLATE "C",
    -- What it is about, such as graphs/brussels/services/noise-reduction.
    subject    TEXT NOT NULL,
    -- Who caused it: api, alertmanager, reconciler ...
    actor      TEXT NOT NULL,
    -- The request that caused it, if one did.
    request_id TEXT,
    -- Details, by kind.
    data       JSON NOT NULL
);

CREATE INDEX events_by_graph ON events (graph, seq);

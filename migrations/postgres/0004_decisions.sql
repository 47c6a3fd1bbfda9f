-- Decisions with their reasons. Both tables only grow, and outlive the graphs they refer to: no foreign keys.
CREATE TABLE decisions (
    -- UUID version 7: sorts by time.
    id         UUID PRIMARY KEY,
    -- The graph decided about.
    graph      TEXT COLLATE "C" NOT NULL,
    -- What was decided: 'placement' or 'scaling'.
    kind       TEXT NOT NULL,
    -- The strategy that decided, such as 'first-fit'.
    strategy    TEXT NOT NULL,
    -- 'optimal', 'feasible', 'infeasible', 'timed_out' or 'invalid'.
    outcome     TEXT NOT NULL,
    -- How long deciding took; null when not measured.
    duration_ms BIGINT,
    -- Everything the decision looked at, so that it can be replayed.
    problem    JSON NOT NULL,
    -- The answer with its explanation.
    plan       JSON NOT NULL,
    created_at TIMESTAMPTZ NOT NULL,
    -- When its plan became the desired state; null while it is only a proposal.
    applied_at  TIMESTAMPTZ
);

CREATE INDEX decisions_by_graph ON decisions (graph, id);

-- Every accepted descriptor, with the decision that came with it.
CREATE TABLE graph_revisions (
    graph       TEXT COLLATE "C" NOT NULL,
    -- 1, 2, 3 ... per graph name; the numbers continue when a name is used again after a delete.
    revision    BIGINT NOT NULL,
    -- The project it was posted to.
    project     TEXT COLLATE "C" NOT NULL,
    -- The descriptor under hdaGraph, as posted.
    document    JSON NOT NULL,
    -- In decisions; null when static.
    decision_id UUID,
    created_at  TIMESTAMPTZ NOT NULL,
    PRIMARY KEY (graph, revision)
);

-- One row per service of a graph: its release as it should be, and what was last seen of it.
CREATE TABLE services (
    graph            TEXT NOT NULL REFERENCES graphs (name) ON DELETE CASCADE,
    -- services[].id; also the name of its Helm release.
    name             TEXT NOT NULL,
    -- Position in the descriptor, from 0.
    position         INTEGER NOT NULL,
    -- Namespace of its release, repeated from the graph for the unique constraint below.
    namespace        TEXT NOT NULL,
    -- What one replica needs by the intent: {cpu_millicores, ram_bytes, storage_bytes, gpus}.
    needs            TEXT NOT NULL CHECK (json_valid(needs)),
    -- What starts it: {auto: {dependencies}} or {event: {condition, events}}.
    trigger_spec     TEXT NOT NULL CHECK (json_valid(trigger_spec)),
    -- Whether an event starts it; repeated from trigger_spec so that alerts find it by an index.
    conditional      INTEGER NOT NULL CHECK (conditional IN (0, 1)),
    -- A conditional service whose event has happened.
    triggered        INTEGER NOT NULL CHECK (triggered IN (0, 1)),
    -- Name of the cluster it is placed on; null when static.
    cluster          TEXT,
    -- Chart as written in the descriptor.
    chart            TEXT NOT NULL,
    -- ociConfig.type and ociConfig.implementer, any text.
    artifact_type    TEXT NOT NULL,
    implementer      TEXT NOT NULL,
    -- All values of the release, the placement's included.
    release_values   TEXT NOT NULL CHECK (json_valid(release_values)),
    -- Replicas that scaling decided; null while the chart decides.
    replicas_decided INTEGER,
    -- What it takes on its cluster by the last write of this row: {cluster, wanted, reserved, shown}; the ledger holds the
    -- sums. Null when it takes nothing.
    charge           TEXT CHECK (json_valid(charge)),
    -- When its charge has to be looked at again, because its cluster's own report shows it by then; null when it need not.
    settles_at       TEXT,
    -- Observed: how far its deployment has come.
    state            TEXT NOT NULL CHECK (state IN ('pending', 'deploying', 'deployed', 'failed', 'not_deployed')),
    -- Observed: it runs where it was placed.
    ready            INTEGER NOT NULL CHECK (ready IN (0, 1)),
    -- Observed: spec.replicas, and how many are ready; null while nothing is known.
    replicas_observed INTEGER,
    replicas_ready   INTEGER,
    -- Observed: its workloads, list of {requests, replicas, ready}; requests in the form of needs.
    workloads        TEXT NOT NULL CHECK (json_valid(workloads)),
    -- Conditions of the service: list of {type, status, reason, message, since}.
    conditions       TEXT NOT NULL CHECK (json_valid(conditions)),
    PRIMARY KEY (graph, name),
    -- A release belongs to one graph.
    CONSTRAINT services_release UNIQUE (namespace, name)
) STRICT;

-- For the graphs that a change of a cluster concerns.
CREATE INDEX services_by_cluster ON services (cluster, graph);

-- Alerts name a service, not always its graph.
CREATE INDEX services_by_name ON services (name) WHERE conditional;

-- Charges that have to be looked at again.
CREATE INDEX services_by_settling ON services (settles_at) WHERE settles_at IS NOT NULL;

-- One row per service of a graph: its release as it should be, and what was last seen of it.
CREATE TABLE services (
    graph            TEXT COLLATE "C" NOT NULL REFERENCES graphs (name) ON DELETE CASCADE,
    -- services[].id; also the name of its Helm release.
    name             TEXT COLLATE "C" NOT NULL,
    -- Position in the descriptor, from 0.
    position         BIGINT NOT NULL,
    -- Namespace of its release, repeated from the graph for the unique constraint below.
    namespace        TEXT COLLATE "C" NOT NULL,
    -- What one replica needs by the intent: {cpu_millicores, ram_bytes, storage_bytes, gpus}.
    needs            JSON NOT NULL,
    -- What starts it: {auto: {dependencies}} or {event: {condition, events}}.
    trigger_spec     JSON NOT NULL,
    -- Whether an event starts it; repeated from trigger_spec so that alerts find it by an index.
    conditional      BOOLEAN NOT NULL,
    -- A conditional service whose event has happened.
    triggered        BOOLEAN NOT NULL,
    -- Name of the cluster it is placed on; null when static.
    cluster          TEXT COLLATE "C",
    -- Chart as written in the descriptor.
    chart            TEXT NOT NULL,
    -- ociConfig.type and ociConfig.implementer, any text.
    artifact_type    TEXT NOT NULL,
    implementer      TEXT NOT NULL,
    -- All values of the release, the placement's included.
    release_values   JSON NOT NULL,
    -- Replicas that scaling decided; null while the chart decides.
    replicas_decided BIGINT,
    -- What it takes on its cluster by the last write of this row: {cluster, wanted, reserved, shown}; the ledger holds the
    -- sums. Null when it takes nothing.
    charge           JSON,
    -- When its charge has to be looked at again, because its cluster's own report shows it by then; null when it need not.
    settles_at       TIMESTAMPTZ,
    -- Observed: how far its deployment has come.
    state            TEXT NOT NULL CHECK (state IN ('pending', 'deploying', 'deployed', 'failed', 'not_deployed')),
    -- Observed: it runs where it was placed.
    ready            BOOLEAN NOT NULL,
    -- Observed: spec.replicas, and how many are ready; null while nothing is known.
    replicas_observed BIGINT,
    replicas_ready   BIGINT,
    -- Observed: its workloads, list of {requests, replicas, ready}; requests in the form of needs.
    workloads        JSON NOT NULL,
    -- Conditions of the service: list of {type, status, reason, message, since}.
    conditions       JSON NOT NULL,
    PRIMARY KEY (graph, name),
    -- A release belongs to one graph.
    CONSTRAINT services_release UNIQUE (namespace, name)
);

-- For the graphs that a change of a cluster concerns.
CREATE INDEX services_by_cluster ON services (cluster, graph);

-- Alerts name a service, not always its graph.
CREATE INDEX services_by_name ON services (name) WHERE conditional;

-- Charges that have to be looked at again.
CREATE INDEX services_by_settling ON services (settles_at) WHERE settles_at IS NOT NULL;

-- One row per member cluster that Karmada has ever reported. A cluster that disappears stays as unavailable.
CREATE TABLE clusters (
    -- 1, 2, 3 ... in the order of discovery: the column order of a placement matrix, so it never changes.
    id               BIGINT PRIMARY KEY,
    -- Name in Karmada.
    name             TEXT COLLATE "C" NOT NULL UNIQUE,
    -- Where it is, or 'Unknown'.
    location         TEXT NOT NULL,
    -- Whether services can be placed there, and if not, why.
    available        BOOLEAN NOT NULL,
    reason           TEXT,
    -- Total of its nodes: {cpu_millicores, ram_bytes, storage_bytes, gpus}.
    allocatable      JSON NOT NULL,
    -- Requested by pods, in the same form.
    allocated        JSON NOT NULL,
    -- Whether ephemeral storage is part of the report; if not, it limits nothing there.
    storage_reported BOOLEAN NOT NULL,
    -- Whether it has GPUs.
    acceleration     BOOLEAN NOT NULL,
    -- Pod and service network, from Submariner; null while unknown.
    pod_cidr         TEXT,
    service_cidr     TEXT,
    -- URL of its dashboard; null while there is none.
    grafana          TEXT,
    -- Its region: spec.region of Karmada's Cluster; null when that is empty.
    region           TEXT,
    -- Labels of Karmada's Cluster: {name: value}.
    labels           JSON NOT NULL,
    -- Round-trip times to other clusters in milliseconds as last measured: {cluster: number}.
    latencies_ms     JSON NOT NULL,
    -- When Karmada last reported it.
    observed_at      TIMESTAMPTZ NOT NULL
);

-- When the clusters were last listed successfully. Not the same as the newest clusters.observed_at: a Karmada
-- without members answers too.
CREATE TABLE cluster_sync (
    -- The single row.
    id               BIGINT PRIMARY KEY CHECK (id = 1),
    synced_at TIMESTAMPTZ NOT NULL
);

-- What a user set for a cluster. It stays when the cluster disappears.
CREATE TABLE cluster_attributes (
    -- Name of the cluster.
    cluster    TEXT COLLATE "C" PRIMARY KEY,
    -- Prices, region, trust, latencies and so on, only what was set.
    attributes JSON NOT NULL,
    -- When it was set.
    updated_at TIMESTAMPTZ NOT NULL
);

-- What all services together take on a cluster: the sums of their charges. Every decision that takes capacity locks the rows
-- of its clusters, by name, and checks that what it adds still fits.
CREATE TABLE ledger (
    -- Name of the cluster.
    cluster  TEXT COLLATE "C" PRIMARY KEY,
    -- By all replicas that are wanted: {cpu_millicores, ram_bytes, storage_bytes, gpus}.
    wanted   JSON NOT NULL,
    -- The part of it that the cluster's own report may not show yet, in the same form.
    reserved JSON NOT NULL
);

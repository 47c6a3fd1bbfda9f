-- What decisions know of a cluster beyond its resources.

-- Where it is said to be: spec.region of Karmada's Cluster; null when it says nothing.
ALTER TABLE clusters ADD COLUMN region TEXT;
-- Labels of Karmada's Cluster: {name: value}.
ALTER TABLE clusters ADD COLUMN labels JSON NOT NULL DEFAULT '{}';
-- Round-trip times to other clusters in milliseconds as last measured: {cluster: number}.
ALTER TABLE clusters ADD COLUMN latencies_ms JSON NOT NULL DEFAULT '{}';

-- What a user said of a cluster. It may be said before the cluster is known, and stays when it disappears.
CREATE TABLE cluster_attributes (
    -- Name of the cluster.
    cluster    TEXT COLLATE "C" PRIMARY KEY,
    -- Prices, region, trust, latencies and so on, only what was said.
    attributes JSON NOT NULL,
    -- When it was said.
    updated_at TIMESTAMPTZ NOT NULL
);

-- One row per member cluster that Karmada ever told of. A cluster that disappears stays, unavailable.
CREATE TABLE clusters (
    -- 1, 2, 3 ... in the order of discovery: the column order of a placement matrix, so it never changes.
    id                         BIGINT PRIMARY KEY,
    -- Name in Karmada.
    name                       TEXT COLLATE "C" NOT NULL UNIQUE,
    -- Where it is, or 'Unknown'.
    location                   TEXT NOT NULL,
    -- Whether services can be placed there, and if not, why.
    available                  BOOLEAN NOT NULL,
    reason                     TEXT,
    -- Total of its nodes: thousandths of a core, bytes, bytes, whole GPUs.
    allocatable_cpu_millicores BIGINT NOT NULL,
    allocatable_ram_bytes      BIGINT NOT NULL,
    allocatable_storage_bytes  BIGINT NOT NULL,
    allocatable_gpus           BIGINT NOT NULL,
    -- Requested by pods, in the same units.
    allocated_cpu_millicores   BIGINT NOT NULL,
    allocated_ram_bytes        BIGINT NOT NULL,
    allocated_storage_bytes    BIGINT NOT NULL,
    allocated_gpus             BIGINT NOT NULL,
    -- Whether ephemeral storage is part of the report; if not, it limits nothing there.
    storage_reported           BOOLEAN NOT NULL,
    -- Whether it has GPUs.
    acceleration               BOOLEAN NOT NULL,
    -- Pod and service network, from Submariner; null while unknown.
    pod_cidr                   TEXT,
    service_cidr               TEXT,
    -- URL of its dashboard; null while there is none.
    grafana                    TEXT,
    -- When Karmada last told of it.
    observed_at                TIMESTAMPTZ NOT NULL
);

-- When Karmada was last asked with success. Not the same as the newest clusters.observed_at: a Karmada without
-- members answers too.
CREATE TABLE cluster_sync (
    -- The single row.
    id        BIGINT PRIMARY KEY CHECK (id = 1),
    synced_at TIMESTAMPTZ NOT NULL
);

-- One row per member cluster that Karmada ever told of. A cluster that disappears stays, unavailable.
CREATE TABLE clusters (
    -- 1, 2, 3 ... in the order of discovery: the column order of a placement matrix, so it never changes.
    id                         INTEGER PRIMARY KEY,
    -- Name in Karmada.
    name                       TEXT NOT NULL UNIQUE,
    -- Where it is, or 'Unknown'.
    location                   TEXT NOT NULL,
    -- Whether services can be placed there, and if not, why.
    available                  INTEGER NOT NULL CHECK (available IN (0, 1)),
    reason                     TEXT,
    -- Total of its nodes: thousandths of a core, bytes, bytes, whole GPUs.
    allocatable_cpu_millicores INTEGER NOT NULL,
    allocatable_ram_bytes      INTEGER NOT NULL,
    allocatable_storage_bytes  INTEGER NOT NULL,
    allocatable_gpus           INTEGER NOT NULL,
    -- Requested by pods, in the same units.
    allocated_cpu_millicores   INTEGER NOT NULL,
    allocated_ram_bytes        INTEGER NOT NULL,
    allocated_storage_bytes    INTEGER NOT NULL,
    allocated_gpus             INTEGER NOT NULL,
    -- Whether ephemeral storage is part of the report; if not, it limits nothing there.
    storage_reported           INTEGER NOT NULL CHECK (storage_reported IN (0, 1)),
    -- Whether it has GPUs.
    acceleration               INTEGER NOT NULL CHECK (acceleration IN (0, 1)),
    -- Pod and service network, from Submariner; null while unknown.
    pod_cidr                   TEXT,
    service_cidr               TEXT,
    -- URL of its dashboard; null while there is none.
    grafana                    TEXT,
    -- When Karmada last told of it.
    observed_at                TEXT NOT NULL
) STRICT;

-- When Karmada was last asked with success. Not the same as the newest clusters.observed_at: a Karmada without
-- members answers too.
CREATE TABLE cluster_sync (
    -- The single row.
    id        INTEGER PRIMARY KEY CHECK (id = 1),
    synced_at TEXT NOT NULL
) STRICT;

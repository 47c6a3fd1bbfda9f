-- Charts that are not in a registry, which of several workloads is scaled, and how large a pod can be.

-- Archives of charts from repositories over HTTP, so that a version stays what it was when it was first installed.
CREATE TABLE charts (
    -- SHA-256 of the archive: sha256:...
    digest TEXT PRIMARY KEY,
    archive BLOB NOT NULL,
    -- When it was last fetched. It is removed when no service has it, but not in the hour after that.
    fetched_at TEXT NOT NULL
);
-- Observed: the digest of the chart that was rendered; null until one was, and when its origin tells none.
ALTER TABLE services ADD COLUMN chart_digest TEXT;
-- smo.scaling.workload of the descriptor; null for the only one that can be scaled.
ALTER TABLE services ADD COLUMN scaled_workload TEXT;
-- Observed: sizes of the nodes that no other one exceeds, [{cpu_millicores, ...}, ...]; empty when not known.
ALTER TABLE clusters ADD COLUMN nodes TEXT NOT NULL DEFAULT '[]';

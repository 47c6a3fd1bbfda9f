-- Which of several workloads is scaled, and how large a pod can be.

-- smo.scaling.workload of the descriptor; null for the only one that can be scaled.
ALTER TABLE services ADD COLUMN scaled_workload TEXT;
-- Observed: sizes of the nodes that no other one exceeds, [{cpu_millicores, ...}, ...]; empty when not known.
ALTER TABLE clusters ADD COLUMN nodes JSON NOT NULL DEFAULT '[]';

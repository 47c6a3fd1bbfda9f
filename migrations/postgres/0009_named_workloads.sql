-- Which of several workloads is scaled.

-- smo.scaling.workload of the descriptor; null for the only one that can be scaled.
ALTER TABLE services ADD COLUMN scaled_workload TEXT;

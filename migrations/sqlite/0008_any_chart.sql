-- Charts that know nothing of Karmada, and pods that no node has taken.

-- smo.propagation of the descriptor: chart or managed; null to go by the chart.
ALTER TABLE services ADD COLUMN propagation TEXT CHECK (propagation IN ('chart', 'managed'));
-- The clusters of the services that call it: list of names.
ALTER TABLE services ADD COLUMN import_clusters TEXT NOT NULL DEFAULT '[]';
-- Observed: the objects of its rendered chart, {source, objects}; null until it was rendered.
ALTER TABLE services ADD COLUMN manifest TEXT;
-- Requests of pods that no node has taken yet, in the form of allocated, which does not have them.
ALTER TABLE clusters ADD COLUMN allocating TEXT NOT NULL DEFAULT '{}';
-- Use by replicas that are not ready, of which the cluster's report may show some: {cpu_millicores, ...}.
ALTER TABLE ledger ADD COLUMN unready TEXT NOT NULL DEFAULT '{}';
-- When scaling last decided its replicas; null while the chart decides.
ALTER TABLE services ADD COLUMN scaled_at TEXT;

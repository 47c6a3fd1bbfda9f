-- Charts that know nothing of Karmada.

-- smo.propagation of the descriptor: chart or managed; null to go by the chart.
ALTER TABLE services ADD COLUMN propagation TEXT CHECK (propagation IN ('chart', 'managed'));
-- The clusters of the services that call it: list of names.
ALTER TABLE services ADD COLUMN import_clusters JSON NOT NULL DEFAULT '[]';
-- Observed: the objects of its rendered chart, {source, objects}; null until it was rendered.
ALTER TABLE services ADD COLUMN manifest JSON;

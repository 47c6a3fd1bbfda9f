-- How a decision came about and what became of it.

-- The strategy that decided, such as 'first-fit'; empty for decisions from before this column.
ALTER TABLE decisions ADD COLUMN strategy TEXT NOT NULL DEFAULT '';
-- 'optimal', 'feasible', 'infeasible' or 'timed_out'; empty as above.
ALTER TABLE decisions ADD COLUMN outcome TEXT NOT NULL DEFAULT '';
-- How long deciding took; null when not measured.
ALTER TABLE decisions ADD COLUMN duration_ms BIGINT;
-- When its plan became what is wanted; null while it is only a proposal.
ALTER TABLE decisions ADD COLUMN applied_at TIMESTAMPTZ;

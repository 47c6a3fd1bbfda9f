-- Decisions of other strategies about the problem of a real one, which are compared with it and never applied.

-- The real decision; null for a real one.
ALTER TABLE decisions ADD COLUMN shadow_of BLOB;

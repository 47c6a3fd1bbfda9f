-- What was seen of a service's workloads takes the place of the sum of their requests.
-- List of {requests, replicas, ready}; requests in the form of needs.
ALTER TABLE services ADD COLUMN workloads JSON NOT NULL DEFAULT '[]';
ALTER TABLE services DROP COLUMN observed_needs;

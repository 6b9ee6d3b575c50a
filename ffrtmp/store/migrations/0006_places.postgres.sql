-- Nothing: for PostgreSQL the index of queued jobs is enough as it is. The numbers go together.
SELECT 1;

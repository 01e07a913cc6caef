-- What jobs used, by tenant, hour and job. `hour` is when it began; `job` is empty where a tenant had
-- too many of them in one hour. The first nine columns of numbers count runs by how they ended.
--
-- Made when it is missing: a file of an earlier host has none.

CREATE TABLE IF NOT EXISTS usage (
    tenant         TEXT NOT NULL,
    hour           INTEGER NOT NULL,
    job            TEXT NOT NULL,
    succeeded      INTEGER NOT NULL,
    failed         INTEGER NOT NULL,
    timed_out      INTEGER NOT NULL,
    out_of_fuel    INTEGER NOT NULL,
    out_of_memory  INTEGER NOT NULL,
    trapped        INTEGER NOT NULL,
    limit_exceeded INTEGER NOT NULL,
    cancelled      INTEGER NOT NULL,
    abandoned      INTEGER NOT NULL,
    attempts       INTEGER NOT NULL,
    cpu_ms         INTEGER NOT NULL,
    wall_ms        INTEGER NOT NULL,
    fuel           INTEGER NOT NULL,
    memory_kib_ms  INTEGER NOT NULL,
    host_calls     INTEGER NOT NULL,
    bytes_in       INTEGER NOT NULL,
    bytes_out      INTEGER NOT NULL,
    PRIMARY KEY (tenant, hour, job)
) STRICT, WITHOUT ROWID;

CREATE INDEX IF NOT EXISTS usage_by_age ON usage (hour);

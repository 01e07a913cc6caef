-- The tables of a Campanile store, format 1. Times are microseconds since 1970, UTC.
--
-- `record` is the whole record as JSON; the columns beside it are there to be searched. Read it with
-- any tool, also while a host runs: sqlite3 -readonly campanile.db

CREATE TABLE meta (
    key   TEXT PRIMARY KEY,
    value INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE schedule (
    tenant     TEXT NOT NULL,
    job        TEXT NOT NULL,
    uid        TEXT NOT NULL,
    version    INTEGER NOT NULL,
    source     TEXT NOT NULL,
    cursor     INTEGER,
    due_at     INTEGER,
    last_fire  INTEGER,
    paused     INTEGER NOT NULL,
    parked     TEXT,
    record     TEXT NOT NULL,
    PRIMARY KEY (tenant, job)
) STRICT;

-- Apart from the schedule, which changes with each fire. `keep` and `max_age`, in microseconds, say how
-- much of its past is kept.
CREATE TABLE definition (
    tenant     TEXT NOT NULL,
    job        TEXT NOT NULL,
    keep       INTEGER NOT NULL,
    max_age    INTEGER NOT NULL,
    definition TEXT NOT NULL,
    PRIMARY KEY (tenant, job)
) STRICT;

CREATE TABLE run (
    id          TEXT NOT NULL,
    tenant      TEXT NOT NULL,
    job         TEXT NOT NULL,
    uid         TEXT NOT NULL,
    plugin      TEXT NOT NULL,
    cause       TEXT NOT NULL,
    state       TEXT NOT NULL,
    verdict     TEXT,
    reason      TEXT,
    outcome     TEXT,
    attempt     INTEGER NOT NULL,
    fire_time   INTEGER NOT NULL,
    queued_at   INTEGER NOT NULL,
    started_at  INTEGER,
    finished_at INTEGER,
    has_body    INTEGER NOT NULL,
    record      TEXT NOT NULL,
    UNIQUE (id, tenant)
) STRICT;

CREATE INDEX run_by_age ON run (queued_at, id, tenant);
CREATE INDEX run_by_job ON run (tenant, job, queued_at, id);
CREATE INDEX run_live ON run (state) WHERE state <> 'done';
-- By their end: the oldest are forgotten first.
CREATE INDEX run_done ON run (tenant, job, finished_at, queued_at, id) WHERE state = 'done';
CREATE INDEX run_with_body ON run (tenant, job, finished_at, queued_at, id) WHERE has_body = 1;
-- One run for each fire.
CREATE UNIQUE INDEX run_of_fire ON run (tenant, job, fire_time, uid) WHERE cause = 'schedule';

CREATE TABLE ledger_range (
    id       INTEGER PRIMARY KEY,
    tenant   TEXT NOT NULL,
    job      TEXT NOT NULL,
    uid      TEXT NOT NULL,
    verdict  TEXT NOT NULL,
    reason   TEXT NOT NULL,
    first    INTEGER NOT NULL,
    last     INTEGER NOT NULL,
    count    INTEGER NOT NULL,
    into_run TEXT,
    -- When it was opened, or grew last.
    noted_at INTEGER NOT NULL
) STRICT;

CREATE INDEX ledger_range_by_job ON ledger_range (tenant, job, last, id);
CREATE INDEX ledger_range_by_uid ON ledger_range (uid, id);
CREATE INDEX ledger_range_by_age ON ledger_range (tenant, job, noted_at, id);

CREATE TABLE session (
    id         TEXT PRIMARY KEY,
    host       TEXT NOT NULL,
    generation INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE log (
    run     TEXT NOT NULL,
    tenant  TEXT NOT NULL,
    line    INTEGER NOT NULL,
    t       INTEGER NOT NULL,
    level   TEXT NOT NULL,
    stream  TEXT NOT NULL,
    context TEXT NOT NULL,
    message TEXT NOT NULL,
    PRIMARY KEY (run, tenant, line)
) STRICT, WITHOUT ROWID;

CREATE TABLE doc (
    tenant  TEXT NOT NULL,
    kind    TEXT NOT NULL,
    key     TEXT NOT NULL,
    version INTEGER NOT NULL,
    value   BLOB NOT NULL,
    PRIMARY KEY (tenant, kind, key)
) STRICT;

CREATE TABLE counter (
    tenant TEXT NOT NULL,
    key    TEXT NOT NULL,
    value  INTEGER NOT NULL,
    PRIMARY KEY (tenant, key)
) STRICT, WITHOUT ROWID;

-- The same two indexes by conditions that cost half as much to judge, which each change of a status
-- does twice: SQLite makes a table of a list first.

DROP INDEX status_dead;
DROP INDEX status_rare;

CREATE INDEX status_dead ON status (message)
    WHERE state = 'failed' OR state = 'expired' OR state = 'unknown';

CREATE INDEX status_rare ON status (tenant, state, message)
    WHERE state = 'failed' OR state = 'expired' OR state = 'unknown' OR state = 'suppressed'
        OR state = 'cancelled';

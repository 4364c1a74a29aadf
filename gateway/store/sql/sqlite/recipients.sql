-- name: known_recipients
-- Which of these are kept, and whether as they are. rows: [[id, body, …], …]; gives [[index, 1 if
-- it is the same], …]
SELECT coalesce(json_group_array(json_array(r.key, p.body = r.value ->> 1)), '[]')
FROM jsonb_each(:rows) r
CROSS JOIN recipient p ON p.tenant = :tenant AND p.id = r.value ->> 0;

-- name: latest_part
-- Where the next :rows addresses go.
-- Only SQLite: elsewhere addresses are in one tree.
INSERT INTO meta (key, value) VALUES ('recipient.addresses', CAST(:rows AS TEXT))
ON CONFLICT (key) DO UPDATE SET value = CAST(value + :rows AS TEXT)
RETURNING value / 20000;

-- name: put_recipients
-- Keep recipients, in place of those with their ids. rows: [[id, body, [[channel, hash, reason],
-- …]], …]
INSERT INTO recipient (tenant, id, body, addresses, part, updated_ms)
SELECT :tenant, value ->> 0, value ->> 1, value ->> 2, :part, :now_ms FROM jsonb_each(:rows)
WHERE true
ON CONFLICT (tenant, id) DO UPDATE
SET body = excluded.body, addresses = excluded.addresses, part = excluded.part,
    updated_ms = excluded.updated_ms;

-- name: lift_deaths
-- Lift the bans that the deaths of devices brought which live again. rows: as for `put_recipients`
DELETE FROM suppression
WHERE reason = 'hard_bounce' AND (channel, hash, tenant, sender, detail) IN (
    SELECT a.channel, a.hash, '', '', a.reason
    FROM jsonb_each(:rows) r
    CROSS JOIN recipient p ON p.tenant = :tenant AND p.id = r.value ->> 0
    CROSS JOIN jsonb_each(r.value, '$[2]') n
    CROSS JOIN recipient_address a ON a.part = p.part AND a.hash = n.value ->> 1
        AND a.channel = n.value ->> 0 AND a.tenant = p.tenant AND a.recipient = p.id
    WHERE a.reason <> '' AND n.value ->> 2 = '');

-- name: drop_addresses
-- Addresses of recipients as they are kept. rows: [[id, …], …]
DELETE FROM recipient_address WHERE (part, hash, channel, tenant, recipient) IN (
    SELECT p.part, a.value ->> 1, a.value ->> 0, p.tenant, p.id
    FROM jsonb_each(:rows) r
    CROSS JOIN recipient p ON p.tenant = :tenant AND p.id = r.value ->> 0
    CROSS JOIN json_each(p.addresses) a);

-- name: put_addresses
-- By what recipients are found; in order, as neighbours share a page. rows: as for
-- `put_recipients`
INSERT OR IGNORE INTO recipient_address (part, channel, hash, tenant, recipient, reason)
SELECT :part, a.value ->> 0, a.value ->> 1, :tenant, r.value ->> 0, a.value ->> 2
FROM jsonb_each(:rows) r, jsonb_each(r.value, '$[2]') a
ORDER BY a.value ->> 1;

-- name: read_recipients
-- Those of these that are kept. rows: [id, …]; gives [[body, updated_ms], …], the bodies spliced in as they are stored
SELECT '[' || coalesce(group_concat('[' || p.body || ',' || p.updated_ms || ']'), '') || ']'
FROM jsonb_each(:rows) r
CROSS JOIN recipient p ON p.tenant = :tenant AND p.id = r.value;

-- name: list_recipients
-- A page, by id. Gives [[body, updated_ms], …]
SELECT '[' || coalesce(group_concat('[' || body || ',' || updated_ms || ']'), '') || ']'
FROM (SELECT body, updated_ms FROM recipient
      WHERE tenant = :tenant AND id > :after
      ORDER BY id LIMIT :limit);

-- name: find_recipients
-- Who has these addresses. rows: [[channel, hash], …]; gives [[channel, hash, recipient], …]
SELECT coalesce(json_group_array(json_array(a.channel, a.hash, a.recipient)), '[]')
FROM jsonb_each(:rows) r
CROSS JOIN ({parts}) s
CROSS JOIN recipient_address a ON a.part = s.part AND a.hash = r.value ->> 1
    AND a.channel = r.value ->> 0 AND a.tenant = :tenant;

-- name: owners
-- Recipients of all tenants that have a device. Gives [[tenant, body], …]
SELECT coalesce(json_group_array(json_array(p.tenant, p.body)), '[]')
FROM ({parts}) s
CROSS JOIN recipient_address a ON a.part = s.part AND a.hash = :hash AND a.channel = 'push'
CROSS JOIN recipient p ON p.tenant = a.tenant AND p.id = a.recipient
WHERE a.reason = '';

-- name: note_body
-- A recipient one of whose devices is dead.
-- Only SQLite: elsewhere `put_recipients`, which here wants the addresses too.
UPDATE recipient SET body = :body, updated_ms = :now_ms WHERE tenant = :tenant AND id = :id;

-- name: note_death
-- A device is dead, whoever has it.
UPDATE recipient_address SET reason = :reason
WHERE part IN ({parts}) AND hash = :hash AND channel = 'push' AND reason = '';

-- name: erase_recipient
-- Forget one.
DELETE FROM recipient WHERE tenant = :tenant AND id = :id;

-- name: put_named
-- Messages that name a recipient. rows: [[tenant, recipient, message], …]
INSERT INTO message_recipient (tenant, recipient, message)
SELECT value ->> 0, value ->> 1, value ->> 2 FROM jsonb_each(:rows);

-- name: named
-- Messages that name a recipient. Gives [message, …], oldest first
SELECT coalesce(json_group_array(message), '[]')
FROM (SELECT message FROM message_recipient
      WHERE tenant = :tenant AND recipient = :recipient AND message > :after
      ORDER BY message LIMIT :limit);

-- name: messages_holding
-- Of the next messages of all tenants, those of one whose body is like one of some patterns, and
-- reports whose `id` or `answers` is one of some messages: they are JSON in JSON, so that no quote
-- of another's words looks like these. patterns: [pattern, …], about: [message, …]; gives
-- [[message, 1 if it is], …]
SELECT coalesce(json_group_array(json_array(id, held)), '[]')
FROM (SELECT m.id, m.tenant = :tenant AND (
          EXISTS (SELECT 1 FROM jsonb_each(:patterns) p WHERE m.body LIKE p.value ESCAPE '\')
          OR m.internal
          AND (substr(m.body, instr(m.body, '{\"id\":\"') + 10, 36)
                   IN (SELECT value FROM jsonb_each(:about))
               OR substr(m.body, instr(m.body, ',\"answers\":\"') + 15, 36)
                   IN (SELECT value FROM jsonb_each(:about)))) AS held
      FROM message m WHERE m.id > :after ORDER BY m.id LIMIT :limit);

-- name: erase_bodies
-- Overwrite messages. rows: [[message, body], …]
UPDATE message SET body = r.value ->> 1
FROM jsonb_each(:rows) r WHERE message.id = r.value ->> 0;

-- name: erase_attempts
-- Providers' words may name the address. rows: [message, …]
UPDATE attempt SET detail = ''
WHERE message IN (SELECT value FROM jsonb_each(:rows)) AND detail <> '';

-- name: erase_receipts
-- The same of receipts. rows: [message, …]
UPDATE receipt SET detail = ''
WHERE message IN (SELECT value FROM jsonb_each(:rows)) AND detail <> '';

-- name: erase_named
-- That messages named somebody. rows: [message, …]
DELETE FROM message_recipient WHERE message IN (SELECT value FROM jsonb_each(:rows));

-- name: erase_contacts
-- That these messages were the latest to somebody. rows: [message, …], hashes: [hash, …]
DELETE FROM contact WHERE (provider, hash) IN (
    SELECT a.provider, h.value
    FROM jsonb_each(:rows) r
    CROSS JOIN attempt a ON a.message = r.value
    CROSS JOIN jsonb_each(:hashes) h)
AND message IN (SELECT value FROM jsonb_each(:rows));

-- name: erase_words
-- The words by which these messages took the place of others. rows: [[tenant, key, message], …]
DELETE FROM latest WHERE (tenant, key) IN (
    SELECT l.tenant, l.key FROM jsonb_each(:rows) r
    CROSS JOIN latest l ON l.tenant = r.value ->> 0 AND l.key = r.value ->> 1
        AND l.message = r.value ->> 2);

-- name: purge_named
-- Which messages that are gone named somebody.
DELETE FROM message_recipient WHERE (tenant, recipient, message) IN (
    SELECT tenant, recipient, message FROM message_recipient
    WHERE message < :before ORDER BY message LIMIT :limit);

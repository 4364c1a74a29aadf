-- name: known_recipients
-- Which of these are kept, and whether as they are; nobody else changes them before we commit:
-- (index, same). Looked up one by one, in the order of ids: a join may read all that there are.
SELECT r.place - 1, p.body = r.body
FROM (SELECT * FROM unnest(:id::text[], :body::text[]) WITH ORDINALITY AS r (id, body, place)
      ORDER BY id COLLATE "C") r
CROSS JOIN LATERAL (
    SELECT body FROM recipient WHERE tenant = :tenant AND id = r.id FOR UPDATE
) p;

-- name: put_recipients
-- Keep recipients, in place of those with their ids.
INSERT INTO recipient (tenant, id, body, updated_ms)
SELECT :tenant, id, body, :now_ms
FROM unnest(:id::text[], :body::text[]) AS r (id, body)
ORDER BY id COLLATE "C"
ON CONFLICT (tenant, id) DO UPDATE SET body = excluded.body, updated_ms = excluded.updated_ms;

-- name: lift_deaths
-- Lift the bans that the deaths of devices brought which live again; reason: as the devices are
-- given now. Looked up one by one, which OFFSET sees to: a join may read all that there are.
DELETE FROM suppression WHERE id = ANY (ARRAY(
    SELECT s.id
    FROM unnest(:id::text[], :channel::text[], :hash::text[], :reason::text[])
         AS r (id, channel, hash, reason)
    CROSS JOIN LATERAL (
        SELECT reason FROM recipient_address
        WHERE hash = r.hash AND channel = r.channel AND tenant = :tenant AND recipient = r.id
          AND reason <> '' AND r.reason = ''
        OFFSET 0
    ) a
    CROSS JOIN LATERAL (
        SELECT id FROM suppression
        WHERE channel = r.channel AND hash = r.hash AND sender = '' AND tenant = ''
          AND reason = 'hard_bounce' AND detail = a.reason
        OFFSET 0
    ) s));

-- name: drop_addresses
-- Addresses of recipients that get others.
DELETE FROM recipient_address
WHERE tenant = :tenant AND recipient = ANY (:id::text[]);

-- name: put_addresses
-- By what recipients are found.
INSERT INTO recipient_address (channel, hash, tenant, recipient, reason)
SELECT channel, hash, :tenant, id, reason
FROM unnest(:id::text[], :channel::text[], :hash::text[], :reason::text[])
    AS r (id, channel, hash, reason)
ON CONFLICT DO NOTHING;

-- name: read_recipients
-- Those of these that are kept: (body, updated_ms)
SELECT body, updated_ms FROM recipient WHERE tenant = :tenant AND id = ANY (:id::text[]);

-- name: list_recipients
-- A page, by id: (body, updated_ms).
SELECT body, updated_ms FROM recipient
WHERE tenant = :tenant AND id > :after ORDER BY id LIMIT :limit;

-- name: find_recipients
-- Who has these addresses: (channel, hash, recipient). Looked up one by one.
SELECT a.channel, a.hash, a.recipient
FROM unnest(:channel::text[], :hash::text[]) AS r (channel, hash)
CROSS JOIN LATERAL (
    SELECT channel, hash, recipient FROM recipient_address
    WHERE hash = r.hash AND channel = r.channel AND tenant = :tenant
    OFFSET 0
) a;

-- name: owners
-- Recipients of all tenants that have a device; nobody else changes them before we commit:
-- (tenant, body).
SELECT p.tenant, p.body
FROM recipient_address a
JOIN recipient p ON p.tenant = a.tenant AND p.id = a.recipient
WHERE a.hash = :hash AND a.channel = 'push' AND a.reason = ''
ORDER BY p.tenant, p.id
FOR UPDATE OF p;

-- name: note_death
-- A device of some recipients is dead.
-- Differs: not of whoever has it by now, since others may come by it while we write.
UPDATE recipient_address a SET reason = :reason
FROM unnest(:tenant::text[], :recipient::text[]) AS r (tenant, recipient)
WHERE a.hash = :hash AND a.channel = 'push' AND a.reason = ''
  AND a.tenant = r.tenant AND a.recipient = r.recipient;

-- name: erase_recipient
-- Forget one.
DELETE FROM recipient WHERE tenant = :tenant AND id = :id;

-- name: put_named
-- Messages that name a recipient.
INSERT INTO message_recipient (tenant, recipient, message)
SELECT * FROM unnest(:tenant::text[], :recipient::text[], :message::uuid[]);

-- name: named
-- Ids of messages that name a recipient, oldest first.
SELECT message::text FROM message_recipient
WHERE tenant = :tenant AND recipient = :recipient AND message > :after::uuid
ORDER BY message LIMIT :limit;

-- name: messages_holding
-- Of the next messages of all tenants, those of one whose body is like one of some patterns, and
-- reports whose `id` or `answers` is one of some messages: they are JSON in JSON, so that no quote
-- of another's words looks like these. Gives (message, whether it is).
SELECT id::text, tenant = :tenant AND (
    body ILIKE ANY (:patterns::text[])
    OR internal
    AND (substr(body, strpos(body, '{\"id\":\"') + 10, 36) = ANY (:about::text[])
         OR substr(body, strpos(body, ',\"answers\":\"') + 15, 36) = ANY (:about::text[])))
FROM (SELECT id, tenant, internal, body FROM message
      WHERE id > :after::uuid ORDER BY id LIMIT :limit) m
ORDER BY id;

-- name: erase_bodies
-- Overwrite messages.
UPDATE message SET body = r.body
FROM unnest(:message::uuid[], :body::text[]) AS r (message, body)
WHERE message.id = r.message AND message.id BETWEEN :first::uuid AND :last::uuid;

-- name: erase_attempts
-- Providers' words may name the address.
UPDATE attempt SET detail = ''
WHERE message = ANY (:message::uuid[]) AND detail <> ''
  AND message BETWEEN :first::uuid AND :last::uuid;

-- name: erase_receipts
-- The same of receipts.
UPDATE receipt SET detail = ''
WHERE message = ANY (:message::uuid[]) AND detail <> ''
  AND message BETWEEN :first::uuid AND :last::uuid;

-- name: erase_named
-- That messages named somebody.
DELETE FROM message_recipient WHERE message = ANY (:message::uuid[]);

-- name: erase_contacts
-- That these messages were the latest to somebody.
DELETE FROM contact WHERE (provider, hash) IN (
    SELECT a.provider, h.hash
    FROM attempt a CROSS JOIN unnest(:hashes::text[]) AS h (hash)
    WHERE a.message = ANY (:message::uuid[]) AND a.message BETWEEN :first::uuid AND :last::uuid)
AND message = ANY (:message::uuid[]);

-- name: erase_words
-- The words by which these messages took the place of others.
DELETE FROM latest l
USING unnest(:tenant::text[], :key::text[], :message::uuid[]) AS r (tenant, key, message)
WHERE l.tenant = r.tenant AND l.key = r.key AND l.message = r.message;

-- name: purge_named
-- Which messages that are gone named somebody.
DELETE FROM message_recipient WHERE (tenant, recipient, message) IN (
    SELECT tenant, recipient, message FROM message_recipient
    WHERE message < :before ORDER BY message LIMIT :limit
    FOR UPDATE SKIP LOCKED);

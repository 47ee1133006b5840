-- The parties that names lead to, each name by its list and its position in it.
--
-- $1 organisation, $2 ids of accounts, $3 numbers of accounts, $4 ids of participants, $5 numbers of participants,
-- $6 hashes of authentication codes, $7 identifiers of access tokens, $8 hashes of one-time passwords.
--
-- A call asks the parts of which it has names (`storage::sql`). An account knows whether its participant is
-- ineffective, and a participant whether its account is inactive, so that one look-up finds a name. The obstacles are 1
-- for an inactive account and 2 for an ineffective participant.
--
-- LATERAL with OFFSET 0 has each name looked up by itself: PostgreSQL would rather compare it with every row of an
-- organisation of which it has no statistics yet.
SELECT array_agg(CAST(f.list AS BIGINT)) AS list, array_agg(f.position) AS position,
    array_agg(f.account_key) AS account_key, array_agg(f.obstacles) AS obstacles, array_agg(f.token) AS token,
    (SELECT v.last_value FROM counters v
        WHERE v.organisation_id = $1 AND v.name = 'directory_version') AS version
FROM (
    SELECT 0 AS list, k.n - 1 AS position, a.key AS account_key,
        CAST(CAST(a.state <> 'ACTIVE' AS INTEGER) + 2 * CAST(a.has_ineffective_participant AS INTEGER) AS BIGINT)
            AS obstacles, '' AS token
    FROM unnest($2::text[]) WITH ORDINALITY AS k(value, n)
    CROSS JOIN LATERAL (
        SELECT * FROM accounts_receivable a
        WHERE a.organisation_id = $1 AND a.id = k.value OFFSET 0) AS a
    UNION ALL
    SELECT 1 AS list, k.n - 1 AS position, a.key AS account_key,
        CAST(CAST(a.state <> 'ACTIVE' AS INTEGER) + 2 * CAST(a.has_ineffective_participant AS INTEGER) AS BIGINT)
            AS obstacles, '' AS token
    FROM unnest($3::text[]) WITH ORDINALITY AS k(value, n)
    CROSS JOIN LATERAL (
        SELECT * FROM accounts_receivable a
        WHERE a.organisation_id = $1 AND a.number = k.value OFFSET 0) AS a
    UNION ALL
    SELECT 2 AS list, k.n - 1 AS position, p.account_key AS account_key,
        CAST(CAST(p.has_inactive_account AS INTEGER) + 2 * CAST(p.state <> 'EFFECTIVE' AS INTEGER) AS BIGINT)
            AS obstacles, '' AS token
    FROM unnest($4::text[]) WITH ORDINALITY AS k(value, n)
    CROSS JOIN LATERAL (
        SELECT * FROM rewards_participants p
        WHERE p.organisation_id = $1 AND p.id = k.value OFFSET 0) AS p
    UNION ALL
    SELECT 3 AS list, k.n - 1 AS position, p.account_key AS account_key,
        CAST(CAST(p.has_inactive_account AS INTEGER) + 2 * CAST(p.state <> 'EFFECTIVE' AS INTEGER) AS BIGINT)
            AS obstacles, '' AS token
    FROM unnest($5::text[]) WITH ORDINALITY AS k(value, n)
    CROSS JOIN LATERAL (
        SELECT * FROM rewards_participants p
        WHERE p.organisation_id = $1 AND p.number = k.value OFFSET 0) AS p
    UNION ALL
    SELECT 4 AS list, k.n - 1 AS position, p.account_key AS account_key,
        CAST(CAST(p.has_inactive_account AS INTEGER) + 2 * CAST(p.state <> 'EFFECTIVE' AS INTEGER) AS BIGINT)
            AS obstacles, CAST(json_build_array(t.key, t.id, t.state, t.effective_from, t.effective_to, t.pass_code_hash,
            CASE WHEN t.one_time_password_live THEN 1 ELSE 0 END,
            t.one_time_password_expires_on, t.one_time_password_used_by) AS TEXT) AS token
    FROM unnest($6::text[]) WITH ORDINALITY AS k(value, n)
    CROSS JOIN LATERAL (
        SELECT * FROM access_tokens t
        WHERE t.organisation_id = $1 AND t.authentication_code_hash = k.value OFFSET 0) AS t
    CROSS JOIN LATERAL (
        SELECT * FROM rewards_participants p
        WHERE p.organisation_id = $1 AND p.key = t.participant_key OFFSET 0) AS p
    UNION ALL
    SELECT 5 AS list, k.n - 1 AS position, p.account_key AS account_key,
        CAST(CAST(p.has_inactive_account AS INTEGER) + 2 * CAST(p.state <> 'EFFECTIVE' AS INTEGER) AS BIGINT)
            AS obstacles, CAST(json_build_array(t.key, t.id, t.state, t.effective_from, t.effective_to, t.pass_code_hash,
            CASE WHEN t.one_time_password_live THEN 1 ELSE 0 END,
            t.one_time_password_expires_on, t.one_time_password_used_by) AS TEXT) AS token
    FROM unnest($7::text[]) WITH ORDINALITY AS k(value, n)
    CROSS JOIN LATERAL (
        SELECT * FROM access_tokens t
        WHERE t.organisation_id = $1 AND t.identifier = k.value OFFSET 0) AS t
    CROSS JOIN LATERAL (
        SELECT * FROM rewards_participants p
        WHERE p.organisation_id = $1 AND p.key = t.participant_key OFFSET 0) AS p
    UNION ALL
    SELECT 6 AS list, k.n - 1 AS position, p.account_key AS account_key,
        CAST(CAST(p.has_inactive_account AS INTEGER) + 2 * CAST(p.state <> 'EFFECTIVE' AS INTEGER) AS BIGINT)
            AS obstacles, CAST(json_build_array(t.key, t.id, t.state, t.effective_from, t.effective_to, t.pass_code_hash,
            CASE WHEN t.one_time_password_live THEN 1 ELSE 0 END,
            t.one_time_password_expires_on, t.one_time_password_used_by) AS TEXT) AS token
    FROM unnest($8::text[]) WITH ORDINALITY AS k(value, n)
    CROSS JOIN LATERAL (
        SELECT * FROM access_tokens t
        WHERE t.organisation_id = $1 AND t.one_time_password_hash = k.value OFFSET 0) AS t
    CROSS JOIN LATERAL (
        SELECT * FROM rewards_participants p
        WHERE p.organisation_id = $1 AND p.key = t.participant_key OFFSET 0) AS p
) AS f

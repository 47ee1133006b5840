-- The parties that names lead to, each name by its list and its position in it.
--
-- $1 organisation, $2 ids of accounts, $3 numbers of accounts, $4 ids of participants, $5 numbers of participants,
-- $6 hashes of authentication codes, $7 identifiers of access tokens, $8 hashes of one-time passwords.
--
-- All seven are always asked, so that it is one statement, prepared once. An account knows whether its participant is
-- ineffective, and a participant whether its account is inactive, so that one look-up finds a name. The obstacles are 1
-- for an inactive account and 2 for an ineffective participant.
--
-- SQLite keeps to the order of a CROSS JOIN. The lists come back as one row: a thread of its own reads from SQLite and
-- hands each row over, which costs several times what reading it does.
SELECT json_group_array(f.list) AS list, json_group_array(f.position) AS position,
    json_group_array(f.account_key) AS account_key, json_group_array(f.obstacles) AS obstacles,
    json_group_array(f.token) AS token,
    (SELECT v.last_value FROM counters v
        WHERE v.organisation_id = $1 AND v.name = 'directory_version') AS version
FROM (
    SELECT 0 AS list, k.key AS position, a.key AS account_key,
        CAST(CAST(a.state <> 'ACTIVE' AS INTEGER) + 2 * CAST(a.has_ineffective_participant AS INTEGER) AS BIGINT)
            AS obstacles, '' AS token
    FROM json_each($2) AS k
    CROSS JOIN accounts_receivable a ON a.organisation_id = $1 AND a.id = k.value
    UNION ALL
    SELECT 1 AS list, k.key AS position, a.key AS account_key,
        CAST(CAST(a.state <> 'ACTIVE' AS INTEGER) + 2 * CAST(a.has_ineffective_participant AS INTEGER) AS BIGINT)
            AS obstacles, '' AS token
    FROM json_each($3) AS k
    CROSS JOIN accounts_receivable a ON a.organisation_id = $1 AND a.number = k.value
    UNION ALL
    SELECT 2 AS list, k.key AS position, p.account_key AS account_key,
        CAST(CAST(p.has_inactive_account AS INTEGER) + 2 * CAST(p.state <> 'EFFECTIVE' AS INTEGER) AS BIGINT)
            AS obstacles, '' AS token
    FROM json_each($4) AS k
    CROSS JOIN rewards_participants p ON p.organisation_id = $1 AND p.id = k.value
    UNION ALL
    SELECT 3 AS list, k.key AS position, p.account_key AS account_key,
        CAST(CAST(p.has_inactive_account AS INTEGER) + 2 * CAST(p.state <> 'EFFECTIVE' AS INTEGER) AS BIGINT)
            AS obstacles, '' AS token
    FROM json_each($5) AS k
    CROSS JOIN rewards_participants p ON p.organisation_id = $1 AND p.number = k.value
    UNION ALL
    SELECT 4 AS list, k.key AS position, p.account_key AS account_key,
        CAST(CAST(p.has_inactive_account AS INTEGER) + 2 * CAST(p.state <> 'EFFECTIVE' AS INTEGER) AS BIGINT)
            AS obstacles, json_array(t.key, t.id, t.state, t.effective_from, t.effective_to, t.pass_code_hash,
            CASE WHEN t.one_time_password_live THEN 1 ELSE 0 END,
            t.one_time_password_expires_on, t.one_time_password_used_by) || '' AS token
    FROM json_each($6) AS k
    CROSS JOIN access_tokens t ON t.organisation_id = $1 AND t.authentication_code_hash = k.value
    CROSS JOIN rewards_participants p ON p.organisation_id = $1 AND p.key = t.participant_key
    UNION ALL
    SELECT 5 AS list, k.key AS position, p.account_key AS account_key,
        CAST(CAST(p.has_inactive_account AS INTEGER) + 2 * CAST(p.state <> 'EFFECTIVE' AS INTEGER) AS BIGINT)
            AS obstacles, json_array(t.key, t.id, t.state, t.effective_from, t.effective_to, t.pass_code_hash,
            CASE WHEN t.one_time_password_live THEN 1 ELSE 0 END,
            t.one_time_password_expires_on, t.one_time_password_used_by) || '' AS token
    FROM json_each($7) AS k
    CROSS JOIN access_tokens t ON t.organisation_id = $1 AND t.identifier = k.value
    CROSS JOIN rewards_participants p ON p.organisation_id = $1 AND p.key = t.participant_key
    UNION ALL
    SELECT 6 AS list, k.key AS position, p.account_key AS account_key,
        CAST(CAST(p.has_inactive_account AS INTEGER) + 2 * CAST(p.state <> 'EFFECTIVE' AS INTEGER) AS BIGINT)
            AS obstacles, json_array(t.key, t.id, t.state, t.effective_from, t.effective_to, t.pass_code_hash,
            CASE WHEN t.one_time_password_live THEN 1 ELSE 0 END,
            t.one_time_password_expires_on, t.one_time_password_used_by) || '' AS token
    FROM json_each($8) AS k
    CROSS JOIN access_tokens t ON t.organisation_id = $1 AND t.one_time_password_hash = k.value
    CROSS JOIN rewards_participants p ON p.organisation_id = $1 AND p.key = t.participant_key
) AS f

-- What callers know rows of the directory by, each by its list and its key; participants by the keys of their accounts.
--
-- $1 organisation; keys of $2 classifications, $3 business units, $4 units, $5 TAPs, $6 devices, $7 accounts.
SELECT array_agg(CAST(f.list AS BIGINT)) AS list, array_agg(f.key) AS key, array_agg(f.id) AS id,
    array_agg(f.code) AS code, array_agg(f.name) AS name
FROM (
    SELECT 0 AS list, d.key AS key, d.id AS id, d.alternative_code AS code, d.name AS name
    FROM unnest($2::bigint[]) AS k(value)
    CROSS JOIN LATERAL (
        SELECT * FROM classifications d WHERE d.organisation_id = $1 AND d.key = k.value OFFSET 0) AS d
    UNION ALL
    SELECT 1 AS list, d.key AS key, d.id AS id, d.code AS code, d.name AS name
    FROM unnest($3::bigint[]) AS k(value)
    CROSS JOIN LATERAL (
        SELECT * FROM business_units d WHERE d.organisation_id = $1 AND d.key = k.value OFFSET 0) AS d
    UNION ALL
    SELECT 2 AS list, d.key AS key, d.id AS id, d.alternative_code AS code, d.name AS name
    FROM unnest($4::bigint[]) AS k(value)
    CROSS JOIN LATERAL (
        SELECT * FROM units d WHERE d.organisation_id = $1 AND d.key = k.value OFFSET 0) AS d
    UNION ALL
    SELECT 3 AS list, d.key AS key, d.id AS id, d.code AS code, d.name AS name
    FROM unnest($5::bigint[]) AS k(value)
    CROSS JOIN LATERAL (
        SELECT * FROM taps d WHERE d.organisation_id = $1 AND d.key = k.value OFFSET 0) AS d
    UNION ALL
    SELECT 4 AS list, d.key AS key, d.id AS id, d.code AS code, CAST(NULL AS TEXT) AS name
    FROM unnest($6::bigint[]) AS k(value)
    CROSS JOIN LATERAL (
        SELECT * FROM devices d WHERE d.organisation_id = $1 AND d.key = k.value OFFSET 0) AS d
    UNION ALL
    SELECT 5 AS list, d.key AS key, d.id AS id, d.number AS code, CAST(NULL AS TEXT) AS name
    FROM unnest($7::bigint[]) AS k(value)
    CROSS JOIN LATERAL (
        SELECT * FROM accounts_receivable d WHERE d.organisation_id = $1 AND d.key = k.value OFFSET 0) AS d
    UNION ALL
    SELECT 6 AS list, d.account_key AS key, d.id AS id, d.number AS code, CAST(NULL AS TEXT) AS name
    FROM unnest($7::bigint[]) AS k(value)
    CROSS JOIN LATERAL (
        SELECT * FROM rewards_participants d WHERE d.organisation_id = $1 AND d.account_key = k.value OFFSET 0) AS d
) AS f

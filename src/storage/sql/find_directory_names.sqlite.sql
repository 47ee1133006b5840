-- What callers know rows of the directory by, each by its list and its key; participants by the keys of their accounts.
--
-- $1 organisation; keys of $2 classifications, $3 business units, $4 units, $5 TAPs, $6 devices, $7 accounts.
SELECT json_group_array(f.list) AS list, json_group_array(f.key) AS key, json_group_array(f.id) AS id,
    json_group_array(f.code) AS code, json_group_array(f.name) AS name
FROM (
    SELECT 0 AS list, d.key AS key, d.id AS id, d.alternative_code AS code, d.name AS name
    FROM json_each($2) AS k
    CROSS JOIN classifications d ON d.organisation_id = $1 AND d.key = k.value
    UNION ALL
    SELECT 1 AS list, d.key AS key, d.id AS id, d.code AS code, d.name AS name
    FROM json_each($3) AS k
    CROSS JOIN business_units d ON d.organisation_id = $1 AND d.key = k.value
    UNION ALL
    SELECT 2 AS list, d.key AS key, d.id AS id, d.alternative_code AS code, d.name AS name
    FROM json_each($4) AS k
    CROSS JOIN units d ON d.organisation_id = $1 AND d.key = k.value
    UNION ALL
    SELECT 3 AS list, d.key AS key, d.id AS id, d.code AS code, d.name AS name
    FROM json_each($5) AS k
    CROSS JOIN taps d ON d.organisation_id = $1 AND d.key = k.value
    UNION ALL
    SELECT 4 AS list, d.key AS key, d.id AS id, d.code AS code, CAST(NULL AS TEXT) AS name
    FROM json_each($6) AS k
    CROSS JOIN devices d ON d.organisation_id = $1 AND d.key = k.value
    UNION ALL
    SELECT 5 AS list, d.key AS key, d.id AS id, d.number AS code, CAST(NULL AS TEXT) AS name
    FROM json_each($7) AS k
    CROSS JOIN accounts_receivable d ON d.organisation_id = $1 AND d.key = k.value
    UNION ALL
    SELECT 6 AS list, d.account_key AS key, d.id AS id, d.number AS code, CAST(NULL AS TEXT) AS name
    FROM json_each($7) AS k
    CROSS JOIN rewards_participants d ON d.organisation_id = $1 AND d.account_key = k.value
) AS f

-- The entries of the directory that names lead to, each name by its list and its position in it, with the business
-- unit, the unit and the TAP that an entry implies.
--
-- $1 organisation; business units by $2 id, $3 name, $4 code; units by $5 id, $6 name, $7 alternative code; TAPs by
-- $8 id, $9 name, $10 code; devices by $11 id, $12 code; classifications by $13 id, $14 name, $15 alternative code.
--
-- All fourteen are always asked, so that it is one statement, prepared once.
--
-- SQLite keeps to the order of a CROSS JOIN. The lists come back as one row: a thread of its own reads from SQLite and
-- hands each row over, which costs several times what reading it does.
SELECT json_group_array(f.list) AS list, json_group_array(f.position) AS position, json_group_array(f.key) AS key,
    json_group_array(f.business_unit_key) AS business_unit_key, json_group_array(f.unit_key) AS unit_key,
    json_group_array(f.tap_key) AS tap_key,
    (SELECT v.last_value FROM counters v
        WHERE v.organisation_id = $1 AND v.name = 'directory_version') AS version
FROM (
    SELECT 0 AS list, k.key AS position, d.key AS key,
        d.key AS business_unit_key, CAST(NULL AS BIGINT) AS unit_key,
        d.default_tap_key AS tap_key
    FROM json_each($2) AS k
    CROSS JOIN business_units d ON d.organisation_id = $1 AND d.id = k.value
    UNION ALL
    SELECT 1 AS list, k.key AS position, d.key AS key,
        d.key AS business_unit_key, CAST(NULL AS BIGINT) AS unit_key,
        d.default_tap_key AS tap_key
    FROM json_each($3) AS k
    CROSS JOIN business_units d ON d.organisation_id = $1 AND d.name = k.value
    UNION ALL
    SELECT 2 AS list, k.key AS position, d.key AS key,
        d.key AS business_unit_key, CAST(NULL AS BIGINT) AS unit_key,
        d.default_tap_key AS tap_key
    FROM json_each($4) AS k
    CROSS JOIN business_units d ON d.organisation_id = $1 AND d.code = k.value
    UNION ALL
    SELECT 3 AS list, k.key AS position, d.key AS key,
        d.business_unit_key AS business_unit_key, d.key AS unit_key,
        COALESCE(d.default_tap_key, b.default_tap_key) AS tap_key
    FROM json_each($5) AS k
    CROSS JOIN units d ON d.organisation_id = $1 AND d.id = k.value
    LEFT JOIN business_units b ON b.organisation_id = $1 AND b.key = d.business_unit_key
    UNION ALL
    SELECT 4 AS list, k.key AS position, d.key AS key,
        d.business_unit_key AS business_unit_key, d.key AS unit_key,
        COALESCE(d.default_tap_key, b.default_tap_key) AS tap_key
    FROM json_each($6) AS k
    CROSS JOIN units d ON d.organisation_id = $1 AND d.name = k.value
    LEFT JOIN business_units b ON b.organisation_id = $1 AND b.key = d.business_unit_key
    UNION ALL
    SELECT 5 AS list, k.key AS position, d.key AS key,
        d.business_unit_key AS business_unit_key, d.key AS unit_key,
        COALESCE(d.default_tap_key, b.default_tap_key) AS tap_key
    FROM json_each($7) AS k
    CROSS JOIN units d ON d.organisation_id = $1 AND d.alternative_code = k.value
    LEFT JOIN business_units b ON b.organisation_id = $1 AND b.key = d.business_unit_key
    UNION ALL
    SELECT 6 AS list, k.key AS position, d.key AS key,
        COALESCE(d.business_unit_key, u.business_unit_key) AS business_unit_key, d.unit_key AS unit_key,
        d.key AS tap_key
    FROM json_each($8) AS k
    CROSS JOIN taps d ON d.organisation_id = $1 AND d.id = k.value
    LEFT JOIN units u ON u.organisation_id = $1 AND u.key = d.unit_key
    UNION ALL
    SELECT 7 AS list, k.key AS position, d.key AS key,
        COALESCE(d.business_unit_key, u.business_unit_key) AS business_unit_key, d.unit_key AS unit_key,
        d.key AS tap_key
    FROM json_each($9) AS k
    CROSS JOIN taps d ON d.organisation_id = $1 AND d.name = k.value
    LEFT JOIN units u ON u.organisation_id = $1 AND u.key = d.unit_key
    UNION ALL
    SELECT 8 AS list, k.key AS position, d.key AS key,
        COALESCE(d.business_unit_key, u.business_unit_key) AS business_unit_key, d.unit_key AS unit_key,
        d.key AS tap_key
    FROM json_each($10) AS k
    CROSS JOIN taps d ON d.organisation_id = $1 AND d.code = k.value
    LEFT JOIN units u ON u.organisation_id = $1 AND u.key = d.unit_key
    UNION ALL
    SELECT 9 AS list, k.key AS position, d.key AS key,
        u.business_unit_key AS business_unit_key, d.unit_key AS unit_key,
        COALESCE(u.default_tap_key, b.default_tap_key) AS tap_key
    FROM json_each($11) AS k
    CROSS JOIN devices d ON d.organisation_id = $1 AND d.id = k.value
    LEFT JOIN units u ON u.organisation_id = $1 AND u.key = d.unit_key
    LEFT JOIN business_units b ON b.organisation_id = $1 AND b.key = u.business_unit_key
    UNION ALL
    SELECT 10 AS list, k.key AS position, d.key AS key,
        u.business_unit_key AS business_unit_key, d.unit_key AS unit_key,
        COALESCE(u.default_tap_key, b.default_tap_key) AS tap_key
    FROM json_each($12) AS k
    CROSS JOIN devices d ON d.organisation_id = $1 AND d.code = k.value
    LEFT JOIN units u ON u.organisation_id = $1 AND u.key = d.unit_key
    LEFT JOIN business_units b ON b.organisation_id = $1 AND b.key = u.business_unit_key
    UNION ALL
    SELECT 11 AS list, k.key AS position, d.key AS key,
        CAST(NULL AS BIGINT) AS business_unit_key, CAST(NULL AS BIGINT) AS unit_key,
        CAST(NULL AS BIGINT) AS tap_key
    FROM json_each($13) AS k
    CROSS JOIN classifications d ON d.organisation_id = $1 AND d.id = k.value
    UNION ALL
    SELECT 12 AS list, k.key AS position, d.key AS key,
        CAST(NULL AS BIGINT) AS business_unit_key, CAST(NULL AS BIGINT) AS unit_key,
        CAST(NULL AS BIGINT) AS tap_key
    FROM json_each($14) AS k
    CROSS JOIN classifications d ON d.organisation_id = $1 AND d.name = k.value
    UNION ALL
    SELECT 13 AS list, k.key AS position, d.key AS key,
        CAST(NULL AS BIGINT) AS business_unit_key, CAST(NULL AS BIGINT) AS unit_key,
        CAST(NULL AS BIGINT) AS tap_key
    FROM json_each($15) AS k
    CROSS JOIN classifications d ON d.organisation_id = $1 AND d.alternative_code = k.value
) AS f

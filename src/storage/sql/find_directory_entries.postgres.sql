-- The entries of the directory that names lead to, each name by its list and its position in it, with the business
-- unit, the unit and the TAP that an entry implies.
--
-- $1 organisation; business units by $2 id, $3 name, $4 code; units by $5 id, $6 name, $7 alternative code; TAPs by
-- $8 id, $9 name, $10 code; devices by $11 id, $12 code; classifications by $13 id, $14 name, $15 alternative code.
--
-- A call asks the parts of which it has names (`storage::sql`).
--
-- LATERAL with OFFSET 0 has each name looked up by itself: PostgreSQL would rather compare it with every row of an
-- organisation of which it has no statistics yet.
SELECT array_agg(CAST(f.list AS BIGINT)) AS list, array_agg(f.position) AS position, array_agg(f.key) AS key,
    array_agg(f.business_unit_key) AS business_unit_key, array_agg(f.unit_key) AS unit_key,
    array_agg(f.tap_key) AS tap_key,
    (SELECT v.last_value FROM counters v
        WHERE v.organisation_id = $1 AND v.name = 'directory_version') AS version
FROM (
    SELECT 0 AS list, k.n - 1 AS position, d.key AS key,
        d.key AS business_unit_key, CAST(NULL AS BIGINT) AS unit_key,
        d.default_tap_key AS tap_key
    FROM unnest($2::text[]) WITH ORDINALITY AS k(value, n)
    CROSS JOIN LATERAL (
        SELECT * FROM business_units d
        WHERE d.organisation_id = $1 AND d.id = k.value OFFSET 0) AS d
    UNION ALL
    SELECT 1 AS list, k.n - 1 AS position, d.key AS key,
        d.key AS business_unit_key, CAST(NULL AS BIGINT) AS unit_key,
        d.default_tap_key AS tap_key
    FROM unnest($3::text[]) WITH ORDINALITY AS k(value, n)
    CROSS JOIN LATERAL (
        SELECT * FROM business_units d
        WHERE d.organisation_id = $1 AND d.name = k.value OFFSET 0) AS d
    UNION ALL
    SELECT 2 AS list, k.n - 1 AS position, d.key AS key,
        d.key AS business_unit_key, CAST(NULL AS BIGINT) AS unit_key,
        d.default_tap_key AS tap_key
    FROM unnest($4::text[]) WITH ORDINALITY AS k(value, n)
    CROSS JOIN LATERAL (
        SELECT * FROM business_units d
        WHERE d.organisation_id = $1 AND d.code = k.value OFFSET 0) AS d
    UNION ALL
    SELECT 3 AS list, k.n - 1 AS position, d.key AS key,
        d.business_unit_key AS business_unit_key, d.key AS unit_key,
        COALESCE(d.default_tap_key, b.default_tap_key) AS tap_key
    FROM unnest($5::text[]) WITH ORDINALITY AS k(value, n)
    CROSS JOIN LATERAL (
        SELECT * FROM units d
        WHERE d.organisation_id = $1 AND d.id = k.value OFFSET 0) AS d
    LEFT JOIN LATERAL (
        SELECT * FROM business_units b
        WHERE b.organisation_id = $1 AND b.key = d.business_unit_key OFFSET 0) AS b ON TRUE
    UNION ALL
    SELECT 4 AS list, k.n - 1 AS position, d.key AS key,
        d.business_unit_key AS business_unit_key, d.key AS unit_key,
        COALESCE(d.default_tap_key, b.default_tap_key) AS tap_key
    FROM unnest($6::text[]) WITH ORDINALITY AS k(value, n)
    CROSS JOIN LATERAL (
        SELECT * FROM units d
        WHERE d.organisation_id = $1 AND d.name = k.value OFFSET 0) AS d
    LEFT JOIN LATERAL (
        SELECT * FROM business_units b
        WHERE b.organisation_id = $1 AND b.key = d.business_unit_key OFFSET 0) AS b ON TRUE
    UNION ALL
    SELECT 5 AS list, k.n - 1 AS position, d.key AS key,
        d.business_unit_key AS business_unit_key, d.key AS unit_key,
        COALESCE(d.default_tap_key, b.default_tap_key) AS tap_key
    FROM unnest($7::text[]) WITH ORDINALITY AS k(value, n)
    CROSS JOIN LATERAL (
        SELECT * FROM units d
        WHERE d.organisation_id = $1 AND d.alternative_code = k.value OFFSET 0) AS d
    LEFT JOIN LATERAL (
        SELECT * FROM business_units b
        WHERE b.organisation_id = $1 AND b.key = d.business_unit_key OFFSET 0) AS b ON TRUE
    UNION ALL
    SELECT 6 AS list, k.n - 1 AS position, d.key AS key,
        COALESCE(d.business_unit_key, u.business_unit_key) AS business_unit_key, d.unit_key AS unit_key,
        d.key AS tap_key
    FROM unnest($8::text[]) WITH ORDINALITY AS k(value, n)
    CROSS JOIN LATERAL (
        SELECT * FROM taps d
        WHERE d.organisation_id = $1 AND d.id = k.value OFFSET 0) AS d
    LEFT JOIN LATERAL (
        SELECT * FROM units u
        WHERE u.organisation_id = $1 AND u.key = d.unit_key OFFSET 0) AS u ON TRUE
    UNION ALL
    SELECT 7 AS list, k.n - 1 AS position, d.key AS key,
        COALESCE(d.business_unit_key, u.business_unit_key) AS business_unit_key, d.unit_key AS unit_key,
        d.key AS tap_key
    FROM unnest($9::text[]) WITH ORDINALITY AS k(value, n)
    CROSS JOIN LATERAL (
        SELECT * FROM taps d
        WHERE d.organisation_id = $1 AND d.name = k.value OFFSET 0) AS d
    LEFT JOIN LATERAL (
        SELECT * FROM units u
        WHERE u.organisation_id = $1 AND u.key = d.unit_key OFFSET 0) AS u ON TRUE
    UNION ALL
    SELECT 8 AS list, k.n - 1 AS position, d.key AS key,
        COALESCE(d.business_unit_key, u.business_unit_key) AS business_unit_key, d.unit_key AS unit_key,
        d.key AS tap_key
    FROM unnest($10::text[]) WITH ORDINALITY AS k(value, n)
    CROSS JOIN LATERAL (
        SELECT * FROM taps d
        WHERE d.organisation_id = $1 AND d.code = k.value OFFSET 0) AS d
    LEFT JOIN LATERAL (
        SELECT * FROM units u
        WHERE u.organisation_id = $1 AND u.key = d.unit_key OFFSET 0) AS u ON TRUE
    UNION ALL
    SELECT 9 AS list, k.n - 1 AS position, d.key AS key,
        u.business_unit_key AS business_unit_key, d.unit_key AS unit_key,
        COALESCE(u.default_tap_key, b.default_tap_key) AS tap_key
    FROM unnest($11::text[]) WITH ORDINALITY AS k(value, n)
    CROSS JOIN LATERAL (
        SELECT * FROM devices d
        WHERE d.organisation_id = $1 AND d.id = k.value OFFSET 0) AS d
    LEFT JOIN LATERAL (
        SELECT * FROM units u
        WHERE u.organisation_id = $1 AND u.key = d.unit_key OFFSET 0) AS u ON TRUE
    LEFT JOIN LATERAL (
        SELECT * FROM business_units b
        WHERE b.organisation_id = $1 AND b.key = u.business_unit_key OFFSET 0) AS b ON TRUE
    UNION ALL
    SELECT 10 AS list, k.n - 1 AS position, d.key AS key,
        u.business_unit_key AS business_unit_key, d.unit_key AS unit_key,
        COALESCE(u.default_tap_key, b.default_tap_key) AS tap_key
    FROM unnest($12::text[]) WITH ORDINALITY AS k(value, n)
    CROSS JOIN LATERAL (
        SELECT * FROM devices d
        WHERE d.organisation_id = $1 AND d.code = k.value OFFSET 0) AS d
    LEFT JOIN LATERAL (
        SELECT * FROM units u
        WHERE u.organisation_id = $1 AND u.key = d.unit_key OFFSET 0) AS u ON TRUE
    LEFT JOIN LATERAL (
        SELECT * FROM business_units b
        WHERE b.organisation_id = $1 AND b.key = u.business_unit_key OFFSET 0) AS b ON TRUE
    UNION ALL
    SELECT 11 AS list, k.n - 1 AS position, d.key AS key,
        CAST(NULL AS BIGINT) AS business_unit_key, CAST(NULL AS BIGINT) AS unit_key,
        CAST(NULL AS BIGINT) AS tap_key
    FROM unnest($13::text[]) WITH ORDINALITY AS k(value, n)
    CROSS JOIN LATERAL (
        SELECT * FROM classifications d
        WHERE d.organisation_id = $1 AND d.id = k.value OFFSET 0) AS d
    UNION ALL
    SELECT 12 AS list, k.n - 1 AS position, d.key AS key,
        CAST(NULL AS BIGINT) AS business_unit_key, CAST(NULL AS BIGINT) AS unit_key,
        CAST(NULL AS BIGINT) AS tap_key
    FROM unnest($14::text[]) WITH ORDINALITY AS k(value, n)
    CROSS JOIN LATERAL (
        SELECT * FROM classifications d
        WHERE d.organisation_id = $1 AND d.name = k.value OFFSET 0) AS d
    UNION ALL
    SELECT 13 AS list, k.n - 1 AS position, d.key AS key,
        CAST(NULL AS BIGINT) AS business_unit_key, CAST(NULL AS BIGINT) AS unit_key,
        CAST(NULL AS BIGINT) AS tap_key
    FROM unnest($15::text[]) WITH ORDINALITY AS k(value, n)
    CROSS JOIN LATERAL (
        SELECT * FROM classifications d
        WHERE d.organisation_id = $1 AND d.alternative_code = k.value OFFSET 0) AS d
) AS f

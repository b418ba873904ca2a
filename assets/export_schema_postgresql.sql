-- Exports the schema of one PostgreSQL database (11 or later) as one JSON document on standard output:
--     psql -X -qAt -d DATABASE -f export_schema_postgresql.sql > schema.json
-- It only reads catalogs; no table row is touched. The form of the document is assets/schemas/database_schema.schema.json.
-- Left out: system schemas, members of extensions, the schema migration_archive (what a migration keeps for its undo).
-- What exists but is not carried stands in "not_exported" as a kind and a number.
--
-- Two databases with the same schema give the same bytes, "database", "row_count" and "size_mb" aside: everything that
-- the server's deparse functions depend on is fixed here first, and every list is sorted by byte order.

SET client_encoding = 'UTF8';
SET search_path = '';               -- an empty path makes every name outside pg_catalog print with its schema
SET datestyle = 'ISO, YMD';
SET intervalstyle = 'postgres';
SET timezone = 'UTC';
SET extra_float_digits = 3;         -- as pg_dump does: floats that read back as the same number
SET bytea_output = 'hex';
SET quote_all_identifiers = off;
SET statement_timeout = 0;
SET jit = off;                      -- compiling this one long query takes 20 times as long as running it
BEGIN TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY;

WITH RECURSIVE
-- ---------------------------------------------------------------------------------------------------------------------
-- What belongs to the user, and what each object is called. A key is the name in schema public, schema.name elsewhere;
-- where a key alone could be misread, the object carries its schema and name as members too.
-- ---------------------------------------------------------------------------------------------------------------------
member AS (SELECT classid, objid FROM pg_depend WHERE deptype = 'e'),
space AS (
  SELECT oid, nspname, nspname || '.' AS prefix
    FROM pg_namespace
   WHERE nspname !~ '^pg_' AND nspname NOT IN ('information_schema', 'migration_archive')
),
relation AS (
  SELECT c.*, s.nspname,
         CASE WHEN s.nspname = 'public' THEN '' ELSE s.prefix END || c.relname AS key,
         CASE WHEN s.nspname <> 'public' OR strpos(c.relname, '.') > 0 THEN s.nspname END AS member_schema,
         CASE WHEN s.nspname <> 'public' OR strpos(c.relname, '.') > 0 THEN c.relname END AS member_name
    FROM pg_class c JOIN space s ON s.oid = c.relnamespace
   WHERE NOT EXISTS (SELECT FROM member m WHERE m.classid = 'pg_class'::regclass AND m.objid = c.oid)
),
kind_of_type AS (
  SELECT t.*, s.nspname,
         CASE WHEN s.nspname = 'public' THEN '' ELSE s.prefix END || t.typname AS key,
         CASE WHEN s.nspname <> 'public' OR strpos(t.typname, '.') > 0 THEN s.nspname END AS member_schema,
         CASE WHEN s.nspname <> 'public' OR strpos(t.typname, '.') > 0 THEN t.typname END AS member_name
    FROM pg_type t JOIN space s ON s.oid = t.typnamespace
   WHERE NOT EXISTS (SELECT FROM member m WHERE m.classid = 'pg_type'::regclass AND m.objid = t.oid)
),
routine AS (
  SELECT p.*, s.nspname,
         CASE WHEN s.nspname = 'public' THEN '' ELSE s.prefix END || p.proname
           || '(' || CASE WHEN p.prokind = 'a' AND p.pronargs = 0 THEN '*'      -- as DROP AGGREGATE wants it
                          ELSE pg_get_function_identity_arguments(p.oid) END || ')' AS key,
         CASE WHEN s.nspname <> 'public' OR strpos(p.proname, '.') > 0 THEN s.nspname END AS member_schema,
         CASE WHEN s.nspname <> 'public' OR strpos(p.proname, '.') > 0 THEN p.proname END AS member_name
    FROM pg_proc p JOIN space s ON s.oid = p.pronamespace
   WHERE NOT EXISTS (SELECT FROM member m WHERE m.classid = 'pg_proc'::regclass AND m.objid = p.oid)
     -- the constructors of a range type are made with the type and go with it
     AND NOT EXISTS (SELECT FROM pg_depend d
                      WHERE d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'i')
),
named_collation AS (
  SELECT l.oid, CASE WHEN n.nspname = 'pg_catalog' THEN '' ELSE quote_ident(n.nspname) || '.' END
                || quote_ident(l.collname) AS quoted
    FROM pg_collation l JOIN pg_namespace n ON n.oid = l.collnamespace
),

-- ---------------------------------------------------------------------------------------------------------------------
-- Sequences. The one behind an identity column is part of that column.
-- ---------------------------------------------------------------------------------------------------------------------
sequence_definition AS (
  SELECT q.seqrelid, c.key, c.member_schema, c.member_name, c.relpersistence, d.deptype,
         d.refobjid AS owner_table, d.refobjsubid AS owner_column,
         format_type(q.seqtypid, NULL) AS type,
         q.seqstart, q.seqincrement, q.seqmin, q.seqmax, q.seqcache, q.seqcycle
    FROM pg_sequence q
    JOIN relation c ON c.oid = q.seqrelid
    LEFT JOIN pg_depend d ON d.classid = 'pg_class'::regclass AND d.objid = q.seqrelid AND d.objsubid = 0
                         AND d.refclassid = 'pg_class'::regclass AND d.deptype IN ('a', 'i')
),

-- ---------------------------------------------------------------------------------------------------------------------
-- Sizes. Rows are estimated as the planner does it: the density at the last ANALYZE times the pages of today. Where there
-- never was an ANALYZE nothing is said, as a wrong number would be worse. A partitioned table is the sum of its leaves.
-- ---------------------------------------------------------------------------------------------------------------------
leaf AS (
  SELECT oid AS root, oid, relkind FROM relation WHERE relkind IN ('r', 'p')
  UNION ALL
  SELECT l.root, c.oid, c.relkind
    FROM leaf l
    JOIN pg_inherits i ON i.inhparent = l.oid
    JOIN pg_class c ON c.oid = i.inhrelid
   WHERE l.relkind = 'p'
),
volume AS (
  SELECT l.root,
         CASE WHEN count(*) = count(v.tuples) THEN sum(v.tuples) END AS row_count,
         round(coalesce(sum(v.bytes), 0) / 1048576.0, 2) AS size_mb
    FROM leaf l
    JOIN pg_class c ON c.oid = l.oid AND c.relkind = 'r'
   CROSS JOIN LATERAL (SELECT pg_relation_size(c.oid) AS heap) h
   CROSS JOIN LATERAL (
         SELECT pg_total_relation_size(c.oid) AS bytes,
                CASE WHEN h.heap = 0 THEN 0
                     WHEN c.relpages > 0 AND c.reltuples >= 0
                     THEN round(c.reltuples::numeric / c.relpages * (h.heap / current_setting('block_size')::int))
                END AS tuples) v
   GROUP BY l.root
),

-- ---------------------------------------------------------------------------------------------------------------------
-- Parts of relations, each folded into one JSON value per relation
-- ---------------------------------------------------------------------------------------------------------------------
relation_column AS (
  SELECT a.attrelid,
         json_object_agg(a.attname, json_build_object(
           'type', format_type(a.atttypid, a.atttypmod),
           'nullable', NOT a.attnotnull,
           'default', CASE WHEN e.attgenerated = '' AND d.oid IS NOT NULL
                           THEN json_build_object('expression', pg_get_expr(d.adbin, d.adrelid)) END,
           'identity', CASE a.attidentity WHEN 'a' THEN 'always' WHEN 'd' THEN 'by_default' END,
           'identity_options', q.options,
           'generated', CASE WHEN e.attgenerated <> '' THEN pg_get_expr(d.adbin, d.adrelid) END,
           'generated_kind', CASE e.attgenerated WHEN 'v' THEN 'virtual' END,
           'collation', CASE WHEN a.attcollation <> t.typcollation THEN l.quoted END,
           'storage', CASE WHEN a.attstorage <> t.typstorage
                           THEN CASE a.attstorage WHEN 'p' THEN 'plain' WHEN 'e' THEN 'external'
                                                  WHEN 'm' THEN 'main' WHEN 'x' THEN 'extended' END END,
           'compression', CASE e.attcompression WHEN 'p' THEN 'pglz' WHEN 'l' THEN 'lz4' END,
           'statistics', CASE WHEN a.attstattarget >= 0 THEN a.attstattarget END,
           'options', (SELECT json_object_agg(o.option_name, o.option_value ORDER BY o.option_name COLLATE "C")
                         FROM pg_options_to_table(a.attoptions) o
                        -- the two that a user can set (ALTER TABLE docs); builds of the server may keep marks of their own here
                        WHERE o.option_name IN ('n_distinct', 'n_distinct_inherited')),
           'inherited', CASE WHEN a.attinhcount > 0 AND NOT a.attislocal AND NOT c.relispartition THEN true END,
           'comment', col_description(a.attrelid, a.attnum)
         ) ORDER BY a.attnum) AS columns
    FROM relation c
    JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
    JOIN pg_type t ON t.oid = a.atttypid
   -- read by name, as generated columns came with PostgreSQL 12 and column compression with 14
   CROSS JOIN LATERAL (SELECT coalesce(to_jsonb(a) ->> 'attgenerated', '') AS attgenerated,
                              to_jsonb(a) ->> 'attcompression' AS attcompression) e
    LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
    LEFT JOIN named_collation l ON l.oid = a.attcollation
    LEFT JOIN LATERAL (
         SELECT json_build_object('sequence', CASE WHEN s.member_schema = 'public' THEN 'public.' ELSE '' END || s.key,
                                  'type', s.type, 'start', s.seqstart, 'increment', s.seqincrement,
                                  'min', s.seqmin, 'max', s.seqmax, 'cache', s.seqcache, 'cycle', s.seqcycle) AS options
           FROM sequence_definition s
          WHERE a.attidentity <> '' AND s.deptype = 'i' AND s.owner_table = a.attrelid AND s.owner_column = a.attnum
         ) q ON true
   WHERE c.relkind IN ('r', 'p')
   GROUP BY a.attrelid
),
relation_constraint AS (
  SELECT o.conrelid, o.contype,
         json_agg(json_build_object(
           'name', o.conname,
           'columns', CASE WHEN o.contype IN ('p', 'u', 'f') THEN (
              SELECT json_agg(a.attname ORDER BY k.position)
                FROM unnest(o.conkey) WITH ORDINALITY AS k(attnum, position)
                JOIN pg_attribute a ON a.attrelid = o.conrelid AND a.attnum = k.attnum) END,
           'references', CASE WHEN o.contype = 'f' THEN json_build_object(
              'table', coalesce(target.key, o.confrelid::regclass::text),
              'columns', (SELECT json_agg(a.attname ORDER BY k.position)
                            FROM unnest(o.confkey) WITH ORDINALITY AS k(attnum, position)
                            JOIN pg_attribute a ON a.attrelid = o.confrelid AND a.attnum = k.attnum)) END,
           'definition', pg_get_constraintdef(o.oid),
           'options', CASE WHEN o.contype IN ('p', 'u', 'x') THEN (
              SELECT json_object_agg(p.option_name, p.option_value ORDER BY p.option_name COLLATE "C")
                FROM pg_class i CROSS JOIN LATERAL pg_options_to_table(i.reloptions) p WHERE i.oid = o.conindid) END,
           'clustered', (SELECT true FROM pg_index i
                          WHERE i.indexrelid = o.conindid AND i.indrelid = o.conrelid AND i.indisclustered),
           'replica_identity', (SELECT true FROM pg_index i
                                 WHERE i.indexrelid = o.conindid AND i.indrelid = o.conrelid AND i.indisreplident),
           'comment', obj_description(o.oid, 'pg_constraint')
         ) ORDER BY o.conname) AS definitions
    FROM relation c
    JOIN pg_constraint o ON o.conrelid = c.oid
    LEFT JOIN relation target ON target.oid = o.confrelid
   WHERE o.contype IN ('p', 'u', 'f', 'c', 'x')
     AND o.conparentid = 0 AND NOT (o.coninhcount > 0 AND NOT o.conislocal)
   GROUP BY o.conrelid, o.contype
),
relation_index AS (
  SELECT x.indrelid,
         json_agg(json_build_object(
           'name', i.relname,
           'definition', pg_get_indexdef(x.indexrelid),
           'unique', x.indisunique,
           'valid', x.indisvalid,
           'columns', (SELECT json_agg(coalesce(a.attname, pg_get_indexdef(x.indexrelid, k.position, true))
                                       ORDER BY k.position)
                         FROM generate_series(1, x.indnkeyatts::int) AS k(position)
                         LEFT JOIN pg_attribute a ON a.attrelid = x.indrelid AND a.attnum = x.indkey[k.position - 1]
                                                 AND a.attnum <> 0),
           'include', (SELECT json_agg(a.attname ORDER BY k.position)
                         FROM generate_series(x.indnkeyatts + 1, x.indnatts::int) AS k(position)
                         JOIN pg_attribute a ON a.attrelid = x.indrelid AND a.attnum = x.indkey[k.position - 1]),
           'clustered', CASE WHEN x.indisclustered THEN true END,
           'replica_identity', CASE WHEN x.indisreplident THEN true END,
           'comment', obj_description(x.indexrelid, 'pg_class')
         ) ORDER BY i.relname) AS indexes
    FROM relation c
    JOIN pg_index x ON x.indrelid = c.oid
    JOIN pg_class i ON i.oid = x.indexrelid AND NOT i.relispartition
   -- a foreign key names the index of the table it refers to, so only the kinds that own their index count here
   WHERE NOT EXISTS (SELECT FROM pg_constraint o
                      WHERE o.conindid = x.indexrelid AND o.conrelid = x.indrelid AND o.contype IN ('p', 'u', 'x'))
   GROUP BY x.indrelid
),
relation_trigger AS (
  SELECT g.tgrelid,
         json_object_agg(g.tgname, json_build_object(
           'definition', pg_get_triggerdef(g.oid),
           'enabled', g.tgenabled,
           'comment', obj_description(g.oid, 'pg_trigger')
         ) ORDER BY g.tgname) AS triggers
    FROM relation c
    JOIN pg_trigger g ON g.tgrelid = c.oid
   WHERE NOT g.tgisinternal
     AND coalesce(to_jsonb(g) ->> 'tgparentid', '0') = '0'      -- the copies on partitions; the column came with 13
   GROUP BY g.tgrelid
),
relation_rule AS (
  SELECT r.ev_class,
         json_object_agg(r.rulename, json_build_object(
           'definition', pg_get_ruledef(r.oid),
           'enabled', r.ev_enabled,
           'comment', obj_description(r.oid, 'pg_rewrite')
         ) ORDER BY r.rulename) AS rules
    FROM relation c
    JOIN pg_rewrite r ON r.ev_class = c.oid
   WHERE r.rulename <> '_RETURN'
   GROUP BY r.ev_class
),
relation_policy AS (
  SELECT p.polrelid,
         json_object_agg(p.polname, json_build_object(
           'definition',
             'CREATE POLICY ' || quote_ident(p.polname) || ' ON ' || p.polrelid::regclass::text
             || CASE WHEN p.polpermissive THEN '' ELSE ' AS RESTRICTIVE' END
             || CASE p.polcmd WHEN 'r' THEN ' FOR SELECT' WHEN 'a' THEN ' FOR INSERT' WHEN 'w' THEN ' FOR UPDATE'
                              WHEN 'd' THEN ' FOR DELETE' ELSE '' END
             || coalesce(' TO ' || (SELECT string_agg(quote_ident(r.rolname), ', ' ORDER BY r.rolname)
                                      FROM pg_roles r WHERE r.oid = ANY (p.polroles)), '')
             || coalesce(' USING (' || pg_get_expr(p.polqual, p.polrelid) || ')', '')
             || coalesce(' WITH CHECK (' || pg_get_expr(p.polwithcheck, p.polrelid) || ')', ''),
           'comment', obj_description(p.oid, 'pg_policy')
         ) ORDER BY p.polname) AS policies
    FROM relation c
    JOIN pg_policy p ON p.polrelid = c.oid
   GROUP BY p.polrelid
),
relation_option AS (
  SELECT u.oid, json_object_agg(u.option_name, u.option_value ORDER BY u.option_name COLLATE "C") AS options
    FROM (SELECT c.oid, o.option_name, o.option_value
            FROM relation c CROSS JOIN LATERAL pg_options_to_table(c.reloptions) o
           UNION ALL
          SELECT c.oid, 'toast.' || o.option_name, o.option_value
            FROM relation c JOIN pg_class t ON t.oid = c.reltoastrelid
           CROSS JOIN LATERAL pg_options_to_table(t.reloptions) o) u
   GROUP BY u.oid
),
view_column AS (
  SELECT a.attrelid,
         json_agg(a.attname ORDER BY a.attnum) AS names,
         json_object_agg(a.attname, col_description(a.attrelid, a.attnum) ORDER BY a.attnum)
           FILTER (WHERE col_description(a.attrelid, a.attnum) IS NOT NULL) AS comments,
         json_object_agg(a.attname, json_build_object('expression', pg_get_expr(d.adbin, d.adrelid)) ORDER BY a.attnum)
           FILTER (WHERE d.oid IS NOT NULL) AS defaults
    FROM relation c
    JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
    LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
   WHERE c.relkind IN ('v', 'm')
   GROUP BY a.attrelid
),

-- ---------------------------------------------------------------------------------------------------------------------
-- An aggregate has no server function that prints it, so its statement is put together from the catalog.
-- ---------------------------------------------------------------------------------------------------------------------
aggregate_clause AS (
  SELECT g.aggfnoid::oid AS oid, v.position, v.clause
    FROM pg_aggregate g
    JOIN routine p ON p.oid = g.aggfnoid
   CROSS JOIN LATERAL (VALUES
         (1, 'SFUNC = ' || g.aggtransfn::text),
         (2, 'STYPE = ' || format_type(g.aggtranstype, NULL)),
         (3, CASE WHEN g.aggtransspace <> 0 THEN 'SSPACE = ' || g.aggtransspace END),
         (4, CASE WHEN g.aggfinalfn <> 0 THEN 'FINALFUNC = ' || g.aggfinalfn::text END),
         (5, CASE WHEN g.aggfinalextra THEN 'FINALFUNC_EXTRA' END),
         (6, CASE WHEN g.aggfinalfn <> 0 AND g.aggfinalmodify <> CASE g.aggkind WHEN 'n' THEN 'r' ELSE 'w' END
                  THEN 'FINALFUNC_MODIFY = ' || CASE g.aggfinalmodify WHEN 'r' THEN 'READ_ONLY' WHEN 's' THEN 'SHAREABLE'
                                                                      ELSE 'READ_WRITE' END END),
         (7, CASE WHEN g.aggcombinefn <> 0 THEN 'COMBINEFUNC = ' || g.aggcombinefn::text END),
         (8, CASE WHEN g.aggserialfn <> 0 THEN 'SERIALFUNC = ' || g.aggserialfn::text END),
         (9, CASE WHEN g.aggdeserialfn <> 0 THEN 'DESERIALFUNC = ' || g.aggdeserialfn::text END),
         (10, 'INITCOND = ' || quote_literal(g.agginitval)),
         (11, CASE WHEN g.aggmtransfn <> 0 THEN 'MSFUNC = ' || g.aggmtransfn::text END),
         (12, CASE WHEN g.aggminvtransfn <> 0 THEN 'MINVFUNC = ' || g.aggminvtransfn::text END),
         (13, CASE WHEN g.aggmtransfn <> 0 THEN 'MSTYPE = ' || format_type(g.aggmtranstype, NULL) END),
         (14, CASE WHEN g.aggmtransspace <> 0 THEN 'MSSPACE = ' || g.aggmtransspace END),
         (15, CASE WHEN g.aggmfinalfn <> 0 THEN 'MFINALFUNC = ' || g.aggmfinalfn::text END),
         (16, CASE WHEN g.aggmfinalextra THEN 'MFINALFUNC_EXTRA' END),
         (17, CASE WHEN g.aggmfinalfn <> 0 AND g.aggmfinalmodify <> CASE g.aggkind WHEN 'n' THEN 'r' ELSE 'w' END
                   THEN 'MFINALFUNC_MODIFY = ' || CASE g.aggmfinalmodify WHEN 'r' THEN 'READ_ONLY'
                                                                         WHEN 's' THEN 'SHAREABLE' ELSE 'READ_WRITE' END END),
         (18, 'MINITCOND = ' || quote_literal(g.aggminitval)),
         (19, (SELECT 'SORTOP = OPERATOR(' || quote_ident(n.nspname) || '.' || o.oprname || ')'
                 FROM pg_operator o JOIN pg_namespace n ON n.oid = o.oprnamespace WHERE o.oid = g.aggsortop)),
         (20, CASE WHEN g.aggkind = 'h' THEN 'HYPOTHETICAL' END),
         (21, CASE p.proparallel WHEN 's' THEN 'PARALLEL = SAFE' WHEN 'r' THEN 'PARALLEL = RESTRICTED' END)
         ) AS v(position, clause)
),
aggregate_definition AS (
  SELECT p.oid,
         'CREATE AGGREGATE ' || quote_ident(p.nspname) || '.' || quote_ident(p.proname) || '('
         || CASE WHEN p.pronargs = 0 THEN '*' ELSE pg_get_function_arguments(p.oid) END || E') (\n    '
         || (SELECT string_agg(v.clause, E',\n    ' ORDER BY v.position) FROM aggregate_clause v
              WHERE v.oid = p.oid AND v.clause IS NOT NULL)
         || E'\n)' AS definition
    FROM routine p WHERE p.prokind = 'a'
),

-- ---------------------------------------------------------------------------------------------------------------------
-- What this export does not carry. Nothing of the user's is left out without a number here.
-- ---------------------------------------------------------------------------------------------------------------------
granted AS (
  SELECT nspacl AS acl, acldefault('n', nspowner) AS normal, 'pg_namespace'::regclass AS class, n.oid
    FROM pg_namespace n JOIN space s USING (oid)
   UNION ALL
  SELECT relacl, acldefault(CASE relkind WHEN 'S' THEN 's'::"char" ELSE 'r'::"char" END, relowner), 'pg_class'::regclass, oid
    FROM relation
   UNION ALL
  SELECT proacl, acldefault('f', proowner), 'pg_proc'::regclass, oid FROM routine
   UNION ALL
  SELECT typacl, acldefault('T', typowner), 'pg_type'::regclass, oid FROM kind_of_type
   UNION ALL
  SELECT a.attacl, '{}', 'pg_class'::regclass, c.oid
    FROM relation c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attacl IS NOT NULL AND NOT a.attisdropped
),
left_out(kind, class, oid) AS (
  SELECT 'access methods', 'pg_am'::regclass, oid FROM pg_am WHERE oid >= 16384
  UNION ALL SELECT 'base types', 'pg_type'::regclass, t.oid FROM kind_of_type t
             WHERE t.typtype = 'b' AND NOT EXISTS (SELECT FROM pg_type e WHERE e.typarray = t.oid)
  UNION ALL SELECT 'casts', 'pg_cast'::regclass, k.oid FROM pg_cast k WHERE k.oid >= 16384     -- FirstNormalObjectId
               AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_cast'::regclass AND d.objid = k.oid
                                                         AND d.deptype = 'i')
  UNION ALL SELECT 'collations', 'pg_collation'::regclass, l.oid FROM pg_collation l JOIN space s ON s.oid = l.collnamespace
  UNION ALL SELECT 'conversions', 'pg_conversion'::regclass, c.oid FROM pg_conversion c JOIN space s ON s.oid = c.connamespace
  UNION ALL SELECT 'default privileges', 'pg_default_acl'::regclass, oid FROM pg_default_acl
  UNION ALL SELECT 'event triggers', 'pg_event_trigger'::regclass, oid FROM pg_event_trigger
  UNION ALL SELECT 'foreign servers', 'pg_foreign_server'::regclass, oid FROM pg_foreign_server
  UNION ALL SELECT 'foreign tables', 'pg_class'::regclass, oid FROM relation WHERE relkind = 'f'
  UNION ALL SELECT 'foreign-data wrappers', 'pg_foreign_data_wrapper'::regclass, oid FROM pg_foreign_data_wrapper
  UNION ALL SELECT 'grants', g.class, g.oid FROM granted g
             WHERE g.acl IS NOT NULL AND g.acl IS DISTINCT FROM g.normal
               AND NOT EXISTS (SELECT FROM pg_init_privs i WHERE i.classoid = g.class AND i.objoid = g.oid
                                                            AND i.objsubid = 0 AND i.initprivs = g.acl)
  UNION ALL SELECT 'languages', 'pg_language'::regclass, oid FROM pg_language WHERE lanispl
  UNION ALL SELECT 'operator classes', 'pg_opclass'::regclass, o.oid FROM pg_opclass o JOIN space s ON s.oid = o.opcnamespace
  UNION ALL SELECT 'operator families', 'pg_opfamily'::regclass, o.oid
              FROM pg_opfamily o JOIN space s ON s.oid = o.opfnamespace
  UNION ALL SELECT 'operators', 'pg_operator'::regclass, o.oid FROM pg_operator o JOIN space s ON s.oid = o.oprnamespace
  UNION ALL SELECT 'publications', 'pg_publication'::regclass, oid FROM pg_publication
  UNION ALL SELECT 'range types', 'pg_type'::regclass, oid FROM kind_of_type WHERE typtype = 'r'
  UNION ALL SELECT 'security labels', classoid::regclass, objoid FROM pg_seclabel
  UNION ALL SELECT 'statistics objects', 'pg_statistic_ext'::regclass, x.oid
              FROM pg_statistic_ext x JOIN space s ON s.oid = x.stxnamespace
  UNION ALL SELECT 'subscriptions', 'pg_subscription'::regclass, u.oid
              FROM pg_subscription u JOIN pg_database b ON b.oid = u.subdbid WHERE b.datname = current_database()
  UNION ALL SELECT 'table access methods', 'pg_class'::regclass, c.oid
              FROM relation c JOIN pg_am m ON m.oid = (to_jsonb(c) ->> 'relam')::oid
             WHERE c.relkind IN ('r', 'm', 'p') AND m.amname <> 'heap'
  UNION ALL SELECT 'tablespace assignments', 'pg_class'::regclass, oid FROM relation WHERE reltablespace <> 0
  UNION ALL SELECT 'text search configurations', 'pg_ts_config'::regclass, o.oid
              FROM pg_ts_config o JOIN space s ON s.oid = o.cfgnamespace
  UNION ALL SELECT 'text search dictionaries', 'pg_ts_dict'::regclass, o.oid
              FROM pg_ts_dict o JOIN space s ON s.oid = o.dictnamespace
  UNION ALL SELECT 'text search parsers', 'pg_ts_parser'::regclass, o.oid
              FROM pg_ts_parser o JOIN space s ON s.oid = o.prsnamespace
  UNION ALL SELECT 'text search templates', 'pg_ts_template'::regclass, o.oid
              FROM pg_ts_template o JOIN space s ON s.oid = o.tmplnamespace
  UNION ALL SELECT 'transforms', 'pg_transform'::regclass, oid FROM pg_transform
  UNION ALL SELECT 'typed tables', 'pg_class'::regclass, oid FROM relation WHERE reloftype <> 0
  UNION ALL SELECT 'user mappings', 'pg_foreign_server'::regclass, srvid FROM pg_user_mappings
)

-- ---------------------------------------------------------------------------------------------------------------------
-- The document. A member without a value is absent: json_strip_nulls takes it out and leaves the order alone.
-- ---------------------------------------------------------------------------------------------------------------------
SELECT json_strip_nulls(json_build_object(
  'schema_version', '1.0',
  'database', current_database(),
  'dialect', 'postgresql',
  'server_version', split_part(current_setting('server_version'), ' ', 1),

  'schemas', coalesce((
    SELECT json_object_agg(s.nspname, json_build_object('comment', obj_description(s.oid, 'pg_namespace'))
                           ORDER BY s.nspname)
      FROM space s
     WHERE s.nspname <> 'public'
       AND NOT EXISTS (SELECT FROM member m WHERE m.classid = 'pg_namespace'::regclass AND m.objid = s.oid)), '{}'),

  'extensions', coalesce((
    SELECT json_object_agg(e.extname, json_build_object('schema', n.nspname, 'version', e.extversion,
                                                        'comment', obj_description(e.oid, 'pg_extension'))
                           ORDER BY e.extname)
      FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace
     WHERE e.extname <> 'plpgsql'), '{}'),

  'enums', coalesce((
    SELECT json_object_agg(t.key,
             CASE WHEN t.member_schema IS NULL AND obj_description(t.oid, 'pg_type') IS NULL THEN v.labels
                  ELSE json_build_object('schema', t.member_schema, 'name', t.member_name, 'values', v.labels,
                                         'comment', obj_description(t.oid, 'pg_type')) END
             ORDER BY t.key COLLATE "C")
      FROM kind_of_type t
     CROSS JOIN LATERAL (SELECT coalesce(json_agg(e.enumlabel ORDER BY e.enumsortorder), '[]') AS labels
                           FROM pg_enum e WHERE e.enumtypid = t.oid) v
     WHERE t.typtype = 'e'), '{}'),

  'domains', coalesce((
    SELECT json_object_agg(t.key, json_build_object(
             'schema', t.member_schema, 'name', t.member_name,
             'type', format_type(t.typbasetype, t.typtypmod),
             'collation', CASE WHEN t.typcollation <> b.typcollation THEN l.quoted END,
             'nullable', NOT t.typnotnull,
             'default', CASE WHEN t.typdefaultbin IS NOT NULL
                             THEN json_build_object('expression', pg_get_expr(t.typdefaultbin, 0)) END,
             'constraints', coalesce((
                SELECT json_agg(json_build_object('name', o.conname, 'definition', pg_get_constraintdef(o.oid),
                                                  'comment', obj_description(o.oid, 'pg_constraint'))
                                ORDER BY o.conname)
                  FROM pg_constraint o WHERE o.contypid = t.oid AND o.contype = 'c'), '[]'),
             'comment', obj_description(t.oid, 'pg_type')) ORDER BY t.key COLLATE "C")
      FROM kind_of_type t
      JOIN pg_type b ON b.oid = t.typbasetype
      LEFT JOIN named_collation l ON l.oid = t.typcollation
     WHERE t.typtype = 'd'), '{}'),

  'composite_types', coalesce((
    SELECT json_object_agg(t.key, json_build_object(
             'schema', t.member_schema, 'name', t.member_name,
             'attributes', coalesce((
                SELECT json_agg(json_build_object(
                         'name', a.attname, 'type', format_type(a.atttypid, a.atttypmod),
                         'collation', CASE WHEN a.attcollation <> b.typcollation THEN l.quoted END,
                         'comment', col_description(a.attrelid, a.attnum)) ORDER BY a.attnum)
                  FROM pg_attribute a
                  JOIN pg_type b ON b.oid = a.atttypid
                  LEFT JOIN named_collation l ON l.oid = a.attcollation
                 WHERE a.attrelid = t.typrelid AND a.attnum > 0 AND NOT a.attisdropped), '[]'),
             'comment', obj_description(t.oid, 'pg_type')) ORDER BY t.key COLLATE "C")
      FROM kind_of_type t JOIN pg_class c ON c.oid = t.typrelid AND c.relkind = 'c'
     WHERE t.typtype = 'c'), '{}'),

  'sequences', coalesce((
    SELECT json_object_agg(s.key, json_build_object(
             'schema', s.member_schema, 'name', s.member_name,
             'type', s.type, 'start', s.seqstart, 'increment', s.seqincrement,
                                  'min', s.seqmin, 'max', s.seqmax,
             'cache', s.seqcache, 'cycle', s.seqcycle,
             'owned_by', (SELECT json_build_object('table', c.key, 'column', a.attname)
                            FROM relation c
                            JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = s.owner_column
                           WHERE c.oid = s.owner_table),
             'unlogged', CASE WHEN s.relpersistence = 'u' THEN true END,
             'comment', obj_description(s.seqrelid, 'pg_class')) ORDER BY s.key COLLATE "C")
      FROM sequence_definition s
     WHERE s.deptype IS DISTINCT FROM 'i'), '{}'),

  'functions', coalesce((
    SELECT json_object_agg(p.key, json_build_object(
             'schema', p.member_schema, 'name', p.member_name,
             'kind', CASE p.prokind WHEN 'f' THEN 'function' WHEN 'p' THEN 'procedure'
                                    WHEN 'a' THEN 'aggregate' WHEN 'w' THEN 'window' END,
             'definition', CASE WHEN p.prokind = 'a'
                                THEN (SELECT g.definition FROM aggregate_definition g WHERE g.oid = p.oid)
                                ELSE pg_get_functiondef(p.oid) END,
             'comment', obj_description(p.oid, 'pg_proc')) ORDER BY p.key COLLATE "C")
      FROM routine p), '{}'),

  'tables', coalesce((
    SELECT json_object_agg(c.key, json_build_object(
             'schema', c.member_schema, 'name', c.member_name,
             'columns', coalesce(n.columns, '{}'),
             'constraints', json_build_object(
                'primary_key', (SELECT o.definitions -> 0 FROM relation_constraint o
                                 WHERE o.conrelid = c.oid AND o.contype = 'p'),
                'unique', coalesce((SELECT o.definitions FROM relation_constraint o
                                     WHERE o.conrelid = c.oid AND o.contype = 'u'), '[]'),
                'foreign_key', coalesce((SELECT o.definitions FROM relation_constraint o
                                          WHERE o.conrelid = c.oid AND o.contype = 'f'), '[]'),
                'check', coalesce((SELECT o.definitions FROM relation_constraint o
                                    WHERE o.conrelid = c.oid AND o.contype = 'c'), '[]'),
                'exclude', coalesce((SELECT o.definitions FROM relation_constraint o
                                      WHERE o.conrelid = c.oid AND o.contype = 'x'), '[]')),
             'indexes', coalesce(x.indexes, '[]'),
             'triggers', coalesce(g.triggers, '{}'),
             'rules', coalesce(r.rules, '{}'),
             'policies', coalesce(p.policies, '{}'),
             'row_security', CASE WHEN c.relrowsecurity THEN true END,
             'force_row_security', CASE WHEN c.relforcerowsecurity THEN true END,
             'unlogged', CASE WHEN c.relpersistence = 'u' THEN true END,
             'options', o.options,
             'inherits', CASE WHEN NOT c.relispartition THEN (
                SELECT json_agg(coalesce(k.key, i.inhparent::regclass::text) ORDER BY i.inhseqno)
                  FROM pg_inherits i LEFT JOIN relation k ON k.oid = i.inhparent WHERE i.inhrelid = c.oid) END,
             'partition_by', CASE WHEN c.relkind = 'p' THEN pg_get_partkeydef(c.oid) END,
             'partition_of', CASE WHEN c.relispartition THEN (
                SELECT json_build_object('parent', coalesce(k.key, i.inhparent::regclass::text),
                                         'bound', pg_get_expr(c.relpartbound, c.oid))
                  FROM pg_inherits i LEFT JOIN relation k ON k.oid = i.inhparent WHERE i.inhrelid = c.oid) END,
             'replica_identity', CASE c.relreplident WHEN 'f' THEN 'full' WHEN 'n' THEN 'nothing' WHEN 'i' THEN 'index' END,
             'comment', obj_description(c.oid, 'pg_class'),
             'row_count', v.row_count,
             'size_mb', coalesce(v.size_mb, 0)) ORDER BY c.key COLLATE "C")
      FROM relation c
      LEFT JOIN relation_column n ON n.attrelid = c.oid
      LEFT JOIN relation_index x ON x.indrelid = c.oid
      LEFT JOIN relation_trigger g ON g.tgrelid = c.oid
      LEFT JOIN relation_rule r ON r.ev_class = c.oid
      LEFT JOIN relation_policy p ON p.polrelid = c.oid
      LEFT JOIN relation_option o ON o.oid = c.oid
      LEFT JOIN volume v ON v.root = c.oid
     WHERE c.relkind IN ('r', 'p')), '{}'),

  'views', coalesce((
    SELECT json_object_agg(c.key, json_build_object(
             'schema', c.member_schema, 'name', c.member_name,
             'definition', pg_get_viewdef(c.oid),
             'columns', coalesce(n.names, '[]'),
             'options', o.options,
             'triggers', g.triggers,
             'rules', r.rules,
             'comment', obj_description(c.oid, 'pg_class'),
             'column_comments', n.comments,
             'column_defaults', n.defaults) ORDER BY c.key COLLATE "C")
      FROM relation c
      LEFT JOIN view_column n ON n.attrelid = c.oid
      LEFT JOIN relation_option o ON o.oid = c.oid
      LEFT JOIN relation_trigger g ON g.tgrelid = c.oid
      LEFT JOIN relation_rule r ON r.ev_class = c.oid
     WHERE c.relkind = 'v'), '{}'),

  'materialized_views', coalesce((
    SELECT json_object_agg(c.key, json_build_object(
             'schema', c.member_schema, 'name', c.member_name,
             'definition', pg_get_viewdef(c.oid),
             'columns', coalesce(n.names, '[]'),
             'indexes', coalesce(x.indexes, '[]'),
             'options', o.options,
             'populated', c.relispopulated,
             'comment', obj_description(c.oid, 'pg_class'),
             'column_comments', n.comments) ORDER BY c.key COLLATE "C")
      FROM relation c
      LEFT JOIN view_column n ON n.attrelid = c.oid
      LEFT JOIN relation_option o ON o.oid = c.oid
      LEFT JOIN relation_index x ON x.indrelid = c.oid
     WHERE c.relkind = 'm'), '{}'),

  'not_exported', coalesce((
    SELECT json_agg(json_build_object('kind', k.kind, 'count', k.number) ORDER BY k.kind COLLATE "C")
      FROM (SELECT l.kind, count(*) AS number
              FROM left_out l
             WHERE NOT EXISTS (SELECT FROM member m WHERE m.classid = l.class AND m.objid = l.oid)
             GROUP BY l.kind) k), '[]')
));

COMMIT;

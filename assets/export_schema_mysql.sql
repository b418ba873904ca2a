-- Exports the schema of one MariaDB (10.6 or later) or MySQL (8.0 or later) database as one JSON document on standard output:
--     mariadb -N -B -r DATABASE < export_schema_mysql.sql > schema.json        (or mysql with the same options)
-- It only reads information_schema and sequences; no table row is touched. The form of the document is
-- assets/schemas/database_schema.schema.json. Left out: tables named _migration_archive_... (what a migration keeps for its
-- undo), and the DEFINER of views and routines. What exists but is not carried stands in "not_exported".
--
-- The text is put together by hand and not by JSON_OBJECT: MySQL would sort the members, and its JSON_ARRAYAGG has no order.
-- Names are compared and sorted as bytes, since information_schema takes `a` and `A` for one. Where the two servers differ,
-- /*M! ... */ holds what only MariaDB reads and /*!80000 ... */ what only MySQL 8 reads.
SET NAMES utf8mb4;
-- GROUP_CONCAT cuts its result off here, with no more than a warning
SET SESSION sql_mode = '', SESSION group_concat_max_len = 4294967295
  /*!80000 , SESSION information_schema_stats_expiry = 0 */;
SET @mariadb = 0 /*M!100600 + 1 */;
-- the texts of views name the database before every table; the document must not
SET @database_prefix = CONCAT('`', REPLACE(DATABASE(), '`', '``'), '`.');

-- ---------------------------------------------------------------------------------------------------------------------
-- Tables. Every part is folded into one text per table, joined by the bytes of the table's name.
-- ---------------------------------------------------------------------------------------------------------------------
SELECT GROUP_CONCAT(
         JSON_QUOTE(t.table_name), ':{"columns":{', COALESCE(part_columns.members, ''), '},"constraints":{',
         COALESCE(CONCAT('"primary_key":', part_indexes.primary_key, ','), ''),
         '"unique":[],"foreign_key":[', COALESCE(part_foreign_keys.members, ''),
         '],"check":[', COALESCE(part_checks.members, ''), ']},"indexes":[', COALESCE(part_indexes.members, ''),
         '],"triggers":{', COALESCE(part_triggers.members, ''), '}',
         COALESCE(CONCAT(',"partition_by":', JSON_QUOTE(part_partitions.method),
                         ',"partitions":[', part_partitions.members, ']'), ''),
         COALESCE(CONCAT(',"engine":', JSON_QUOTE(t.engine)), ''),
         COALESCE(CONCAT(',"charset":', JSON_QUOTE(SUBSTRING_INDEX(t.table_collation, '_', 1)),
                         ',"collation":', JSON_QUOTE(t.table_collation)), ''),
         COALESCE(CONCAT(',"options":{"create_options":', JSON_QUOTE(NULLIF(TRIM(
           REPLACE(t.create_options, 'partitioned', '')), '')), '}'), ''),
         COALESCE(CONCAT(',"comment":', JSON_QUOTE(NULLIF(t.table_comment, ''))), ''),
         COALESCE(CONCAT(',"row_count":', t.table_rows), ''),
         ',"size_mb":', ROUND(COALESCE(t.data_length + t.index_length, 0) / 1048576, 2), '}'
         ORDER BY HEX(t.table_name) SEPARATOR ',') INTO @tables
  FROM information_schema.tables t

  -- Columns. An "expression" can stand after DEFAULT as it is: MariaDB keeps the text of an expression (and the word NULL
  -- for a column without default), MySQL the bare value of a literal, and a mark in EXTRA where it is an expression.
  LEFT JOIN (
      SELECT HEX(c.table_name) AS id,
             GROUP_CONCAT(
               JSON_QUOTE(c.column_name), ':{"type":', JSON_QUOTE(c.column_type),
               ',"nullable":', IF(c.is_nullable = 'YES', 'true', 'false'),
               COALESCE(CONCAT(',"default":{"expression":', JSON_QUOTE(CASE
                 WHEN COALESCE(c.generation_expression, '') <> '' OR c.column_default IS NULL THEN NULL
                 WHEN @mariadb THEN NULLIF(REPLACE(c.column_default, CONCAT('nextval(', @database_prefix), 'nextval('), 'NULL')
                 WHEN c.extra LIKE '%DEFAULT_GENERATED%' THEN
                   IF(c.column_default REGEXP '^(CURRENT_TIMESTAMP|NOW)', c.column_default,
                      CONCAT('(', REPLACE(c.column_default, '\\''', ''''), ')'))
                 WHEN c.data_type IN ('tinyint', 'smallint', 'mediumint', 'int', 'bigint', 'decimal', 'float', 'double',
                                      'bit', 'year') THEN c.column_default
                 WHEN c.data_type IN ('binary', 'varbinary') AND c.column_default LIKE '0x%' THEN c.column_default
                 ELSE CONCAT('''', REPLACE(REPLACE(c.column_default, '\\', '\\\\'), '''', ''''''), '''')
               END), '}'), ''),
               IF(c.extra LIKE '%auto_increment%', ',"auto_increment":true', ''),
               COALESCE(CONCAT(',"generated":', JSON_QUOTE(NULLIF(
                 IF(@mariadb, c.generation_expression, REPLACE(c.generation_expression, '\\''', '''')), ''))), ''),
               CASE WHEN c.extra LIKE '%VIRTUAL GENERATED%' THEN ',"generated_kind":"virtual"'
                    WHEN c.extra LIKE '%STORED GENERATED%' THEN ',"generated_kind":"stored"' ELSE '' END,
               IF(c.extra LIKE '%on update %', CONCAT(',"on_update":', JSON_QUOTE(TRIM(TRAILING ',' FROM TRIM(
                 SUBSTRING_INDEX(SUBSTRING_INDEX(LOWER(c.extra), 'on update ', -1), 'invisible', 1))))), ''),
               IF(c.extra LIKE '%INVISIBLE%', ',"invisible":true', ''),
               COALESCE(CONCAT(',"charset":', JSON_QUOTE(
                 IF(c.character_set_name <> SUBSTRING_INDEX(t.table_collation, '_', 1), c.character_set_name, NULL))), ''),
               COALESCE(CONCAT(',"collation":', JSON_QUOTE(
                 IF(c.collation_name <> t.table_collation, c.collation_name, NULL))), ''),
               COALESCE(CONCAT(',"check":', JSON_QUOTE(k.check_clause)), ''),
               COALESCE(CONCAT(',"comment":', JSON_QUOTE(NULLIF(c.column_comment, ''))), '')
               /*!80000 , COALESCE(CONCAT(',"srid":', c.srs_id), '') */ , '}'
               ORDER BY c.ordinal_position SEPARATOR ',') AS members
        FROM information_schema.columns c
        JOIN information_schema.tables t ON t.table_schema = DATABASE() AND HEX(t.table_name) = HEX(c.table_name)
         AND t.table_type IN ('BASE TABLE', 'SYSTEM VERSIONED')
        -- only MariaDB has checks that belong to a column, as the one that makes longtext a JSON column
        LEFT JOIN (
          SELECT '' AS table_name, '' AS constraint_name, '' AS check_clause FROM DUAL WHERE FALSE
          /*M!100600 UNION ALL SELECT table_name, constraint_name, check_clause FROM information_schema.check_constraints
                      WHERE constraint_schema = DATABASE() AND level = 'Column' */
        ) k ON HEX(k.table_name) = HEX(c.table_name) AND k.constraint_name = c.column_name
       WHERE c.table_schema = DATABASE()
       GROUP BY HEX(c.table_name)
  ) part_columns ON part_columns.id = HEX(t.table_name)

  -- Indexes, unique ones included: the servers know no other kind of unique constraint.
  LEFT JOIN (
      SELECT i.id,
             MAX(IF(i.name = 'PRIMARY', CONCAT('{"columns":[', i.columns, ']',
               COALESCE(CONCAT(',"lengths":{', i.lengths, '}'), ''),
               COALESCE(CONCAT(',"comment":', JSON_QUOTE(NULLIF(i.comment, ''))), ''), '}'), NULL)) AS primary_key,
             GROUP_CONCAT(IF(i.name = 'PRIMARY', NULL, CONCAT(
               '{"name":', JSON_QUOTE(i.name),
               ',"definition":', JSON_QUOTE(CONCAT(
                 'CREATE ', CASE WHEN i.method = 'fulltext' THEN 'FULLTEXT ' WHEN i.method IN ('spatial', 'rtree') THEN 'SPATIAL '
                                 WHEN i.is_unique THEN 'UNIQUE ' ELSE '' END,
                 'INDEX `', REPLACE(i.name, '`', '``'), '` ON `', REPLACE(i.table_name, '`', '``'), '` (', i.terms, ')',
                 IF(i.method = 'hash', ' USING HASH', ''),
                 COALESCE(CONCAT(' COMMENT ''', REPLACE(REPLACE(NULLIF(i.comment, ''), '\\', '\\\\'), '''', ''''''), ''''), ''),
                 IF(i.hidden, IF(@mariadb, ' IGNORED', ' INVISIBLE'), ''))),
               ',"unique":', IF(i.is_unique, 'true', 'false'), ',"method":', JSON_QUOTE(i.method),
               ',"columns":[', i.columns, ']',
               COALESCE(CONCAT(',"lengths":{', i.lengths, '}'), ''),
               COALESCE(CONCAT(',"descending":[', i.descending, ']'), ''),
               IF(i.hidden, ',"invisible":true', ''),
               COALESCE(CONCAT(',"comment":', JSON_QUOTE(NULLIF(i.comment, ''))), ''), '}'))
               ORDER BY HEX(i.name) SEPARATOR ',') AS members
        FROM (
          SELECT HEX(s.table_name) AS id, MIN(s.table_name) AS table_name, MIN(s.index_name) AS name,
                 MIN(s.non_unique) = 0 AS is_unique, LOWER(MIN(s.index_type)) AS method, MIN(s.index_comment) AS comment,
                 MAX(0 /*M!100600 + (s.ignored = 'YES') */ /*!80000 + (s.is_visible = 'NO') */) AS hidden,
                 GROUP_CONCAT(JSON_QUOTE(s.term) ORDER BY s.seq_in_index SEPARATOR ',') AS columns,
                 GROUP_CONCAT(CONCAT(JSON_QUOTE(s.column_name), ':', s.prefix) ORDER BY s.seq_in_index SEPARATOR ',') AS lengths,
                 GROUP_CONCAT(IF(s.collation = 'D', JSON_QUOTE(s.term), NULL) ORDER BY s.seq_in_index SEPARATOR ',') AS descending,
                 GROUP_CONCAT(IF(s.column_name IS NULL, s.term, CONCAT('`', REPLACE(s.column_name, '`', '``'), '`')),
                              IF(s.prefix IS NULL, '', CONCAT('(', s.prefix, ')')), IF(s.collation = 'D', ' DESC', '')
                              ORDER BY s.seq_in_index SEPARATOR ', ') AS terms
            FROM (SELECT x.*, IF(x.index_type IN ('SPATIAL', 'RTREE'), NULL, x.sub_part) AS prefix,
                         COALESCE(x.column_name /*!80013 , CONCAT('(', REPLACE(x.expression, '\\''', ''''), ')') */) AS term
                    FROM information_schema.statistics x WHERE x.table_schema = DATABASE()) s
           GROUP BY HEX(s.table_name), HEX(s.index_name)
        ) i
       GROUP BY i.id
  ) part_indexes ON part_indexes.id = HEX(t.table_name)

  -- Foreign keys. InnoDB treats RESTRICT and NO ACTION alike, so neither is said.
  LEFT JOIN (
      SELECT f.id, GROUP_CONCAT('{"name":', JSON_QUOTE(f.name), ',"columns":[', f.columns,
               '],"references":{"table":', JSON_QUOTE(f.target), ',"columns":[', f.target_columns, ']}',
               COALESCE(CONCAT(',"on_delete":', JSON_QUOTE(f.on_delete)), ''),
               COALESCE(CONCAT(',"on_update":', JSON_QUOTE(f.on_update)), ''),
               ',"definition":', JSON_QUOTE(CONCAT(
                 'FOREIGN KEY (', f.quoted, ') REFERENCES ', f.quoted_target, ' (', f.quoted_target_columns, ')',
                 COALESCE(CONCAT(' ON DELETE ', f.on_delete), ''), COALESCE(CONCAT(' ON UPDATE ', f.on_update), ''))), '}'
               ORDER BY HEX(f.name) SEPARATOR ',') AS members
        FROM (
          SELECT HEX(u.table_name) AS id, MIN(u.constraint_name) AS name,
                 CONCAT(MIN(IF(HEX(u.referenced_table_schema) = HEX(DATABASE()), '', CONCAT(u.referenced_table_schema, '.'))),
                        MIN(u.referenced_table_name)) AS target,
                 CONCAT(MIN(IF(HEX(u.referenced_table_schema) = HEX(DATABASE()), '',
                               CONCAT('`', REPLACE(u.referenced_table_schema, '`', '``'), '`.'))),
                        '`', REPLACE(MIN(u.referenced_table_name), '`', '``'), '`') AS quoted_target,
                 MIN(IF(r.delete_rule IN ('RESTRICT', 'NO ACTION'), NULL, r.delete_rule)) AS on_delete,
                 MIN(IF(r.update_rule IN ('RESTRICT', 'NO ACTION'), NULL, r.update_rule)) AS on_update,
                 GROUP_CONCAT(JSON_QUOTE(u.column_name) ORDER BY u.ordinal_position SEPARATOR ',') AS columns,
                 GROUP_CONCAT(JSON_QUOTE(u.referenced_column_name) ORDER BY u.ordinal_position SEPARATOR ',') AS target_columns,
                 GROUP_CONCAT('`', REPLACE(u.column_name, '`', '``'), '`'
                              ORDER BY u.ordinal_position SEPARATOR ', ') AS quoted,
                 GROUP_CONCAT('`', REPLACE(u.referenced_column_name, '`', '``'), '`'
                              ORDER BY u.ordinal_position SEPARATOR ', ') AS quoted_target_columns
            FROM information_schema.key_column_usage u
            JOIN information_schema.referential_constraints r ON r.constraint_schema = DATABASE()
             AND HEX(r.constraint_name) = HEX(u.constraint_name) AND HEX(r.table_name) = HEX(u.table_name)
           WHERE u.table_schema = DATABASE() AND u.referenced_table_name IS NOT NULL
           GROUP BY HEX(u.table_name), HEX(u.constraint_name)
        ) f
       GROUP BY f.id
  ) part_foreign_keys ON part_foreign_keys.id = HEX(t.table_name)

  LEFT JOIN (
      SELECT HEX(k.table_name) AS id, GROUP_CONCAT('{"name":', JSON_QUOTE(k.constraint_name), ',"expression":',
               JSON_QUOTE(IF(@mariadb, k.check_clause, REPLACE(k.check_clause, '\\''', ''''))),
               IF(k.enforced, '', ',"enforced":false'), '}' ORDER BY HEX(k.constraint_name) SEPARATOR ',') AS members
        FROM (
          SELECT '' AS table_name, '' AS constraint_name, '' AS check_clause, TRUE AS enforced FROM DUAL WHERE FALSE
          /*M!100600 UNION ALL
          SELECT c.table_name, c.constraint_name, c.check_clause, TRUE
            FROM information_schema.check_constraints c WHERE c.constraint_schema = DATABASE() AND c.level = 'Table' */
          /*!80016 UNION ALL
          SELECT o.table_name, c.constraint_name, c.check_clause, o.enforced = 'YES'
            FROM information_schema.check_constraints c
            JOIN information_schema.table_constraints o ON o.constraint_schema = c.constraint_schema
             AND o.constraint_name = c.constraint_name AND o.constraint_type = 'CHECK'
           WHERE c.constraint_schema = DATABASE() */
        ) k
       GROUP BY HEX(k.table_name)
  ) part_checks ON part_checks.id = HEX(t.table_name)

  LEFT JOIN (
      SELECT HEX(g.event_object_table) AS id, GROUP_CONCAT(JSON_QUOTE(g.trigger_name), ':{"definition":', JSON_QUOTE(CONCAT(
               'CREATE TRIGGER `', REPLACE(g.trigger_name, '`', '``'), '` ', g.action_timing, ' ', g.event_manipulation,
               ' ON `', REPLACE(g.event_object_table, '`', '``'), '` FOR EACH ROW ',
               COALESCE(CONCAT('FOLLOWS `', REPLACE(b.trigger_name, '`', '``'), '` '), ''), g.action_statement)),
               COALESCE(CONCAT(',"follows":', JSON_QUOTE(b.trigger_name)), ''), '}'
               ORDER BY HEX(g.trigger_name) SEPARATOR ',') AS members
        FROM information_schema.triggers g
        LEFT JOIN information_schema.triggers b ON b.trigger_schema = DATABASE()
         AND HEX(b.event_object_table) = HEX(g.event_object_table) AND b.action_timing = g.action_timing
         AND b.event_manipulation = g.event_manipulation AND b.action_order = g.action_order - 1
       WHERE g.trigger_schema = DATABASE()
       GROUP BY HEX(g.event_object_table)
  ) part_triggers ON part_triggers.id = HEX(t.table_name)

  LEFT JOIN (
      SELECT p.id, CONCAT(MIN(p.method), COALESCE(CONCAT(' SUBPARTITION BY ', MIN(p.submethod),
                    ' SUBPARTITIONS ', MAX(p.subparts)), '')) AS method,
             GROUP_CONCAT('{"name":', JSON_QUOTE(p.name), COALESCE(CONCAT(',"values":', JSON_QUOTE(p.bound)), ''),
                          COALESCE(CONCAT(',"subpartitions":[', p.subnames, ']'), ''), '}'
                          ORDER BY p.position SEPARATOR ',') AS members
        FROM (
          SELECT HEX(x.table_name) AS id, MIN(x.partition_ordinal_position) AS position, MIN(x.partition_name) AS name,
                 CONCAT(MIN(x.partition_method), ' (', COALESCE(MIN(x.partition_expression), ''), ')') AS method,
                 CONCAT(MIN(x.subpartition_method), ' (', MIN(x.subpartition_expression), ')') AS submethod,
                 COUNT(x.subpartition_name) AS subparts,
                 GROUP_CONCAT(JSON_QUOTE(x.subpartition_name)
                              ORDER BY x.subpartition_ordinal_position SEPARATOR ',') AS subnames,
                 CASE WHEN MIN(x.partition_method) LIKE 'RANGE%'
                      THEN IF(MIN(x.partition_description) = 'MAXVALUE' AND MIN(x.partition_method) = 'RANGE',
                              'LESS THAN MAXVALUE', CONCAT('LESS THAN (', MIN(x.partition_description), ')'))
                      WHEN MIN(x.partition_method) LIKE 'LIST%'
                      THEN IF(MIN(x.partition_description) = 'DEFAULT', 'DEFAULT',
                              CONCAT('IN (', MIN(x.partition_description), ')'))
                 END AS bound
            FROM information_schema.partitions x
           WHERE x.table_schema = DATABASE() AND x.partition_name IS NOT NULL
           GROUP BY HEX(x.table_name), HEX(x.partition_name)
        ) p
       GROUP BY p.id
  ) part_partitions ON part_partitions.id = HEX(t.table_name)
 WHERE t.table_schema = DATABASE() AND t.table_type IN ('BASE TABLE', 'SYSTEM VERSIONED')
   AND t.table_name NOT LIKE '\_migration\_archive%';

-- ---------------------------------------------------------------------------------------------------------------------
-- Views
-- ---------------------------------------------------------------------------------------------------------------------
SELECT GROUP_CONCAT(
         JSON_QUOTE(v.table_name), ':{"definition":', JSON_QUOTE(REPLACE(v.view_definition, @database_prefix, '')),
         COALESCE(CONCAT(',"columns":[', (          -- a view that no longer works has none
           SELECT GROUP_CONCAT(JSON_QUOTE(c.column_name) ORDER BY c.ordinal_position SEPARATOR ',')
             FROM information_schema.columns c
            WHERE c.table_schema = DATABASE() AND HEX(c.table_name) = HEX(v.table_name)), ']'), ''),
         COALESCE(CONCAT(',"options":{', NULLIF(CONCAT_WS(',',
           /*M!100600 IF(v.algorithm = 'UNDEFINED', NULL, CONCAT('"algorithm":', JSON_QUOTE(LOWER(v.algorithm)))), */
           IF(v.security_type = 'DEFINER', NULL, CONCAT('"security":', JSON_QUOTE(LOWER(v.security_type)))),
           IF(v.check_option = 'NONE', NULL, CONCAT('"check_option":', JSON_QUOTE(LOWER(v.check_option))))), ''), '}'), ''),
         '}' ORDER BY HEX(v.table_name) SEPARATOR ',') INTO @views
  FROM information_schema.views v
 WHERE v.table_schema = DATABASE() AND v.table_name NOT LIKE '\_migration\_archive%' AND v.view_definition <> '';

-- ---------------------------------------------------------------------------------------------------------------------
-- Routines and events
-- ---------------------------------------------------------------------------------------------------------------------
SELECT GROUP_CONCAT(IF(x.routine_type = 'FUNCTION', x.member, NULL) ORDER BY x.id SEPARATOR ','),
       GROUP_CONCAT(IF(x.routine_type = 'PROCEDURE', x.member, NULL) ORDER BY x.id SEPARATOR ',')
  INTO @functions, @procedures
  FROM (
    SELECT r.routine_type, HEX(r.routine_name) AS id,
           CONCAT(JSON_QUOTE(r.routine_name), ':{"kind":', JSON_QUOTE(LOWER(r.routine_type)), ',"definition":', JSON_QUOTE(CONCAT(
             'CREATE ', r.routine_type, ' `', REPLACE(r.routine_name, '`', '``'), '`(',
             COALESCE((SELECT GROUP_CONCAT(IF(r.routine_type = 'FUNCTION', '', CONCAT(p.parameter_mode, ' ')),
                              '`', REPLACE(p.parameter_name, '`', '``'), '` ', p.dtd_identifier,
                              IF(p.character_set_name <> SUBSTRING_INDEX(r.database_collation, '_', 1),
                                 CONCAT(' CHARSET ', p.character_set_name), '')
                              ORDER BY p.ordinal_position SEPARATOR ', ')
                         FROM information_schema.parameters p
                        WHERE p.specific_schema = DATABASE() AND p.routine_type = r.routine_type
                          AND HEX(p.specific_name) = HEX(r.specific_name) AND p.ordinal_position > 0), ''), ')',
             IF(r.routine_type = 'FUNCTION', CONCAT(' RETURNS ', r.dtd_identifier,
                IF(r.character_set_name <> SUBSTRING_INDEX(r.database_collation, '_', 1),
                   CONCAT(' CHARSET ', r.character_set_name), '')), ''), '\n',
             IF(r.sql_data_access = 'CONTAINS SQL', '', CONCAT('    ', r.sql_data_access, '\n')),
             IF(r.is_deterministic = 'YES', '    DETERMINISTIC\n', ''),
             IF(r.security_type = 'INVOKER', '    SQL SECURITY INVOKER\n', ''),
             IF(r.routine_comment = '', '', CONCAT('    COMMENT ''',
                REPLACE(REPLACE(r.routine_comment, '\\', '\\\\'), '''', ''''''), '''\n')),
             r.routine_definition)),
           COALESCE(CONCAT(',"comment":', JSON_QUOTE(NULLIF(r.routine_comment, ''))), ''), '}') AS member
      FROM information_schema.routines r
     WHERE r.routine_schema = DATABASE() AND r.routine_type IN ('FUNCTION', 'PROCEDURE')
       AND r.routine_name NOT LIKE '\_migration\_archive%' AND r.routine_definition IS NOT NULL
  ) x;

SELECT GROUP_CONCAT(
         JSON_QUOTE(e.event_name), ':{"definition":', JSON_QUOTE(CONCAT(
           'CREATE EVENT `', REPLACE(e.event_name, '`', '``'), '` ON SCHEDULE ',
           IF(e.event_type = 'ONE TIME', CONCAT('AT ''', e.execute_at, ''''),
              CONCAT('EVERY ', e.interval_value, ' ', e.interval_field,
                     COALESCE(CONCAT(' STARTS ''', e.starts, ''''), ''), COALESCE(CONCAT(' ENDS ''', e.ends, ''''), ''))),
           ' ON COMPLETION ', e.on_completion,
           CASE e.status WHEN 'ENABLED' THEN ' ENABLE' WHEN 'DISABLED' THEN ' DISABLE' ELSE ' DISABLE ON SLAVE' END,
           IF(e.event_comment = '', '', CONCAT(' COMMENT ''',
              REPLACE(REPLACE(e.event_comment, '\\', '\\\\'), '''', ''''''), '''')),
           ' DO ', e.event_definition)),
         COALESCE(CONCAT(',"comment":', JSON_QUOTE(NULLIF(e.event_comment, ''))), ''), '}'
         ORDER BY HEX(e.event_name) SEPARATOR ',') INTO @events
  FROM information_schema.events e
 WHERE e.event_schema = DATABASE() AND e.event_name NOT LIKE '\_migration\_archive%';

-- ---------------------------------------------------------------------------------------------------------------------
-- Sequences, which MariaDB has. Each holds its own options, so one statement is made that reads them all.
-- ---------------------------------------------------------------------------------------------------------------------
SELECT GROUP_CONCAT('SELECT ', QUOTE(t.table_name), ' AS name, CONCAT(\'"start":\', start_value, \',"increment":\', increment, '
         '\',"min":\', minimum_value, \',"max":\', maximum_value, \',"cache":\', cache_size, '
         '\',"cycle":\', IF(cycle_option, \'true\', \'false\')) AS members FROM `', REPLACE(t.table_name, '`', '``'), '`'
         SEPARATOR ' UNION ALL ') INTO @each_sequence
  FROM information_schema.tables t
 WHERE t.table_schema = DATABASE() AND t.table_type = 'SEQUENCE' AND t.table_name NOT LIKE '\_migration\_archive%';
SET @all_sequences = CONCAT(
  'SELECT GROUP_CONCAT(JSON_QUOTE(s.name), \':{\', s.members, \'}\' ORDER BY HEX(s.name) SEPARATOR \',\') INTO @sequences FROM (',
  COALESCE(@each_sequence, 'SELECT \'\' AS name, \'\' AS members FROM DUAL WHERE FALSE'), ') s');
PREPARE read_sequences FROM @all_sequences;
EXECUTE read_sequences;
DEALLOCATE PREPARE read_sequences;

-- ---------------------------------------------------------------------------------------------------------------------
-- What exists and is not carried
-- ---------------------------------------------------------------------------------------------------------------------
SELECT GROUP_CONCAT('{"kind":', JSON_QUOTE(n.kind), ',"count":', n.number, '}' ORDER BY n.kind SEPARATOR ',') INTO @not_exported
  FROM (
    SELECT 'grants' AS kind, COUNT(*) AS number FROM (
      SELECT grantee FROM information_schema.schema_privileges WHERE table_schema = DATABASE()
      UNION ALL SELECT grantee FROM information_schema.table_privileges WHERE table_schema = DATABASE()
      UNION ALL SELECT grantee FROM information_schema.column_privileges WHERE table_schema = DATABASE()) g
    UNION ALL
    SELECT 'routines that this account may not read', COUNT(*) FROM information_schema.routines
     WHERE routine_schema = DATABASE() AND routine_type IN ('FUNCTION', 'PROCEDURE') AND routine_definition IS NULL
    UNION ALL
    SELECT 'views that this account may not read', COUNT(*) FROM information_schema.views
     WHERE table_schema = DATABASE() AND COALESCE(view_definition, '') = ''
    UNION ALL
    SELECT 'packages', COUNT(*) FROM information_schema.routines
     WHERE routine_schema = DATABASE() AND routine_type NOT IN ('FUNCTION', 'PROCEDURE')
    UNION ALL
    SELECT 'system versioning of tables', COUNT(*) FROM information_schema.tables
     WHERE table_schema = DATABASE() AND table_type = 'SYSTEM VERSIONED'
  ) n
 WHERE n.number > 0;

SELECT CONCAT(
  '{"schema_version":"1.0","database":', JSON_QUOTE(DATABASE()), ',"dialect":"mysql","server_version":', JSON_QUOTE(VERSION()),
  (SELECT CONCAT(',"charset":', JSON_QUOTE(default_character_set_name), ',"collation":', JSON_QUOTE(default_collation_name))
     FROM information_schema.schemata WHERE HEX(schema_name) = HEX(DATABASE())),
  ',"sequences":{', COALESCE(@sequences, ''), '},"functions":{', COALESCE(@functions, ''),
  '},"procedures":{', COALESCE(@procedures, ''), '},"events":{', COALESCE(@events, ''),
  '},"tables":{', COALESCE(@tables, ''), '},"views":{', COALESCE(@views, ''),
  '},"not_exported":[', COALESCE(@not_exported, ''), ']}');

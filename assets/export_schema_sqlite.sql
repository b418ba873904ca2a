-- Exports the schema of one SQLite database as one JSON document on standard output (sqlite3 command line 3.38 or later):
--     sqlite3 FILE < export_schema_sqlite.sql > schema.json
-- It only reads the schema; no row of a user's table is touched. The form of the document is
-- assets/schemas/database_schema.schema.json. Left out: SQLite's own tables, the shadow tables of virtual tables, and the
-- tables named _migration_archive_... (what a migration keeps for its undo).
--
-- The pragmas do not tell everything: CHECK, COLLATE, AUTOINCREMENT, generated expressions, constraint names, DEFERRABLE,
-- ON CONFLICT, the terms of an expression index and its WHERE stand only in the text that sqlite_schema keeps. So the text is
-- cut into tokens here. The text itself goes along as "sql". SQLite keeps no row counts that a query could rely on, so the
-- document has no "row_count" and no "size_mb".
.headers off
.mode list
.nullvalue ''

WITH RECURSIVE
-- ---------------------------------------------------------------------------------------------------------------------
-- What belongs to the user
-- ---------------------------------------------------------------------------------------------------------------------
entry AS MATERIALIZED (
  SELECT s.rowid AS id, s.type, s.name, s.tbl_name, s.sql, l.type AS table_type, l.wr, l.strict
    FROM main.sqlite_schema s
    LEFT JOIN pragma_table_list l ON l.schema = 'main' AND l.name = s.name AND s.type IN ('table', 'view')
   WHERE s.sql IS NOT NULL
     AND s.name NOT LIKE 'sqlite\_%' ESCAPE '\'
     AND s.name NOT LIKE '\_migration\_archive%' ESCAPE '\' AND s.tbl_name NOT LIKE '\_migration\_archive%' ESCAPE '\'
     AND coalesce(l.type, '') <> 'shadow'
),
-- pragmas run only on ordinary tables: asked about a view that no longer works, they end the whole query
ordinary AS MATERIALIZED (SELECT * FROM entry WHERE type = 'table' AND table_type = 'table'),

-- ---------------------------------------------------------------------------------------------------------------------
-- Tokens: blanks, comments, quoted names and strings (with their doubled quotes), words, and single characters. Each step
-- of the recursion either measures the token at the front of the tail, or cuts it off.
-- ---------------------------------------------------------------------------------------------------------------------
alphabet(blank, word) AS (
  VALUES (char(9, 10, 11, 12, 13, 32), '0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_$')
),
cut(id, position, tail, span) AS (
  SELECT id, 1, sql, NULL FROM entry WHERE type IN ('view', 'index') OR id IN (SELECT id FROM ordinary)
  UNION ALL
  SELECT c.id, c.position + coalesce(c.span, 0),
         CASE WHEN c.span IS NULL THEN c.tail ELSE substr(c.tail, c.span + 1) END,
         CASE
           WHEN c.span IS NOT NULL THEN NULL
           WHEN instr(a.blank, substr(c.tail, 1, 1)) THEN length(c.tail) - length(ltrim(c.tail, a.blank))
           WHEN substr(c.tail, 1, 2) = '--' THEN instr(c.tail || char(10), char(10))
           WHEN substr(c.tail, 1, 2) = '/*' THEN instr(substr(c.tail, 3) || '*/', '*/') + 3
           WHEN substr(c.tail, 1, 1) IN ('''', '"', '`')
           THEN 1 + instr(replace(substr(c.tail, 2), substr(c.tail, 1, 1) || substr(c.tail, 1, 1), char(1, 1))
                          || substr(c.tail, 1, 1), substr(c.tail, 1, 1))
           WHEN substr(c.tail, 1, 1) = '[' THEN instr(c.tail || ']', ']')
           WHEN instr(a.word, substr(c.tail, 1, 1)) THEN length(c.tail) - length(ltrim(c.tail, a.word))
           ELSE 1
         END
    FROM cut c, alphabet a
   WHERE c.tail <> ''
),
lexeme(id, position, text, mark) AS (
  SELECT c.id, c.position, substr(c.tail, 1, c.span), substr(c.tail, 1, 1)
    FROM cut c, alphabet a
   WHERE c.span > 0 AND NOT instr(a.blank, substr(c.tail, 1, 1)) AND substr(c.tail, 1, 2) NOT IN ('--', '/*')
),
-- word: what a keyword is compared with; plain: the name without its quotes; level: parentheses around the token
spelled AS (
  SELECT id, position, text,
         CASE WHEN mark IN ('''', '"', '`', '[') THEN text ELSE upper(text) END AS word,
         CASE WHEN mark IN ('''', '"', '`') THEN replace(substr(text, 2, length(text) - 2), mark || mark, mark)
              WHEN mark = '[' THEN substr(text, 2, length(text) - 2) ELSE text END AS plain,
         sum((text = '(') - (text = ')')) OVER (PARTITION BY id ORDER BY position) - (text = '(') AS level
    FROM lexeme
),
-- item: which column or table constraint (in an index: which term); close: where the parenthesis that opens here ends
token AS MATERIALIZED (
  SELECT id, position, text, word, plain, level,
         sum(text = ',' AND level = 1) OVER (PARTITION BY id ORDER BY position) AS item,
         lag(word) OVER near AS before_1, lag(word, 2) OVER near AS before_2,
         lag(plain) OVER near AS name_before, lead(word) OVER near AS after_1, lead(word, 2) OVER near AS after_2,
         lead(plain) OVER near AS name_after, lead(position) OVER near AS next_position,
         lead(position) OVER (PARTITION BY id, level, text IN ('(', ')') ORDER BY position) AS close
    FROM spelled
  WINDOW near AS (PARTITION BY id ORDER BY position)
),

-- ---------------------------------------------------------------------------------------------------------------------
-- Constraints, as the text of the table has them, in its order
-- ---------------------------------------------------------------------------------------------------------------------
constraint_start AS MATERIALIZED (
  SELECT t.id, t.item, t.position, t.word, t.after_1, t.next_position,
         CASE WHEN t.before_2 = 'CONSTRAINT' THEN t.name_before END AS name,
         lead(t.position, 1, 1 << 60) OVER (PARTITION BY t.id ORDER BY t.position) AS finish
    FROM token t
   WHERE t.level = 1 AND t.id IN (SELECT id FROM ordinary)
     AND (t.word IN ('UNIQUE', 'CHECK', 'REFERENCES') OR t.word IN ('PRIMARY', 'FOREIGN') AND t.after_1 = 'KEY'
          OR t.word = 'NOT' AND t.after_1 = 'NULL' OR t.word = 'DEFAULT')
),
conflict AS MATERIALIZED (
  SELECT s.id, s.position, lower(t.name_after) AS answer
    FROM constraint_start s
    JOIN token t ON t.id = s.id AND t.level = 1 AND t.item = s.item AND t.position > s.position AND t.position < s.finish
   WHERE t.word = 'CONFLICT' AND t.before_1 = 'ON'
),
enclosed AS MATERIALIZED (
  SELECT s.id, s.item, s.position, s.name, s.word, o.position AS open, o.close,
         trim(substr(e.sql, o.position + 1, o.close - o.position - 1)) AS body
    FROM constraint_start s
    JOIN token o ON o.id = s.id AND o.position = s.next_position AND o.text = '('
    JOIN entry e ON e.id = s.id
   WHERE s.word IN ('CHECK', 'UNIQUE')
),
column_fact AS MATERIALIZED (
  SELECT e.id, e.name AS table_name, x.cid, x.name, x.type, x."notnull", x.dflt_value, x.pk, x.hidden,
         (SELECT t.name_after FROM token t
           WHERE t.id = e.id AND t.item = x.cid AND t.level = 1 AND t.word = 'COLLATE'
           ORDER BY t.position DESC LIMIT 1) AS collation,
         EXISTS (SELECT 1 FROM token t
                  WHERE t.id = e.id AND t.item = x.cid AND t.level = 1 AND t.word = 'AUTOINCREMENT') AS counted,
         (SELECT trim(substr(e.sql, o.position + 1, o.close - o.position - 1))
            FROM token t JOIN token o ON o.id = t.id AND o.position = t.next_position
           WHERE t.id = e.id AND t.item = x.cid AND t.level = 1 AND t.word = 'AS' AND o.text = '(') AS generated,
         EXISTS (SELECT 1 FROM token t WHERE t.id = e.id AND t.item = x.cid AND t.level = 1
                    AND t.word = 'DEFAULT' AND t.after_1 = '(') AS wrapped,
         (SELECT c.answer FROM conflict c JOIN constraint_start s ON s.id = c.id AND s.position = c.position
           WHERE c.id = e.id AND s.item = x.cid AND s.word = 'NOT') AS on_null
    FROM ordinary e, pragma_table_xinfo(e.name, 'main') x
),
key_part AS MATERIALIZED (SELECT id, name, pk FROM column_fact WHERE pk > 0),
-- the list of foreign keys counts backwards through the REFERENCES of the text
reference_start AS MATERIALIZED (
  SELECT s.*, count(*) OVER (PARTITION BY s.id ORDER BY s.position DESC) - 1 AS number,
         lead(s.position, 1, 1 << 60) OVER (PARTITION BY s.id ORDER BY s.position) AS next_reference
    FROM constraint_start s WHERE s.word = 'REFERENCES'
),
foreign_key AS MATERIALIZED (
  SELECT e.id, s.position, f.id AS number, f.seq, f."table" AS target, f."from" AS source, f."to" AS target_column,
         f.on_update, f.on_delete,
         coalesce(s.name, (SELECT k.name FROM constraint_start k
                            WHERE k.id = s.id AND k.item = s.item AND k.word = 'FOREIGN')) AS name,
         (SELECT CASE WHEN t.after_1 = 'INITIALLY' AND t.after_2 = 'DEFERRED' THEN json_quote('initially_deferred')
                      ELSE 'true' END
            FROM token t
           WHERE t.id = s.id AND t.level = 1 AND t.item = s.item AND t.word = 'DEFERRABLE' AND t.before_1 <> 'NOT'
             AND t.position > s.position AND t.position < s.next_reference) AS deferral
    FROM ordinary e, pragma_foreign_key_list(e.name, 'main') f
    LEFT JOIN reference_start s ON s.id = e.id AND s.number = f.id
),

-- ---------------------------------------------------------------------------------------------------------------------
-- Parts of the document, one JSON value per table or view. json_patch({}, …) takes out the members that have no value.
-- ---------------------------------------------------------------------------------------------------------------------
table_column(id, value) AS (
  SELECT id, json_group_object(name, json(value))
    FROM (SELECT c.id, c.name, json_patch('{}', json_object(
                   'type', c.type,
                   'nullable', json(CASE WHEN c."notnull" THEN 'false' ELSE 'true' END),
                   'default', json(CASE WHEN c.dflt_value IS NOT NULL THEN json_object(
                      'expression', CASE WHEN c.wrapped THEN '(' || c.dflt_value || ')' ELSE c.dflt_value END) END),
                   'auto_increment', json(CASE WHEN c.counted THEN 'true' END),
                   'generated', c.generated,
                   'generated_kind', CASE c.hidden WHEN 2 THEN 'virtual' WHEN 3 THEN 'stored' END,
                   'collation', c.collation,
                   'on_conflict', json(CASE WHEN c.on_null IS NOT NULL THEN json_object('not_null', c.on_null) END)
                 )) AS value
            FROM column_fact c ORDER BY c.id, c.cid)
   GROUP BY id
),
primary_key(id, value) AS (
  SELECT k.id, json_patch('{}', json_object(
           'name', s.name,
           'columns', json((SELECT json_group_array(name)
                              FROM (SELECT p.name FROM key_part p WHERE p.id = k.id ORDER BY p.pk))),
           'on_conflict', c.answer))
    FROM (SELECT DISTINCT id FROM key_part) k
    LEFT JOIN constraint_start s ON s.id = k.id AND s.word = 'PRIMARY'
    LEFT JOIN conflict c ON c.id = s.id AND c.position = s.position
),
unique_key(id, value) AS (
  SELECT id, json_group_array(json(value))
    FROM (SELECT s.id, json_patch('{}', json_object(
                   'name', s.name,
                   'columns', json(CASE WHEN i.open IS NULL
                      THEN json_array((SELECT c.name FROM column_fact c WHERE c.id = s.id AND c.cid = s.item))
                      ELSE (SELECT json_group_array(plain)
                              FROM (SELECT t.plain FROM token t
                                     WHERE t.id = s.id AND t.level = 2 AND t.before_1 IN ('(', ',')
                                       AND t.position > i.open AND t.position < i.close
                                     ORDER BY t.position)) END),
                   'on_conflict', c.answer)) AS value
            FROM constraint_start s
            LEFT JOIN enclosed i ON i.id = s.id AND i.position = s.position
            LEFT JOIN conflict c ON c.id = s.id AND c.position = s.position
           WHERE s.word = 'UNIQUE' ORDER BY s.id, s.position)
   GROUP BY id
),
foreign_keys(id, value) AS (
  SELECT id, json_group_array(json(value))
    FROM (SELECT f.id, json_patch('{}', json_object(
                   'name', f.name,
                   'columns', json((SELECT json_group_array(source)
                                      FROM (SELECT g.source FROM foreign_key g
                                             WHERE g.id = f.id AND g.number = f.number ORDER BY g.seq))),
                   'references', json_object(
                      'table', coalesce((SELECT e.name FROM ordinary e WHERE lower(e.name) = lower(f.target)), f.target),
                      -- without columns the key of the other table is meant
                      'columns', json((SELECT json_group_array(target_column)
                         FROM (SELECT * FROM (SELECT g.target_column FROM foreign_key g
                                               WHERE g.id = f.id AND g.number = f.number
                                                 AND g.target_column IS NOT NULL ORDER BY g.seq)
                               UNION ALL
                               SELECT * FROM (SELECT k.name FROM key_part k JOIN ordinary e ON e.id = k.id
                                               WHERE lower(e.name) = lower(f.target) AND f.target_column IS NULL
                                               ORDER BY k.pk))))),
                   'on_delete', nullif(f.on_delete, 'NO ACTION'),
                   'on_update', nullif(f.on_update, 'NO ACTION'),
                   'deferrable', json(f.deferral))) AS value
            FROM foreign_key f WHERE f.seq = 0 ORDER BY f.id, f.position, f.number DESC)
   GROUP BY id
),
checks(id, value) AS (
  SELECT id, json_group_array(json(value))
    FROM (SELECT i.id, json_patch('{}', json_object('name', i.name, 'expression', i.body)) AS value
            FROM enclosed i WHERE i.word = 'CHECK' ORDER BY i.id, i.position)
   GROUP BY id
),
index_term(id, table_name, position, term, descending) AS (
  SELECT e.id, e.tbl_name, x.seqno,
         coalesce(x.name, (
           SELECT trim(substr(e.sql, min(t.position), max(t.position + length(t.text)) - min(t.position)))
             FROM token t WHERE t.id = e.id AND t.item = x.seqno AND t.level >= 1 AND NOT (t.level = 1 AND t.text = ','))),
         CASE WHEN x."desc" THEN x.name END
    FROM entry e, pragma_index_xinfo(e.name, 'main') x
   WHERE e.type = 'index' AND x.key
),
indexes(table_name, value) AS (
  SELECT tbl_name, json_group_array(json(value))
    FROM (SELECT e.tbl_name, json_patch('{}', json_object(
                   'name', e.name,
                   'definition', e.sql,
                   'unique', json(CASE WHEN EXISTS (SELECT 1 FROM token t WHERE t.id = e.id AND t.level = 0
                                                       AND t.word = 'UNIQUE' AND t.before_1 = 'CREATE')
                                       THEN 'true' ELSE 'false' END),
                   'columns', json((SELECT json_group_array(term)
                                      FROM (SELECT i.term FROM index_term i WHERE i.id = e.id ORDER BY i.position))),
                   'descending', json((SELECT CASE WHEN count(*) THEN json_group_array(descending) END
                                         FROM (SELECT i.descending FROM index_term i
                                                WHERE i.id = e.id AND i.descending IS NOT NULL ORDER BY i.position))),
                   'where', (SELECT trim(substr(e.sql, t.position + 5), char(9, 10, 13, 32) || ';') FROM token t
                              WHERE t.id = e.id AND t.level = 0 AND t.word = 'WHERE'))) AS value
            FROM entry e WHERE e.type = 'index' ORDER BY e.name)
   GROUP BY tbl_name
),
triggers(table_name, value) AS (      -- a trigger keeps its table's name as the author of the trigger spelled it
  SELECT table_name, json_group_object(name, json_object('definition', sql))
    FROM (SELECT lower(tbl_name) AS table_name, name, sql FROM entry WHERE type = 'trigger' ORDER BY name)
   GROUP BY table_name
),
view_start AS MATERIALIZED (
  SELECT t.id, min(t.position) AS position FROM token t
   WHERE t.level = 0 AND t.word = 'AS' AND t.id IN (SELECT id FROM entry WHERE type = 'view')
   GROUP BY t.id
)

-- ---------------------------------------------------------------------------------------------------------------------
-- The document
-- ---------------------------------------------------------------------------------------------------------------------
SELECT json_object(
  'schema_version', '1.0',
  'database', (SELECT replace(file, rtrim(file, replace(replace(file, '/', ''), '\', '')), '')
                 FROM pragma_database_list WHERE name = 'main'),
  'dialect', 'sqlite',
  'server_version', sqlite_version(),
  'tables', json((
    SELECT json_group_object(name, json(value))
      FROM (SELECT e.name, json_patch('{}', json_object(
                     'columns', json(coalesce(c.value, '{}')),
                     'constraints', json_object(
                        'primary_key', json(p.value),
                        'unique', json(coalesce(u.value, '[]')),
                        'foreign_key', json(coalesce(f.value, '[]')),
                        'check', json(coalesce(k.value, '[]'))),
                     'indexes', json(coalesce(i.value, '[]')),
                     'triggers', json(coalesce(t.value, '{}')),
                     'strict', json(CASE WHEN e.strict THEN 'true' END),
                     'without_rowid', json(CASE WHEN e.wr THEN 'true' END),
                     'autoincrement', json(CASE WHEN EXISTS (SELECT 1 FROM column_fact a WHERE a.id = e.id AND a.counted)
                                                THEN 'true' END),
                     'sql', e.sql)) AS value
              FROM ordinary e
              LEFT JOIN table_column c ON c.id = e.id
              LEFT JOIN primary_key p ON p.id = e.id
              LEFT JOIN unique_key u ON u.id = e.id
              LEFT JOIN foreign_keys f ON f.id = e.id
              LEFT JOIN checks k ON k.id = e.id
              LEFT JOIN indexes i ON i.table_name = e.name
              LEFT JOIN triggers t ON t.table_name = lower(e.name)
             ORDER BY e.name))),
  'virtual_tables', json((
    SELECT json_group_object(name, json_object('definition', sql))
      FROM (SELECT e.name, e.sql FROM entry e WHERE e.type = 'table' AND e.table_type = 'virtual' ORDER BY e.name))),
  'views', json((
    SELECT json_group_object(name, json(value))
      FROM (SELECT e.name, json_patch('{}', json_object(
                     'definition', trim(substr(e.sql, v.position + 2), char(9, 10, 13, 32)),
                     -- only a list that stands in the statement: SQLite tells the other names only of views that work
                     'columns', json((SELECT CASE WHEN count(*) THEN json_group_array(plain) END
                                        FROM (SELECT t.plain FROM token t
                                               WHERE t.id = e.id AND t.level = 1 AND t.text <> ','
                                                 AND t.position < v.position
                                               ORDER BY t.position))),
                     'triggers', json(t.value),
                     'sql', e.sql)) AS value
              FROM entry e
              JOIN view_start v ON v.id = e.id
              LEFT JOIN triggers t ON t.table_name = lower(e.name)
             WHERE e.type = 'view' ORDER BY e.name))),
  'not_exported', json('[]')
);

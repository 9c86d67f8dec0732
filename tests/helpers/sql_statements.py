"""SQL statements of a hostile user; {dir} is a folder that must not be read, {url} a server to stay unreached."""

# Every statement of DuckDB's grammar other than SELECT.
STATEMENTS = """
ALTER TABLE rows ADD COLUMN x INT
ALTER VIEW rows RENAME TO other
ALTER DATABASE memory RENAME TO other
ANALYZE
ANALYZE rows
ATTACH '{dir}/secret.db'
ATTACH '{dir}/new.db' AS new
ATTACH IF NOT EXISTS '{dir}/secret.db' AS s (READ_ONLY)
ATTACH 'postgres:host=127.0.0.1' AS p (TYPE postgres)
BEGIN TRANSACTION
CALL duckdb_settings()
CALL pragma_version()
CALL import_database('{dir}')
CHECKPOINT
FORCE CHECKPOINT memory
COMMENT ON VIEW rows IS 'x'
COMMIT
COPY rows TO '{dir}/out.csv'
COPY (SELECT 1) TO '{dir}/out.parquet' (FORMAT parquet)
COPY rows FROM '{dir}/secret.csv'
COPY FROM DATABASE memory TO other
COPY (FROM rows) TO '{dir}/out' (PARTITION_BY row)
COPY (SELECT 1) TO '/dev/stdout'
CREATE TABLE x AS SELECT 1
CREATE TEMP TABLE x AS SELECT * FROM '{dir}/secret.csv'
CREATE OR REPLACE VIEW rows AS SELECT 1
CREATE INDEX i ON rows(row)
CREATE MACRO f(x) AS x + 1
CREATE MACRO t() AS TABLE SELECT * FROM '{dir}/secret.csv'
CREATE SCHEMA s
CREATE SECRET s (TYPE http, BEARER_TOKEN 'x')
CREATE PERSISTENT SECRET s (TYPE s3, KEY_ID 'x')
CREATE SEQUENCE s
CREATE TYPE t AS ENUM ('a')
CREATE FUNCTION f(x) AS x
DEALLOCATE p
DELETE FROM rows
DELETE FROM rows RETURNING *
DESCRIBE rows
DESCRIBE SELECT * FROM rows
DESC rows
DETACH memory
DETACH DATABASE IF EXISTS memory
DROP VIEW rows
DROP TABLE IF EXISTS rows
DROP SECRET s
EXECUTE p
EXPLAIN SELECT 1
EXPLAIN ANALYZE SELECT * FROM '{dir}/secret.csv'
EXPORT DATABASE '{dir}/out'
IMPORT DATABASE '{dir}'
IMPORT DATABASE '{url}/db'
INSERT INTO rows VALUES (1)
INSERT INTO rows SELECT * FROM '{dir}/secret.csv'
INSTALL httpfs
INSTALL httpfs FROM '{url}'
FORCE INSTALL httpfs FROM community
LOAD httpfs
LOAD '{dir}/evil.duckdb_extension'
MERGE INTO rows USING rows AS r ON r.row = rows.row WHEN MATCHED THEN DELETE
PIVOT rows ON split
UNPIVOT rows ON row INTO NAME n VALUE v
PRAGMA database_list
PRAGMA import_database('{dir}')
PRAGMA table_info('rows')
PRAGMA show_tables
PRAGMA enable_profiling
PRAGMA profiling_output='{dir}/out.json'
PRAGMA add_parquet_key('key', '0123456789112345')
PRAGMA copy_database('memory', 'x')
PREPARE p AS SELECT 1
RESET memory_limit
RESET enable_external_access
ROLLBACK
SET enable_external_access = true
SET GLOBAL allowed_paths = ['/']
SET SESSION temp_directory = '{dir}'
SET lock_configuration = false
SET VARIABLE x = 1
SET memory_limit = '100GB'
SET home_directory = '{dir}'
SHOW TABLES
SHOW ALL TABLES
SHOW DATABASES
SHOW rows
SUMMARIZE rows
SUMMARIZE SELECT * FROM '{dir}/secret.csv'
START TRANSACTION
TABLE rows
TRUNCATE rows
UPDATE rows SET row = 0
UPDATE EXTENSIONS
USE memory
VACUUM
VACUUM rows
VALUES (1)
FROM rows
FROM '{dir}/secret.csv'
FROM rows SELECT row
.read {dir}/secret.csv
""".strip().splitlines()

# Statements that begin with an allowed keyword and try to reach something else.
SELECTS = """
SELECT * FROM '{dir}/secret.csv'
SELECT * FROM "{dir}/secret.csv"
SELECT * FROM '{dir}/secret.parquet'
SELECT * FROM '{dir}/secret.db'
SELECT * FROM '{url}/x.csv'
SELECT * FROM 'hf://datasets/a/b/c.csv'
SELECT * FROM 's3://bucket/x.parquet'
SELECT * FROM rows, '{dir}/secret.csv'
SELECT (SELECT content FROM read_text('{dir}/secret.csv'))
SELECT * FROM rows WHERE raw IN (SELECT content FROM read_text('{dir}/secret.csv'))
SELECT * FROM (SELECT * FROM (SELECT * FROM read_blob('{dir}/*')))
SELECT * FROM glob('{dir}/*')
SELECT * FROM read_csv(['{dir}/secret.csv'])
SELECT * FROM read_csv('{dir}/secret.csv', header = false)
SELECT * FROM read_csv_auto('{url}/x.csv')
SELECT * FROM read_json('{dir}/secret.csv')
SELECT * FROM read_parquet('{dir}/secret.parquet')
SELECT * FROM parquet_metadata('{dir}/secret.parquet')
SELECT * FROM parquet_schema('{dir}/secret.parquet')
SELECT * FROM parquet_kv_metadata('{dir}/secret.parquet')
SELECT * FROM parquet_scan('{dir}/secret.parquet')
SELECT * FROM sniff_csv('{dir}/secret.csv')
SELECT * FROM read_duckdb('{dir}/secret.db')
SELECT * FROM sqlite_scan('{dir}/secret.db', 'x')
SELECT * FROM query('SELECT * FROM ''{dir}/secret.csv''')
SELECT * FROM query('IMPORT DATABASE ''{dir}''')
SELECT * FROM query_table('{dir}/secret.csv')
SELECT * FROM query_table(['rows', '{dir}/secret.csv'])
SELECT * FROM json_execute_serialized_sql(json_serialize_sql('SELECT 1'))
SELECT json_serialize_sql('SELECT 1')
SELECT * FROM histogram('{dir}/secret.csv', 'a')
SELECT * FROM summary('{dir}/secret.csv')
SELECT * FROM duckdb_settings()
SELECT * FROM duckdb_secrets()
SELECT * FROM duckdb_extensions()
SELECT * FROM duckdb_databases()
SELECT * FROM duckdb_views()
SELECT * FROM duckdb_variables()
SELECT * FROM duckdb_temporary_files()
SELECT * FROM duckdb_logs()
SELECT * FROM duckdb_tables
SELECT * FROM duckdb_settings
SELECT * FROM sqlite_master
SELECT * FROM pragma_database_list
SELECT * FROM pragma_show('rows')
SELECT * FROM pragma_version()
SELECT * FROM pragma_storage_info('rows')
SELECT * FROM information_schema.tables
SELECT * FROM information_schema.schemata
SELECT * FROM pg_catalog.pg_class
SELECT * FROM pg_settings
SELECT * FROM system.information_schema.tables
SELECT * FROM memory.main.rows
SELECT * FROM main.rows
SELECT * FROM temp.rows
SELECT * FROM checkpoint()
SELECT * FROM force_checkpoint('memory')
SELECT * FROM enable_logging('FileSystem', storage = 'file', storage_path = '{dir}/out')
SELECT * FROM enable_profiling('json', save_location := '{dir}/out.json')
SELECT * FROM truncate_duckdb_logs()
SELECT * FROM which_secret('{url}', 'http')
SELECT * FROM pandas_scan(1)
SELECT * FROM arrow_scan(1, 2, 3)
SELECT * FROM python_map_function()
SELECT * FROM icu_calendar_names()
SELECT * FROM test_all_types()
SELECT * FROM sys
SELECT * FROM request
SELECT * FROM base
SELECT * FROM globals
SELECT getenv('HOME')
SELECT getenv('STUDIO_PASSWORD')
SELECT current_setting('home_directory')
SELECT current_setting('allowed_paths')
SELECT current_user
SELECT user
SELECT session_user
SELECT current_role
SELECT current_database()
SELECT current_schemas(true)
SELECT current_query()
SELECT version()
SELECT pg_get_viewdef(1)
SELECT pg_sleep(1)
SELECT sleep_ms(1)
SELECT nextval('s')
SELECT txid_current()
SELECT getvariable('x')
SELECT write_log('x')
SELECT has_table_privilege('rows', 'select')
SELECT inet_server_addr()
SELECT obj_description(1, 'x')
SELECT main.getenv('HOME')
SELECT system.main.current_setting('threads')
SELECT row FROM rows WHERE getenv('HOME') IS NULL
SELECT row FROM rows ORDER BY current_setting('threads')
SELECT list_transform([1], x -> getenv('HOME'))
SELECT max(getenv('HOME')) OVER () FROM rows
SELECT CASE WHEN true THEN getenv('HOME') END
SELECT 'HOME'.getenv()
SELECT * FROM rows JOIN LATERAL (SELECT * FROM read_text(raw)) ON true
SELECT * FROM (DESCRIBE rows)
SELECT * FROM (SHOW TABLES)
SELECT * FROM (SUMMARIZE rows)
SELECT * FROM (PIVOT '{dir}/secret.csv' ON a)
SELECT 1; SELECT 2
SELECT 1; IMPORT DATABASE '{dir}'
SELECT 1; PRAGMA import_database('{dir}')
SELECT 1 /* ; */ ; COPY rows TO '{dir}/out.csv'
SELECT ';'; ATTACH '{dir}/new.db'
SELECT $$;$$; SET threads = 1
SELECT $a$ ; $a$ ; INSTALL httpfs
SELECT 1 INTO x
SELECT * INTO OUTFILE '{dir}/out.csv' FROM rows
WITH x AS (SELECT 1) INSERT INTO rows SELECT * FROM x
WITH x AS (DELETE FROM rows RETURNING *) SELECT * FROM x
WITH x AS (SELECT 1) DELETE FROM rows
WITH x AS (SELECT 1) UPDATE rows SET row = 1
WITH x AS (SELECT * FROM '{dir}/secret.csv') SELECT * FROM x
WITH "{dir}/secret.csv" AS (SELECT 1) SELECT * FROM '{dir}/secret.csv'
WITH "s.csv" AS (SELECT 1) SELECT 1
WITH x AS MATERIALIZED (SELECT * FROM glob('{dir}/*')) SELECT * FROM x
WITH RECURSIVE t AS (SELECT 1 AS n UNION ALL SELECT n FROM read_text('{dir}/secret.csv')) SELECT * FROM t
SELECT * FROM (WITH duckdb_tables AS (SELECT 1) SELECT * FROM duckdb_tables), duckdb_tables
(SELECT * FROM '{dir}/secret.csv')
((SELECT 1) UNION (SELECT content FROM read_text('{dir}/secret.csv')))
SELECT 1 UNION ALL SELECT content FROM read_text('{dir}/secret.csv')
SELECT 1 EXCEPT SELECT a FROM '{dir}/secret.csv'
SELECT COLUMNS(c -> getenv(c) IS NULL) FROM rows
SELECT * EXCLUDE (raw) FROM '{dir}/secret.csv'
SELECT * FROM rows POSITIONAL JOIN '{dir}/secret.csv'
SELECT * FROM rows ASOF JOIN '{dir}/secret.csv' ON row >= a
SELECT * FROM rows AT (VERSION => 1)
SELECT EXISTS (FROM '{dir}/secret.csv')
SELECT [x FOR x IN (SELECT list(content) FROM read_text('{dir}/secret.csv'))]
SELECT struct_pack(a := (SELECT content FROM read_text('{dir}/secret.csv')))
""".strip().splitlines()

# Disguised keywords: other alphabets, invisible characters, comments, case.
DISGUISED = [
    "ＳＥＬＥＣＴ 1", "ЅELECT 1", "SEL\u200bECT 1", "\u2060SELECT 1", "SELECT\u00a01", "\ufeffIMPORT DATABASE '{dir}'",
    "/* SELECT */ IMPORT DATABASE '{dir}'", "-- SELECT 1\nIMPORT DATABASE '{dir}'",
    "/* /* */ SELECT */ IMPORT DATABASE '{dir}'", "/**/ pRaGmA import_database('{dir}')",
    "SELECT 1 -- \u2028; IMPORT DATABASE '{dir}'\n; IMPORT DATABASE '{dir}'", "'SELECT' IMPORT DATABASE '{dir}'",
    "\"SELECT\" 1", ";IMPORT DATABASE '{dir}'", "; ; ", "", " ", "--", "/*", "\0SELECT 1",
    "SELECT 1\0; IMPORT DATABASE '{dir}'", "İMPORT DATABASE '{dir}'", "SELECT * FROM \"ｒｏｗｓ\"",
    "SELECT * FROM rоws", "EXPLAIN(SELECT 1)", "(IMPORT DATABASE '{dir}')", "WITH", "SELECT", "SELECT FROM",
    "SELECT '", "SELECT \"", "SELECT $$",
]  # fmt: skip

# Ordinary statements, which must be answered.
ANSWERED = """
SELECT 1
SELECT count(*) FROM rows
select n from ROWS where n < 3
SELECT r.n, len(messages) FROM rows AS r ORDER BY 1 LIMIT 2
(SELECT 1) UNION ALL (SELECT 2)
WITH x AS (SELECT n FROM rows) SELECT max(n) FROM x
WITH RECURSIVE t(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM t WHERE n < 5) SELECT * FROM t
SELECT m.content FROM rows, unnest(messages) AS u(m) LIMIT 1
SELECT * FROM range(3)
SELECT 'IMPORT DATABASE; PRAGMA' AS text
SELECT 1 -- a comment; PRAGMA
SELECT /* ; */ 1;
SELECT current_date, now() IS NOT NULL, pg_typeof(1)
SELECT split, count(*) FROM rows GROUP BY ALL HAVING count(*) > 0
SELECT list_transform([1, 2], x -> x + 1), json_extract(raw, '$.n') FROM rows LIMIT 1
SELECT * FROM (SELECT row FROM rows) a JOIN rows b USING (row) WHERE EXISTS (SELECT 1 FROM rows WHERE n = 1) LIMIT 1
SELECT * FROM (PIVOT (SELECT split, n FROM rows) ON split IN ('train') USING sum(n) GROUP BY n) LIMIT 1
SELECT * FROM (VALUES (1), (2)) v(x)
SELECT regexp_matches(raw, 'a'), length(raw), lower(raw) FROM rows LIMIT 1
""".strip().splitlines()

# Statements that would exhaust the memory, the disk, the size of the answer or the parser.
TOO_MUCH = [
    "SELECT repeat('x', 2000000000) || repeat('y', 2000000000)",
    "SELECT list(n) FROM (SELECT unnest(range(2000000000)) AS n)",
    "SELECT * FROM range(100000000) ORDER BY hash(range) DESC LIMIT 1 OFFSET 99999999",
    "SELECT " + ", ".join(f"{i} AS c{i}" for i in range(1500)),
    "SELECT " + "(" * 9000 + "1" + ")" * 9000,
    "SELECT " + "-" * 9000 + "1",
    "SELECT " + "[" * 9000 + "]" * 9000,
    "SELECT 1" + " UNION ALL SELECT 1" * 1000,
    "SELECT " + "1 + " * 4900 + "1",
    "SELECT * FROM " + "(SELECT * FROM " * 700 + "rows" + ")" * 700,
]

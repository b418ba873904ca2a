-- One object of every kind that an SQLite schema can hold, written the awkward way where that is allowed.
CREATE TABLE parent (
  id INTEGER CONSTRAINT "the ""key""" PRIMARY KEY ON CONFLICT REPLACE AUTOINCREMENT,
  name TEXT COLLATE NOCASE NOT NULL ON CONFLICT IGNORE DEFAULT 'it''s, (ok', -- a comment, with ( in it
  price NUMERIC(12, 2) DEFAULT (1 + 2) CHECK (price >= 0 AND name <> ')'),
  born TEXT DEFAULT CURRENT_TIMESTAMP, /* CHECK (not a check) */
  doubled REAL GENERATED ALWAYS AS (price * 2) VIRTUAL,
  tripled REAL AS (price * 3) STORED,
  "check" TEXT UNIQUE,
  [odd name] BLOB,
  CONSTRAINT sane CHECK (length("check") > 2 OR ("check" IS NULL)),
  CONSTRAINT pair UNIQUE (name COLLATE BINARY, "odd name" DESC) ON CONFLICT FAIL
);
CREATE TABLE wide (a INT, b INT, c, PRIMARY KEY (b, a DESC)) WITHOUT ROWID;
CREATE TABLE child (
  a INT REFERENCES parent ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED,
  b INT CONSTRAINT up REFERENCES parent (id) NOT DEFERRABLE,
  c INT, d INT,
  CONSTRAINT both FOREIGN KEY (c, d) REFERENCES WIDE (b, a) ON UPDATE SET NULL DEFERRABLE,
  FOREIGN KEY (d, c) REFERENCES wide
);
CREATE TABLE firm (id INTEGER PRIMARY KEY, note ANY) STRICT;
CREATE UNIQUE INDEX child_part ON child (a, lower(b) DESC, c DESC) WHERE a > 0 AND b <> 'x;y';
CREATE INDEX child_b ON child (b COLLATE NOCASE);
CREATE VIEW names (n) AS SELECT name AS n FROM parent WHERE price > 0;
CREATE VIEW broken AS SELECT gone FROM nowhere;
CREATE TRIGGER parent_touch AFTER UPDATE OF name ON parent WHEN new.price > 1 BEGIN UPDATE parent SET born = ';' WHERE id = new.id; END;
CREATE TRIGGER names_insert INSTEAD OF INSERT ON names BEGIN INSERT INTO parent (name) VALUES (new.n); END;
CREATE VIRTUAL TABLE words USING fts5(body);
CREATE TABLE _migration_archive_users (id);
CREATE INDEX kept ON _migration_archive_users (id);

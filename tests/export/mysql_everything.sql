-- One object of every kind that a MariaDB schema can hold, with what a careless export loses.
CREATE TABLE parent (
  id int unsigned NOT NULL AUTO_INCREMENT PRIMARY KEY,
  name varchar(50) NOT NULL DEFAULT 'x''y\\z' COMMENT 'it''s "the" name',
  touched timestamp NOT NULL DEFAULT current_timestamp() ON UPDATE current_timestamp() INVISIBLE,
  exact datetime(3) DEFAULT now(3) ON UPDATE now(3),
  data json,
  size int,
  doubled int GENERATED ALWAYS AS (size + 1) VIRTUAL,
  tripled int AS (size * 2) STORED INVISIBLE,
  token char(36) DEFAULT (concat('a', uuid())),
  kind enum('a','b''c') CHARACTER SET latin1 COLLATE latin1_bin,
  flags bit(3) DEFAULT b'101',
  price decimal(8,2) DEFAULT 1.5,
  positive int CHECK (positive > 0),
  word varchar(9) DEFAULT 'NULL',
  body text,
  place point NOT NULL,
  packed text COMPRESSED,
  CONSTRAINT sane CHECK (size > 1 OR name <> ')'),
  UNIQUE KEY name_part (name(10) DESC, kind) COMMENT 'half a name',
  UNIQUE KEY long_unique (body) USING HASH,
  KEY unseen (size) IGNORED,
  FULLTEXT KEY body_words (body),
  SPATIAL KEY where_it_is (place)
) ENGINE=InnoDB AUTO_INCREMENT=500 ROW_FORMAT=DYNAMIC COMMENT='the parents';
CREATE TABLE child (
  parent_id int unsigned, a int, b int,
  KEY ab (a, b),
  CONSTRAINT child_parent FOREIGN KEY (parent_id) REFERENCES parent (id) ON DELETE CASCADE ON UPDATE SET NULL,
  CONSTRAINT child_self FOREIGN KEY (a) REFERENCES child (a)
) ENGINE=InnoDB DEFAULT CHARSET=latin1;
CREATE TABLE `Child` (a int) COMMENT='another letter case';
CREATE TABLE `odd``name` (`a b` int, `select` int, KEY `k``y` (`select`));
CREATE TABLE measured (at date NOT NULL, n int) PARTITION BY RANGE (year(at)) SUBPARTITION BY HASH (n) SUBPARTITIONS 2
  (PARTITION old VALUES LESS THAN (2020), PARTITION rest VALUES LESS THAN MAXVALUE);
CREATE TABLE versioned (a int) WITH SYSTEM VERSIONING;
CREATE TABLE _migration_archive_parent (id int PRIMARY KEY);
CREATE SEQUENCE tickets START WITH 5 INCREMENT BY 2 MINVALUE 1 MAXVALUE 1000 CACHE 10 CYCLE;
CREATE ALGORITHM=MERGE SQL SECURITY INVOKER VIEW names AS SELECT id, name FROM parent WHERE size > 0 WITH CASCADED CHECK OPTION;
DELIMITER //
CREATE TRIGGER parent_first BEFORE INSERT ON parent FOR EACH ROW BEGIN SET NEW.size = 1; SET NEW.name = 'a;b'; END//
CREATE TRIGGER parent_second BEFORE INSERT ON parent FOR EACH ROW SET NEW.price = 2//
CREATE FUNCTION add_up(a int, b varchar(5) CHARSET latin1) RETURNS int DETERMINISTIC COMMENT 'adds' RETURN a + 1//
CREATE PROCEDURE settle(IN who int, OUT total decimal(8,2)) MODIFIES SQL DATA SQL SECURITY INVOKER BEGIN SET total = 1; END//
CREATE PROCEDURE add_up() SELECT 1//
CREATE EVENT nightly ON SCHEDULE EVERY '1:30' HOUR_MINUTE STARTS '2030-01-01 00:00:00' ENDS '2031-01-01 00:00:00'
  ON COMPLETION PRESERVE DISABLE COMMENT 'cleans' DO BEGIN DELETE FROM child WHERE a = 1; END//
CREATE EVENT once ON SCHEDULE AT '2035-01-01 00:00:00' DO SET @x = 1//
DELIMITER ;

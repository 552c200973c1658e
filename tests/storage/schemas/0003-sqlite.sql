CREATE TABLE audit (
 number INTEGER NOT NULL,
 entry TEXT NOT NULL,
 previous VARCHAR(64) NOT NULL,
 hash VARCHAR(64) NOT NULL,
 CONSTRAINT pk_audit PRIMARY KEY (number)
);

CREATE TABLE calibration (
 id VARCHAR(64) NOT NULL,
 line VARCHAR(64) NOT NULL,
 model VARCHAR(64) NOT NULL,
 record JSON NOT NULL,
 since DATETIME NOT NULL,
 CONSTRAINT pk_calibration PRIMARY KEY (id)
);

CREATE TABLE cdm_inspect_revision (
 version_num VARCHAR(32) NOT NULL,
 CONSTRAINT cdm_inspect_revision_pkc PRIMARY KEY (version_num)
);

INSERT INTO cdm_inspect_revision VALUES('0003');

CREATE TABLE chart (
 name VARCHAR(200) NOT NULL,
 last BIGINT NOT NULL,
 state JSON NOT NULL,
 CONSTRAINT pk_chart PRIMARY KEY (name)
);

CREATE TABLE decision (
 id INTEGER NOT NULL,
 client_id VARCHAR(64) NOT NULL,
 inspection_id INTEGER NOT NULL,
 decision VARCHAR(16) NOT NULL,
 reviewer VARCHAR(128) NOT NULL,
 comment TEXT NOT NULL,
 decided_at DATETIME NOT NULL, reason VARCHAR(64) DEFAULT '' NOT NULL, region JSON, role VARCHAR(64) DEFAULT '' NOT NULL, seen_ms BIGINT, version INTEGER,
 CONSTRAINT pk_decision PRIMARY KEY (id),
 CONSTRAINT uq_decision_client_id UNIQUE (client_id),
 CONSTRAINT fk_decision_inspection_id FOREIGN KEY(inspection_id) REFERENCES inspection (id)
);

CREATE TABLE hourly (
 line VARCHAR(64) NOT NULL,
 hour DATETIME NOT NULL,
 verdict VARCHAR(16) NOT NULL,
 decision VARCHAR(16) NOT NULL,
 calibration VARCHAR(64) NOT NULL,
 parts BIGINT NOT NULL,
 CONSTRAINT pk_hourly PRIMARY KEY (line, hour, verdict, decision, calibration)
);

CREATE TABLE inspection (
 id INTEGER NOT NULL,
 "key" VARCHAR(64) NOT NULL,
 image TEXT NOT NULL,
 sha256 VARCHAR(64) NOT NULL,
 line VARCHAR(64) NOT NULL,
 verdict VARCHAR(16) NOT NULL,
 model VARCHAR(64) NOT NULL,
 calibration VARCHAR(64) NOT NULL,
 scorer VARCHAR(64) NOT NULL,
 threshold DOUBLE,
 score DOUBLE,
 p_value DOUBLE,
 regions JSON NOT NULL,
 reason TEXT NOT NULL,
 inspected_at DATETIME NOT NULL,
 image_sha256 VARCHAR(64) NOT NULL,
 heatmap_sha256 VARCHAR(64) NOT NULL,
 heatmap_scale DOUBLE NOT NULL,
 heatmap_offset DOUBLE NOT NULL,
 decision VARCHAR(16),
 reviewer VARCHAR(128) NOT NULL,
 decided_at DATETIME, acquisition JSON DEFAULT '{}' NOT NULL, serial VARCHAR(128) DEFAULT '' NOT NULL, lot VARCHAR(128) DEFAULT '' NOT NULL, station VARCHAR(128) DEFAULT '' NOT NULL, camera VARCHAR(128) DEFAULT '' NOT NULL, claimed_by VARCHAR(128) DEFAULT '' NOT NULL, status VARCHAR(16) DEFAULT 'filed' NOT NULL, priority DOUBLE DEFAULT '0' NOT NULL, doubt DOUBLE DEFAULT '0' NOT NULL, claimed_until DATETIME, hold TEXT DEFAULT '' NOT NULL, version INTEGER DEFAULT '0' NOT NULL,
 CONSTRAINT pk_inspection PRIMARY KEY (id),
 CONSTRAINT uq_inspection_key UNIQUE ("key")
);

CREATE TABLE line_version (
 line VARCHAR(64) NOT NULL,
 number INTEGER NOT NULL,
 digest VARCHAR(64) NOT NULL,
 configuration JSON NOT NULL,
 since DATETIME NOT NULL,
 CONSTRAINT pk_line_version PRIMARY KEY (line, number)
);

CREATE TABLE model (
 id VARCHAR(64) NOT NULL,
 line VARCHAR(64) NOT NULL,
 record JSON NOT NULL,
 since DATETIME NOT NULL,
 CONSTRAINT pk_model PRIMARY KEY (id)
);

CREATE TABLE note (
 name VARCHAR(64) NOT NULL,
 value TEXT NOT NULL,
 CONSTRAINT pk_note PRIMARY KEY (name)
);

CREATE INDEX ix_decision_inspection_id ON decision (inspection_id);

CREATE INDEX ix_inspection_claimed_by ON inspection (claimed_by) WHERE claimed_by != '';

CREATE INDEX ix_inspection_decided ON inspection (line, id) WHERE status = 'decided';

CREATE INDEX ix_inspection_doubt ON inspection (line, doubt, id) WHERE status = 'waiting';

CREATE INDEX ix_inspection_line_id ON inspection (line, id);

CREATE INDEX ix_inspection_line_inspected_at ON inspection (line, inspected_at);

CREATE INDEX ix_inspection_lot ON inspection (lot) WHERE lot != '';

CREATE INDEX ix_inspection_priority ON inspection (line, priority, id) WHERE status = 'waiting';

CREATE INDEX ix_inspection_random ON inspection (line, "key") WHERE status = 'waiting';

CREATE INDEX ix_inspection_serial ON inspection (serial) WHERE serial != '';

CREATE INDEX ix_inspection_sha256 ON inspection (sha256);

CREATE INDEX ix_inspection_waiting ON inspection (line, id) WHERE status = 'waiting';

CREATE TRIGGER audit_grows BEFORE DELETE ON audit BEGIN SELECT RAISE(ABORT, 'audit: entries cannot be deleted'); END;

CREATE TRIGGER audit_once BEFORE INSERT ON audit WHEN EXISTS (SELECT 1 FROM audit WHERE number = NEW.number) BEGIN SELECT RAISE(ABORT, 'audit: entries cannot be changed'); END;

CREATE TRIGGER audit_stays BEFORE UPDATE ON audit BEGIN SELECT RAISE(ABORT, 'audit: entries cannot be changed'); END;

CREATE TRIGGER decision_grows BEFORE DELETE ON decision WHEN (SELECT status FROM inspection WHERE id = OLD.inspection_id) IS NOT 'expired' BEGIN SELECT RAISE(ABORT, 'decision: entries cannot be deleted'); END;

CREATE TRIGGER decision_once BEFORE INSERT ON decision WHEN EXISTS (SELECT 1 FROM decision WHERE id = NEW.id OR client_id = NEW.client_id) BEGIN SELECT RAISE(ABORT, 'decision: entries cannot be changed'); END;

CREATE TRIGGER decision_stays BEFORE UPDATE ON decision BEGIN SELECT RAISE(ABORT, 'decision: entries cannot be changed'); END;

CREATE TRIGGER inspection_grows BEFORE DELETE ON inspection WHEN OLD.status IS NOT 'expired' BEGIN SELECT RAISE(ABORT, 'inspection: entries cannot be deleted'); END;

CREATE TRIGGER inspection_once BEFORE INSERT ON inspection WHEN EXISTS (SELECT 1 FROM inspection WHERE id = NEW.id) BEGIN SELECT RAISE(ABORT, 'inspection: entries cannot be changed'); END;

CREATE TRIGGER inspection_stays BEFORE UPDATE OF id, key, image, sha256, line, verdict, model, calibration, scorer, threshold, score, p_value, regions, reason, acquisition, inspected_at, image_sha256, heatmap_sha256, heatmap_scale, heatmap_offset, serial, lot, station, camera ON inspection BEGIN SELECT RAISE(ABORT, 'inspection: what was said cannot be changed'); END;

CREATE TRIGGER inspection_waits BEFORE INSERT ON inspection WHEN NEW.status = 'filed' AND NEW.verdict != 'pass' BEGIN SELECT RAISE(ABORT, 'inspection: a flagged part must wait; update the program'); END;

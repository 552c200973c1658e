CREATE TABLE audit (
    number INTEGER NOT NULL,
    entry TEXT NOT NULL,
    previous VARCHAR(64) NOT NULL,
    hash VARCHAR(64) NOT NULL,
    CONSTRAINT pk_audit PRIMARY KEY (number)
);
CREATE TABLE cdm_inspect_schema (
    version INTEGER NOT NULL,
    CONSTRAINT pk_cdm_inspect_schema PRIMARY KEY (version)
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
    decided_at DATETIME,
    CONSTRAINT pk_inspection PRIMARY KEY (id),
    CONSTRAINT uq_inspection_key UNIQUE ("key")
);
CREATE INDEX ix_inspection_line_id ON inspection (line, id);
CREATE INDEX ix_inspection_queue ON inspection (line, score, id) WHERE decision IS NULL AND verdict != 'pass';
CREATE INDEX ix_inspection_sha256 ON inspection (sha256);
CREATE TABLE decision (
    id INTEGER NOT NULL,
    client_id VARCHAR(64) NOT NULL,
    inspection_id INTEGER NOT NULL,
    decision VARCHAR(16) NOT NULL,
    reviewer VARCHAR(128) NOT NULL,
    comment TEXT NOT NULL,
    decided_at DATETIME NOT NULL,
    CONSTRAINT pk_decision PRIMARY KEY (id),
    CONSTRAINT uq_decision_client_id UNIQUE (client_id),
    CONSTRAINT fk_decision_inspection_id FOREIGN KEY(inspection_id) REFERENCES inspection (id)
);
CREATE INDEX ix_decision_inspection_id ON decision (inspection_id);
INSERT INTO cdm_inspect_schema (version) VALUES (1);

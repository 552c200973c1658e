CREATE TABLE audit (
    number bigint NOT NULL,
    entry text NOT NULL,
    previous character varying(64) NOT NULL,
    hash character varying(64) NOT NULL
);
CREATE TABLE cdm_inspect_revision (
    version_num character varying(32) NOT NULL
);
CREATE TABLE chart (
    name character varying(200) NOT NULL,
    last bigint NOT NULL,
    state json NOT NULL
);
CREATE TABLE decision (
    id bigint NOT NULL,
    client_id character varying(64) NOT NULL,
    inspection_id bigint NOT NULL,
    decision character varying(16) NOT NULL,
    reviewer character varying(128) NOT NULL,
    comment text NOT NULL,
    decided_at timestamp without time zone NOT NULL
);
CREATE SEQUENCE decision_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE decision_id_seq OWNED BY decision.id;
CREATE TABLE inspection (
    id bigint NOT NULL,
    key character varying(64) NOT NULL,
    image text NOT NULL,
    sha256 character varying(64) NOT NULL,
    line character varying(64) NOT NULL,
    verdict character varying(16) NOT NULL,
    model character varying(64) NOT NULL,
    calibration character varying(64) NOT NULL,
    scorer character varying(64) NOT NULL,
    threshold double precision,
    score double precision,
    p_value double precision,
    regions json NOT NULL,
    reason text NOT NULL,
    inspected_at timestamp without time zone NOT NULL,
    image_sha256 character varying(64) NOT NULL,
    heatmap_sha256 character varying(64) NOT NULL,
    heatmap_scale double precision NOT NULL,
    heatmap_offset double precision NOT NULL,
    decision character varying(16),
    reviewer character varying(128) NOT NULL,
    decided_at timestamp without time zone,
    acquisition json DEFAULT '{}'::json NOT NULL
);
CREATE SEQUENCE inspection_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE inspection_id_seq OWNED BY inspection.id;
ALTER TABLE ONLY decision ALTER COLUMN id SET DEFAULT nextval('decision_id_seq'::regclass);
ALTER TABLE ONLY inspection ALTER COLUMN id SET DEFAULT nextval('inspection_id_seq'::regclass);
INSERT INTO cdm_inspect_revision VALUES ('0002');
SELECT pg_catalog.setval('decision_id_seq', 1, false);
SELECT pg_catalog.setval('inspection_id_seq', 1, false);
ALTER TABLE ONLY cdm_inspect_revision
    ADD CONSTRAINT cdm_inspect_revision_pkc PRIMARY KEY (version_num);
ALTER TABLE ONLY audit
    ADD CONSTRAINT pk_audit PRIMARY KEY (number);
ALTER TABLE ONLY chart
    ADD CONSTRAINT pk_chart PRIMARY KEY (name);
ALTER TABLE ONLY decision
    ADD CONSTRAINT pk_decision PRIMARY KEY (id);
ALTER TABLE ONLY inspection
    ADD CONSTRAINT pk_inspection PRIMARY KEY (id);
ALTER TABLE ONLY decision
    ADD CONSTRAINT uq_decision_client_id UNIQUE (client_id);
ALTER TABLE ONLY inspection
    ADD CONSTRAINT uq_inspection_key UNIQUE (key);
CREATE INDEX ix_decision_inspection_id ON decision USING btree (inspection_id);
CREATE INDEX ix_inspection_line_id ON inspection USING btree (line, id);
CREATE INDEX ix_inspection_queue ON inspection USING btree (line, score, id) WHERE ((decision IS NULL) AND ((verdict)::text <> 'pass'::text));
CREATE INDEX ix_inspection_sha256 ON inspection USING btree (sha256);
ALTER TABLE ONLY decision
    ADD CONSTRAINT fk_decision_inspection_id FOREIGN KEY (inspection_id) REFERENCES inspection(id);

CREATE FUNCTION cdm_inspect_refuse() RETURNS trigger
    LANGUAGE plpgsql
    AS $$ BEGIN RAISE EXCEPTION '%: what is recorded cannot be changed or deleted', TG_TABLE_NAME; END $$;

CREATE FUNCTION cdm_inspect_refuse_inspection() RETURNS trigger
    LANGUAGE plpgsql
    AS $$ BEGIN IF TG_OP = 'INSERT' THEN IF NEW.status = 'filed' AND NEW.verdict <> 'pass' THEN RAISE EXCEPTION 'inspection: a flagged part must wait; update the program'; END IF; RETURN NEW; END IF; IF OLD.status IS DISTINCT FROM 'expired' THEN RAISE EXCEPTION 'inspection: entries cannot be deleted'; END IF; RETURN OLD; END $$;

CREATE FUNCTION cdm_inspect_refuse_unless_expired() RETURNS trigger
    LANGUAGE plpgsql
    AS $$ BEGIN IF (SELECT status FROM inspection WHERE id = OLD.inspection_id) IS DISTINCT FROM 'expired' THEN RAISE EXCEPTION 'decision: entries cannot be deleted'; END IF; RETURN OLD; END $$;

CREATE TABLE audit (
    number bigint NOT NULL,
    entry text NOT NULL,
    previous character varying(64) NOT NULL,
    hash character varying(64) NOT NULL
);

CREATE TABLE calibration (
    id character varying(64) NOT NULL,
    line character varying(64) NOT NULL,
    model character varying(64) NOT NULL,
    record json NOT NULL,
    since timestamp without time zone NOT NULL
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
    decided_at timestamp without time zone NOT NULL,
    reason character varying(64) DEFAULT ''::character varying NOT NULL,
    region json,
    role character varying(64) DEFAULT ''::character varying NOT NULL,
    seen_ms bigint,
    version integer
);

CREATE SEQUENCE decision_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;

ALTER SEQUENCE decision_id_seq OWNED BY decision.id;

CREATE TABLE hourly (
    line character varying(64) NOT NULL,
    hour timestamp without time zone NOT NULL,
    verdict character varying(16) NOT NULL,
    decision character varying(16) NOT NULL,
    calibration character varying(64) NOT NULL,
    parts bigint NOT NULL
);

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
    acquisition json DEFAULT '{}'::json NOT NULL,
    serial character varying(128) DEFAULT ''::character varying NOT NULL,
    lot character varying(128) DEFAULT ''::character varying NOT NULL,
    station character varying(128) DEFAULT ''::character varying NOT NULL,
    camera character varying(128) DEFAULT ''::character varying NOT NULL,
    claimed_by character varying(128) DEFAULT ''::character varying NOT NULL,
    status character varying(16) DEFAULT 'filed'::character varying NOT NULL,
    priority double precision DEFAULT '0'::double precision NOT NULL,
    doubt double precision DEFAULT '0'::double precision NOT NULL,
    claimed_until timestamp without time zone,
    hold text DEFAULT ''::text NOT NULL,
    version integer DEFAULT 0 NOT NULL
);

CREATE SEQUENCE inspection_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;

ALTER SEQUENCE inspection_id_seq OWNED BY inspection.id;

CREATE TABLE line_version (
    line character varying(64) NOT NULL,
    number integer NOT NULL,
    digest character varying(64) NOT NULL,
    configuration json NOT NULL,
    since timestamp without time zone NOT NULL
);

CREATE TABLE model (
    id character varying(64) NOT NULL,
    line character varying(64) NOT NULL,
    record json NOT NULL,
    since timestamp without time zone NOT NULL
);

CREATE TABLE note (
    name character varying(64) NOT NULL,
    value text NOT NULL
);

ALTER TABLE ONLY decision ALTER COLUMN id SET DEFAULT nextval('decision_id_seq'::regclass);

ALTER TABLE ONLY inspection ALTER COLUMN id SET DEFAULT nextval('inspection_id_seq'::regclass);

ALTER TABLE ONLY cdm_inspect_revision
    ADD CONSTRAINT cdm_inspect_revision_pkc PRIMARY KEY (version_num);

ALTER TABLE ONLY audit
    ADD CONSTRAINT pk_audit PRIMARY KEY (number);

ALTER TABLE ONLY calibration
    ADD CONSTRAINT pk_calibration PRIMARY KEY (id);

ALTER TABLE ONLY chart
    ADD CONSTRAINT pk_chart PRIMARY KEY (name);

ALTER TABLE ONLY decision
    ADD CONSTRAINT pk_decision PRIMARY KEY (id);

ALTER TABLE ONLY hourly
    ADD CONSTRAINT pk_hourly PRIMARY KEY (line, hour, verdict, decision, calibration);

ALTER TABLE ONLY inspection
    ADD CONSTRAINT pk_inspection PRIMARY KEY (id);

ALTER TABLE ONLY line_version
    ADD CONSTRAINT pk_line_version PRIMARY KEY (line, number);

ALTER TABLE ONLY model
    ADD CONSTRAINT pk_model PRIMARY KEY (id);

ALTER TABLE ONLY note
    ADD CONSTRAINT pk_note PRIMARY KEY (name);

ALTER TABLE ONLY decision
    ADD CONSTRAINT uq_decision_client_id UNIQUE (client_id);

ALTER TABLE ONLY inspection
    ADD CONSTRAINT uq_inspection_key UNIQUE (key);

CREATE INDEX ix_decision_inspection_id ON decision USING btree (inspection_id);

CREATE INDEX ix_inspection_claimed_by ON inspection USING btree (claimed_by) WHERE ((claimed_by)::text <> ''::text);

CREATE INDEX ix_inspection_decided ON inspection USING btree (line, id) WHERE ((status)::text = 'decided'::text);

CREATE INDEX ix_inspection_doubt ON inspection USING btree (line, doubt, id) WHERE ((status)::text = 'waiting'::text);

CREATE INDEX ix_inspection_line_id ON inspection USING btree (line, id);

CREATE INDEX ix_inspection_line_inspected_at ON inspection USING btree (line, inspected_at);

CREATE INDEX ix_inspection_lot ON inspection USING btree (lot) WHERE ((lot)::text <> ''::text);

CREATE INDEX ix_inspection_priority ON inspection USING btree (line, priority, id) WHERE ((status)::text = 'waiting'::text);

CREATE INDEX ix_inspection_random ON inspection USING btree (line, key) WHERE ((status)::text = 'waiting'::text);

CREATE INDEX ix_inspection_serial ON inspection USING btree (serial) WHERE ((serial)::text <> ''::text);

CREATE INDEX ix_inspection_sha256 ON inspection USING btree (sha256);

CREATE INDEX ix_inspection_waiting ON inspection USING btree (line, id) WHERE ((status)::text = 'waiting'::text);

CREATE TRIGGER audit_stays BEFORE DELETE OR UPDATE ON audit FOR EACH ROW EXECUTE FUNCTION cdm_inspect_refuse();

CREATE TRIGGER audit_whole BEFORE TRUNCATE ON audit FOR EACH STATEMENT EXECUTE FUNCTION cdm_inspect_refuse();

CREATE TRIGGER decision_grows BEFORE DELETE ON decision FOR EACH ROW EXECUTE FUNCTION cdm_inspect_refuse_unless_expired();

CREATE TRIGGER decision_stays BEFORE UPDATE ON decision FOR EACH ROW EXECUTE FUNCTION cdm_inspect_refuse();

CREATE TRIGGER decision_whole BEFORE TRUNCATE ON decision FOR EACH STATEMENT EXECUTE FUNCTION cdm_inspect_refuse();

CREATE TRIGGER inspection_grows BEFORE INSERT OR DELETE ON inspection FOR EACH ROW EXECUTE FUNCTION cdm_inspect_refuse_inspection();

CREATE TRIGGER inspection_stays BEFORE UPDATE OF id, key, image, sha256, line, verdict, model, calibration, scorer, threshold, score, p_value, regions, reason, acquisition, inspected_at, image_sha256, heatmap_sha256, heatmap_scale, heatmap_offset, serial, lot, station, camera ON inspection FOR EACH ROW EXECUTE FUNCTION cdm_inspect_refuse();

ALTER TABLE ONLY decision
    ADD CONSTRAINT fk_decision_inspection_id FOREIGN KEY (inspection_id) REFERENCES inspection(id);

INSERT INTO cdm_inspect_revision VALUES ('0003');

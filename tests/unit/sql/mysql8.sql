CREATE TABLE flowdsl_version (
    version_num VARCHAR(32) NOT NULL,
    CONSTRAINT flowdsl_version_pkc PRIMARY KEY (version_num)
);

-- Running upgrade  -> 0001

CREATE TABLE flowdsl_run (
    run_id VARCHAR(255) NOT NULL,
    namespace VARCHAR(255) NOT NULL,
    workflow VARCHAR(255) NOT NULL,
    foreign_id VARCHAR(255) NOT NULL,
    status VARCHAR(255) NOT NULL,
    state SMALLINT NOT NULL,
    version BIGINT NOT NULL,
    visit BIGINT NOT NULL,
    task BIGINT NOT NULL,
    payload LONGBLOB,
    content_type VARCHAR(255),
    schema_version INTEGER,
    created BIGINT NOT NULL,
    updated BIGINT NOT NULL,
    finished BIGINT,
    change_id VARCHAR(255) NOT NULL,
    reason LONGTEXT,
    actor LONGTEXT,
    last_error LONGTEXT,
    auto_resumes INTEGER NOT NULL,
    timers SMALLINT NOT NULL,
    requested_state SMALLINT,
    requested_reason LONGTEXT,
    requested_actor LONGTEXT,
    metadata LONGTEXT,
    tags LONGTEXT,
    parent_run_id VARCHAR(255),
    priority INTEGER NOT NULL,
    unfinished SMALLINT GENERATED ALWAYS AS (CASE WHEN finished IS NULL THEN 1 END) STORED,
    PRIMARY KEY (run_id)
)ENGINE=InnoDB CHARSET=utf8mb4 COLLATE utf8mb4_0900_bin;

CREATE TABLE flowdsl_pending (
    row_id VARCHAR(255) NOT NULL,
    namespace VARCHAR(255) NOT NULL,
    workflow VARCHAR(255) NOT NULL,
    topic VARCHAR(480) NOT NULL,
    kind SMALLINT NOT NULL,
    receiver VARCHAR(255) NOT NULL,
    run_id VARCHAR(255) NOT NULL,
    version BIGINT NOT NULL,
    visit BIGINT NOT NULL,
    due BIGINT,
    remaining BIGINT,
    created BIGINT NOT NULL,
    priority INTEGER NOT NULL,
    owner VARCHAR(255),
    delivery INTEGER NOT NULL,
    attempts INTEGER NOT NULL,
    lapses INTEGER NOT NULL,
    last_error LONGTEXT,
    payload LONGBLOB,
    mark VARCHAR(255),
    waiting BIGINT GENERATED ALWAYS AS (CASE WHEN owner IS NULL THEN due END) STORED,
    PRIMARY KEY (row_id)
)ENGINE=InnoDB CHARSET=utf8mb4 COLLATE utf8mb4_0900_bin;

CREATE TABLE flowdsl_history (
    run_id VARCHAR(255) NOT NULL,
    version BIGINT NOT NULL,
    from_status VARCHAR(255),
    to_status VARCHAR(255) NOT NULL,
    from_state SMALLINT NOT NULL,
    to_state SMALLINT NOT NULL,
    cause VARCHAR(255) NOT NULL,
    name LONGTEXT NOT NULL,
    actor LONGTEXT NOT NULL,
    reason LONGTEXT,
    error LONGTEXT,
    attempt INTEGER NOT NULL,
    change_id VARCHAR(255) NOT NULL,
    at BIGINT NOT NULL,
    PRIMARY KEY (run_id, version)
)ENGINE=InnoDB CHARSET=utf8mb4 COLLATE utf8mb4_0900_bin;

CREATE TABLE flowdsl_item (
    namespace VARCHAR(255) NOT NULL,
    kind VARCHAR(255) NOT NULL,
    item_key VARCHAR(255) NOT NULL,
    body LONGBLOB NOT NULL,
    due BIGINT,
    created BIGINT NOT NULL,
    change_id VARCHAR(255) NOT NULL,
    PRIMARY KEY (namespace, kind, item_key)
)ENGINE=InnoDB CHARSET=utf8mb4 COLLATE utf8mb4_0900_bin;

CREATE TABLE flowdsl_instance (
    namespace VARCHAR(255) NOT NULL,
    owner VARCHAR(255) NOT NULL,
    host LONGTEXT NOT NULL,
    pid BIGINT NOT NULL,
    pid_started LONGTEXT NOT NULL,
    expires BIGINT NOT NULL,
    gone BIGINT,
    PRIMARY KEY (namespace, owner)
)ENGINE=InnoDB CHARSET=utf8mb4 COLLATE utf8mb4_0900_bin;

CREATE TABLE flowdsl_lease (
    `role` VARCHAR(700) NOT NULL,
    `member` VARCHAR(255),
    token BIGINT NOT NULL,
    expires BIGINT NOT NULL,
    PRIMARY KEY (`role`)
)ENGINE=InnoDB CHARSET=utf8mb4 COLLATE utf8mb4_0900_bin;

CREATE TABLE flowdsl_candidate (
    `member` VARCHAR(255) NOT NULL,
    roles LONGTEXT NOT NULL,
    expires BIGINT NOT NULL,
    PRIMARY KEY (`member`)
)ENGINE=InnoDB CHARSET=utf8mb4 COLLATE utf8mb4_0900_bin;

CREATE UNIQUE INDEX flowdsl_run_unfinished ON flowdsl_run (namespace, workflow, foreign_id, unfinished);

CREATE INDEX flowdsl_run_foreign ON flowdsl_run (namespace, workflow, foreign_id, created);

CREATE INDEX flowdsl_run_created ON flowdsl_run (namespace, created, run_id);

CREATE INDEX flowdsl_pending_due ON flowdsl_pending (namespace, topic, priority, waiting);

CREATE INDEX flowdsl_pending_owner ON flowdsl_pending (namespace, owner);

CREATE INDEX flowdsl_pending_run ON flowdsl_pending (run_id);

CREATE INDEX flowdsl_item_due ON flowdsl_item (namespace, kind, due);

INSERT INTO flowdsl_version (version_num) VALUES ('0001');

-- Running upgrade 0001 -> 0002

CREATE TABLE flowdsl_topic (
    topic VARCHAR(480) NOT NULL,
    head BIGINT NOT NULL,
    PRIMARY KEY (topic)
)ENGINE=InnoDB CHARSET=utf8mb4 COLLATE utf8mb4_0900_bin;

CREATE TABLE flowdsl_event (
    topic VARCHAR(480) NOT NULL,
    place BIGINT NOT NULL,
    event LONGBLOB NOT NULL,
    created BIGINT NOT NULL,
    PRIMARY KEY (topic, place)
)ENGINE=InnoDB CHARSET=utf8mb4 COLLATE utf8mb4_0900_bin;

CREATE TABLE flowdsl_reader (
    name VARCHAR(255) NOT NULL,
    topic VARCHAR(480) NOT NULL,
    next_place BIGINT NOT NULL,
    PRIMARY KEY (name, topic)
)ENGINE=InnoDB CHARSET=utf8mb4 COLLATE utf8mb4_0900_bin;

CREATE TABLE flowdsl_taken (
    taken_id VARCHAR(255) NOT NULL,
    name VARCHAR(255) NOT NULL,
    topic VARCHAR(480) NOT NULL,
    reader VARCHAR(255) NOT NULL,
    expires BIGINT NOT NULL,
    places LONGTEXT NOT NULL,
    PRIMARY KEY (taken_id)
)ENGINE=InnoDB CHARSET=utf8mb4 COLLATE utf8mb4_0900_bin;

CREATE INDEX flowdsl_taken_expires ON flowdsl_taken (name, topic, expires);

UPDATE flowdsl_version SET version_num='0002' WHERE flowdsl_version.version_num = '0001';

-- Running upgrade 0002 -> 0003

CREATE INDEX flowdsl_run_finished ON flowdsl_run (namespace, workflow, finished);

CREATE INDEX flowdsl_run_state ON flowdsl_run (namespace, state, created, run_id);

UPDATE flowdsl_version SET version_num='0003' WHERE flowdsl_version.version_num = '0002';

CREATE TABLE flowdsl_candidate (
    `member` VARCHAR(255) NOT NULL,
    roles LONGTEXT NOT NULL,
    expires BIGINT NOT NULL,
    PRIMARY KEY (`member`)
)ENGINE=InnoDB CHARSET=utf8mb4 COLLATE utf8mb4_0900_bin

CREATE TABLE flowdsl_event (
    topic VARCHAR(480) NOT NULL,
    place BIGINT NOT NULL,
    event LONGBLOB NOT NULL,
    created BIGINT NOT NULL,
    PRIMARY KEY (topic, place)
)ENGINE=InnoDB CHARSET=utf8mb4 COLLATE utf8mb4_0900_bin

CREATE TABLE flowdsl_history (
    run_id VARCHAR(255) NOT NULL,
    version BIGINT NOT NULL,
    from_status VARCHAR(255),
    to_status VARCHAR(255) NOT NULL,
    from_state SMALLINT NOT NULL,
    to_state SMALLINT NOT NULL,
    cause VARCHAR(255) NOT NULL,
    name LONGTEXT NOT NULL,
    actor LONGTEXT NOT NULL,
    reason LONGTEXT,
    error LONGTEXT,
    attempt INTEGER NOT NULL,
    change_id VARCHAR(255) NOT NULL,
    at BIGINT NOT NULL,
    PRIMARY KEY (run_id, version)
)ENGINE=InnoDB CHARSET=utf8mb4 COLLATE utf8mb4_0900_bin

CREATE TABLE flowdsl_instance (
    namespace VARCHAR(255) NOT NULL,
    owner VARCHAR(255) NOT NULL,
    host LONGTEXT NOT NULL,
    pid BIGINT NOT NULL,
    pid_started LONGTEXT NOT NULL,
    expires BIGINT NOT NULL,
    gone BIGINT,
    PRIMARY KEY (namespace, owner)
)ENGINE=InnoDB CHARSET=utf8mb4 COLLATE utf8mb4_0900_bin

CREATE TABLE flowdsl_item (
    namespace VARCHAR(255) NOT NULL,
    kind VARCHAR(255) NOT NULL,
    item_key VARCHAR(255) NOT NULL,
    body LONGBLOB NOT NULL,
    due BIGINT,
    created BIGINT NOT NULL,
    change_id VARCHAR(255) NOT NULL,
    PRIMARY KEY (namespace, kind, item_key)
)ENGINE=InnoDB CHARSET=utf8mb4 COLLATE utf8mb4_0900_bin

CREATE INDEX flowdsl_item_due ON flowdsl_item (namespace, kind, due)

CREATE TABLE flowdsl_lease (
    `role` VARCHAR(700) NOT NULL,
    `member` VARCHAR(255),
    token BIGINT NOT NULL,
    expires BIGINT NOT NULL,
    PRIMARY KEY (`role`)
)ENGINE=InnoDB CHARSET=utf8mb4 COLLATE utf8mb4_0900_bin

CREATE TABLE flowdsl_pending (
    row_id VARCHAR(255) NOT NULL,
    namespace VARCHAR(255) NOT NULL,
    workflow VARCHAR(255) NOT NULL,
    topic VARCHAR(480) NOT NULL,
    kind SMALLINT NOT NULL,
    receiver VARCHAR(255) NOT NULL,
    run_id VARCHAR(255) NOT NULL,
    version BIGINT NOT NULL,
    visit BIGINT NOT NULL,
    due BIGINT,
    remaining BIGINT,
    created BIGINT NOT NULL,
    priority INTEGER NOT NULL,
    owner VARCHAR(255),
    delivery INTEGER NOT NULL,
    attempts INTEGER NOT NULL,
    lapses INTEGER NOT NULL,
    last_error LONGTEXT,
    payload LONGBLOB,
    mark VARCHAR(255),
    waiting BIGINT GENERATED ALWAYS AS (CASE WHEN owner IS NULL THEN due END) STORED,
    PRIMARY KEY (row_id)
)ENGINE=InnoDB CHARSET=utf8mb4 COLLATE utf8mb4_0900_bin

CREATE INDEX flowdsl_pending_due ON flowdsl_pending (namespace, topic, priority, waiting)

CREATE INDEX flowdsl_pending_owner ON flowdsl_pending (namespace, owner)

CREATE INDEX flowdsl_pending_run ON flowdsl_pending (run_id)

CREATE TABLE flowdsl_reader (
    name VARCHAR(255) NOT NULL,
    topic VARCHAR(480) NOT NULL,
    next_place BIGINT NOT NULL,
    PRIMARY KEY (name, topic)
)ENGINE=InnoDB CHARSET=utf8mb4 COLLATE utf8mb4_0900_bin

CREATE TABLE flowdsl_run (
    run_id VARCHAR(255) NOT NULL,
    namespace VARCHAR(255) NOT NULL,
    workflow VARCHAR(255) NOT NULL,
    foreign_id VARCHAR(255) NOT NULL,
    status VARCHAR(255) NOT NULL,
    state SMALLINT NOT NULL,
    version BIGINT NOT NULL,
    visit BIGINT NOT NULL,
    task BIGINT NOT NULL,
    payload LONGBLOB,
    content_type VARCHAR(255),
    schema_version INTEGER,
    created BIGINT NOT NULL,
    updated BIGINT NOT NULL,
    finished BIGINT,
    change_id VARCHAR(255) NOT NULL,
    reason LONGTEXT,
    actor LONGTEXT,
    last_error LONGTEXT,
    auto_resumes INTEGER NOT NULL,
    timers SMALLINT NOT NULL,
    requested_state SMALLINT,
    requested_reason LONGTEXT,
    requested_actor LONGTEXT,
    metadata LONGTEXT,
    tags LONGTEXT,
    parent_run_id VARCHAR(255),
    priority INTEGER NOT NULL,
    unfinished SMALLINT GENERATED ALWAYS AS (CASE WHEN finished IS NULL THEN 1 END) STORED,
    PRIMARY KEY (run_id)
)ENGINE=InnoDB CHARSET=utf8mb4 COLLATE utf8mb4_0900_bin

CREATE INDEX flowdsl_run_created ON flowdsl_run (namespace, created, run_id)

CREATE INDEX flowdsl_run_finished ON flowdsl_run (namespace, workflow, finished)

CREATE INDEX flowdsl_run_foreign ON flowdsl_run (namespace, workflow, foreign_id, created)

CREATE INDEX flowdsl_run_state ON flowdsl_run (namespace, state, created, run_id)

CREATE UNIQUE INDEX flowdsl_run_unfinished ON flowdsl_run (namespace, workflow, foreign_id, unfinished)

CREATE TABLE flowdsl_taken (
    taken_id VARCHAR(255) NOT NULL,
    name VARCHAR(255) NOT NULL,
    topic VARCHAR(480) NOT NULL,
    reader VARCHAR(255) NOT NULL,
    expires BIGINT NOT NULL,
    places LONGTEXT NOT NULL,
    PRIMARY KEY (taken_id)
)ENGINE=InnoDB CHARSET=utf8mb4 COLLATE utf8mb4_0900_bin

CREATE INDEX flowdsl_taken_expires ON flowdsl_taken (name, topic, expires)

CREATE TABLE flowdsl_topic (
    topic VARCHAR(480) NOT NULL,
    head BIGINT NOT NULL,
    PRIMARY KEY (topic)
)ENGINE=InnoDB CHARSET=utf8mb4 COLLATE utf8mb4_0900_bin

INSERT INTO flowdsl_run (run_id, namespace, workflow, foreign_id, status, state, version, visit, task, payload, content_type, schema_version, created, updated, finished, change_id, auto_resumes, timers, metadata, tags, parent_run_id, priority) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON DUPLICATE KEY UPDATE flowdsl_run.run_id = flowdsl_run.run_id

UPDATE flowdsl_run r JOIN (SELECT ? AS status, ? AS state, ? AS visit, ? AS task, ? AS payload, ? AS content_type, ? AS schema_version, ? AS updated, ? AS finished, ? AS change_id, ? AS reason, ? AS actor, ? AS last_error, ? AS auto_resumes, ? AS timers, ? AS run_id, ? AS version UNION ALL SELECT ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) v ON r.run_id = v.run_id AND r.version = v.version SET r.version = r.version + 1, r.requested_state = NULL, r.requested_reason = NULL, r.requested_actor = NULL, r.status = v.status, r.state = v.state, r.visit = v.visit, r.task = COALESCE(v.task, r.task), r.payload = COALESCE(v.payload, r.payload), r.content_type = COALESCE(v.content_type, r.content_type), r.schema_version = COALESCE(v.schema_version, r.schema_version), r.updated = v.updated, r.finished = v.finished, r.change_id = v.change_id, r.reason = v.reason, r.actor = v.actor, r.last_error = v.last_error, r.auto_resumes = v.auto_resumes, r.timers = v.timers

INSERT INTO flowdsl_pending (row_id, namespace, workflow, topic, kind, receiver, run_id, version, visit, due, remaining, created, priority, owner, delivery, attempts, lapses, last_error, payload, mark) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON DUPLICATE KEY UPDATE namespace = VALUES(namespace), workflow = VALUES(workflow), topic = VALUES(topic), kind = VALUES(kind), receiver = VALUES(receiver), run_id = VALUES(run_id), version = VALUES(version), visit = VALUES(visit), due = VALUES(due), remaining = VALUES(remaining), created = VALUES(created), priority = VALUES(priority), owner = VALUES(owner), delivery = VALUES(delivery), attempts = VALUES(attempts), lapses = VALUES(lapses), last_error = VALUES(last_error), payload = VALUES(payload), mark = VALUES(mark)

-- What a restart needs. Rows of the ChirpStack FUOTA Server have no state: they can be read, and are never
-- resumed. It can not go on with this database: it reads with "select *" and refuses columns that it does not
-- know. docs/getting-started-v3.md has the way back.

create table firmware (
    sha256 bytea primary key,
    created_at timestamp with time zone not null,
    image bytea not null
);
-- Firmware is packed or encrypted: compressing it again only takes time.
alter table firmware alter column image set storage external;

alter table deployment
    add column plan jsonb,
    add column mc_key bytea,  -- sealed
    add column firmware_sha256 bytea references firmware,
    add column state jsonb,
    add column version integer,
    add column live boolean not null default false;

create index deployment_live on deployment (created_at, id) where live;

alter table deployment_device
    add column mc_root_key bytea,  -- sealed
    add column mc_group_id smallint,
    add column frag_index smallint,
    add column state jsonb,
    add column version integer,
    add column live boolean not null default false;

-- A device is in one live deployment for each of its multicast groups and fragmentation sessions.
create unique index deployment_device_mc_group on deployment_device (dev_eui, mc_group_id) where live;
create unique index deployment_device_frag_index on deployment_device (dev_eui, frag_index) where live;

-- Room for a second version of each row beside the first, so that an update leaves the indexes alone.
alter table deployment_device set (fillfactor = 70);

create table transition (
    deployment_id uuid not null references deployment on delete cascade,
    dev_eui bytea not null,  -- empty: the deployment itself
    version integer not null,
    at timestamp with time zone not null,
    cause text not null,
    live boolean not null,
    state jsonb not null,

    primary key (deployment_id, dev_eui, version)
);

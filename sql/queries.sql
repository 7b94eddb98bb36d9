-- Every statement of the journal, by name. Many rows go in as one array for each column.

-- name: configure_patience
-- Before all else, in the shortest of statements: the next one may take longer than a role is allowed.
set statement_timeout = 0

-- name: configure
-- Of a new connection, whatever the role, the database, its server or the dsn has set. A name that this version of
-- PostgreSQL does not know is passed over. What is not here is the operator's, as search_path is, and whether
-- transactions only read.
select set_config(name, value, false)
from (
    values
        -- what is written and read means what the driver takes it to mean
        ('client_encoding', 'UTF8'),
        ('standard_conforming_strings', 'on'),  -- else octets that are copied have a backslash more
        ('array_nulls', 'on'),  -- else NULL in an array is a text
        ('DateStyle', 'ISO'),
        ('TimeZone', 'UTC'),
        ('extra_float_digits', '1'),  -- else seconds may be rounded to tens
        -- each statement sees what was committed before it
        ('default_transaction_isolation', 'read committed'),
        -- how long each may take, we see to ourselves
        ('statement_timeout', '0'),
        ('transaction_timeout', '0'),
        ('lock_timeout', '0'),
        ('idle_session_timeout', '0'),
        -- a transaction whose client has vanished ends soon, with its locks
        ('idle_in_transaction_session_timeout', '30s'),
        ('tcp_keepalives_idle', '10'),
        ('tcp_keepalives_interval', '5'),
        ('tcp_keepalives_count', '3')
) as wanted (name, value)
join pg_settings using (name)

-- name: configure_client_check
-- Apart, for not every system lets PostgreSQL look for clients that have vanished: on Windows, and on others before
-- version 15, every interval but 0 is refused.
select set_config(name, '5s', false) from pg_settings where name = 'client_connection_check_interval'

-- name: begin_writing
-- Of every transaction that writes: the owner can not change before it has ended. Returns its id for
-- transaction_status, if the connection is lost before COMMIT is answered. (PostgreSQL 13 has other names for
-- both functions, but knows these.)
select txid_current() from ownership where epoch = %(epoch)s and holder = %(holder)s for key share

-- name: write_nothing
-- Fails where nothing can be written.
select txid_current() from ownership for key share

-- name: transaction_status
select txid_status(%s)

-- name: insert_transitions
-- Returns those that are new. One that is not new may be written already; see same_transitions.
with given as (
    -- one row for each step, with the times of the milestones that it reaches
    select *
    from unnest(
        %(deployment_id)b::uuid[], %(dev_eui)b::bytea[], %(version)b::integer[], %(at)b::timestamptz[],
        %(cause)b::text[], %(live)b::boolean[], %(state)b::text[]::jsonb[],
        %(mc_group_setup)b::timestamptz[], %(frag_session_setup)b::timestamptz[],
        %(mc_session)b::timestamptz[], %(enqueue)b::timestamptz[], %(frag_status)b::timestamptz[]
    ) as given (
        deployment_id, dev_eui, version, at, cause, live, state,
        mc_group_setup, frag_session_setup, mc_session, enqueue, frag_status
    )
),
written as (
    -- the fence: of each version of an actor there is one, whoever writes it, and none of what was deleted
    insert into transition (deployment_id, dev_eui, version, at, cause, live, state)
    select deployment_id, dev_eui, version, at, cause, live, state
    from given
    where exists (select from deployment where id = deployment_id)
    on conflict do nothing
    returning deployment_id, dev_eui, version
),
fresh as (
    -- only these change the rows below: one that is given again must not undo what has followed it
    select given.* from given join written using (deployment_id, dev_eui, version)
),
deployments as (
    -- the latest state; a milestone keeps the time at which it was reached first
    update deployment as old set
        updated_at = fresh.at,
        state = fresh.state,
        version = fresh.version,
        live = fresh.live,
        mc_group_setup_completed_at = coalesce(old.mc_group_setup_completed_at, fresh.mc_group_setup),
        frag_session_setup_completed_at = coalesce(old.frag_session_setup_completed_at, fresh.frag_session_setup),
        mc_session_completed_at = coalesce(old.mc_session_completed_at, fresh.mc_session),
        enqueue_completed_at = coalesce(old.enqueue_completed_at, fresh.enqueue),
        frag_status_completed_at = coalesce(old.frag_status_completed_at, fresh.frag_status)
    from fresh
    where old.id = fresh.deployment_id and fresh.dev_eui = ''
),
devices as (
    -- the same, for pages what the device has ended as, and what it may go on to tell of before (verdict.nb_frag_before)
    update deployment_device as old set
        updated_at = fresh.at,
        state = fresh.state,
        version = fresh.version,
        live = fresh.live,
        ended = case when not fresh.live then fresh.state->>'state' end,
        nb_frag_before = case
            when fresh.state->>'state' = 'incomplete' and fresh.state->'otherwise' ? 'nb_frag_received'
                then (fresh.state->'otherwise'->>'nb_frag_received')::integer
            when not coalesce((fresh.state->>'counts_anew')::boolean, false) then old.nb_frag_before
        end,
        mc_group_setup_completed_at = coalesce(old.mc_group_setup_completed_at, fresh.mc_group_setup),
        frag_session_setup_completed_at = coalesce(old.frag_session_setup_completed_at, fresh.frag_session_setup),
        mc_session_completed_at = coalesce(old.mc_session_completed_at, fresh.mc_session),
        frag_status_completed_at = coalesce(old.frag_status_completed_at, fresh.frag_status)
    from fresh
    where old.deployment_id = fresh.deployment_id and old.dev_eui = fresh.dev_eui
)
select deployment_id, dev_eui, version from written

-- name: same_transitions
-- Returns those that are written exactly as they are given.
select deployment_id, dev_eui, version
from unnest(
    %(deployment_id)b::uuid[], %(dev_eui)b::bytea[], %(version)b::integer[], %(at)b::timestamptz[],
    %(cause)b::text[], %(live)b::boolean[], %(state)b::text[]::jsonb[]
) as given (deployment_id, dev_eui, version, at, cause, live, state)
join transition using (deployment_id, dev_eui, version, at, cause, live, state)

-- name: select_existing
select id from deployment where id = any(%b)

-- name: insert_logs
insert into deployment_log (created_at, deployment_id, dev_eui, f_port, command, fields)
select
    created_at, deployment_id, dev_eui, f_port, command,
    coalesce((select hstore(array_agg(key), array_agg(value)) from jsonb_each_text(fields)), '')
from unnest(
    %(created_at)b::timestamptz[], %(deployment_id)b::uuid[], %(dev_eui)b::bytea[], %(f_port)b::smallint[],
    %(command)b::text[], %(fields)b::text[]::jsonb[]
) with ordinality as given (created_at, deployment_id, dev_eui, f_port, command, fields, place)
where exists (select from deployment where id = deployment_id)
order by place
returning id

-- name: select_log
select from deployment_log where id = %s

-- name: delete_deployment
delete from deployment where id = %s

-- name: insert_firmware
insert into firmware (sha256, created_at, image)
values (%(sha256)b, %(created_at)s, %(image)b)
on conflict do nothing

-- name: insert_deployment
insert into deployment (id, created_at, updated_at, plan, mc_key, firmware_sha256, state, version, live)
values (
    %(id)s, %(created_at)s, %(created_at)s, %(plan)s::jsonb, %(mc_key)b, %(sha256)b, %(state)s::jsonb, 1, true
)

-- name: select_nb_frag_before
-- As each has told it last, octets and all; without those that were complete by it or since. (What a device says is
-- heard by each deployment it is in, one of which it may have failed before. And what one says that is complete is not
-- looked at any more.)
select asked.dev_eui, (told.fields->'nb_frag_received')::integer
from unnest(%(dev_eui)b::bytea[]) as asked (dev_eui)
cross join lateral (
    select log.created_at, log.fields from deployment_log as log
    join deployment_device as old on old.deployment_id = log.deployment_id and old.dev_eui = log.dev_eui
    where
        log.dev_eui = asked.dev_eui
        and log.command = 'FragSessionStatusAns'
        and (log.created_at <= old.frag_status_completed_at + interval '1 minute') is not false
    order by log.id desc
    limit 1
) as told
where
    told.fields->'nb_frag_received' ~ '^[0-9]{1,5}$'
    and not exists (
        select from deployment_log as log
        join deployment_device as old on old.deployment_id = log.deployment_id and old.dev_eui = log.dev_eui
        where
            log.dev_eui = asked.dev_eui
            and log.command = 'FragSessionStatusAns'
            and old.frag_status_completed_at > told.created_at - interval '1 minute'
    )

-- name: copy_devices
copy deployment_device (
    deployment_id, dev_eui, created_at, updated_at, nb_frag_before, mc_root_key, mc_group_id, frag_index,
    state, version, live
) from stdin

-- name: insert_first_transitions
insert into transition (deployment_id, dev_eui, version, at, cause, live, state)
select id, ''::bytea, version, created_at, 'created', live, state
from deployment
where id = %(id)s
union all
select deployment_id, dev_eui, version, created_at, 'created', live, state
from deployment_device
where deployment_id = %(id)s

-- name: release_claims
-- Of devices whose deployment has ended, and whose own last steps a failover has lost.
update deployment_device as old set live = false
from deployment
where
    deployment.id = old.deployment_id and not deployment.live
    and old.live and old.dev_eui = any(%(dev_eui)b)

-- name: select_claims
-- Who has the devices, of those that some live deployment has.
select dev_eui, mc_group_id = %(mc_group_id)s as mc_group, deployment_id
from deployment_device
where live and dev_eui = any(%(dev_eui)b) and (mc_group_id = %(mc_group_id)s or frag_index = %(frag_index)s)
order by dev_eui, mc_group desc
limit 1

-- name: select_unfinished
select id from deployment where live order by created_at, id

-- name: select_deployment
select created_at, plan::text, mc_key, state::text, version from deployment where id = %s and state is not null

-- name: select_devices
select dev_eui, mc_root_key, state::text, version, nb_frag_before
from deployment_device
where deployment_id = %(deployment_id)s and dev_eui > %(after)b and state is not null
order by dev_eui
limit %(most)s

-- name: select_firmware
select image from firmware where sha256 = %b

-- name: select_status
select
    created_at, updated_at, mc_group_setup_completed_at, frag_session_setup_completed_at,
    mc_session_completed_at, enqueue_completed_at, frag_status_completed_at, state::text
from deployment
where id = %s

-- name: select_device_status
select
    dev_eui, created_at, updated_at, mc_group_setup_completed_at, frag_session_setup_completed_at,
    mc_session_completed_at, frag_status_completed_at, state::text
from deployment_device
where deployment_id = %(deployment_id)s and dev_eui > %(after)b
order by dev_eui
limit %(most)s

-- name: select_summary
select
    id, created_at, updated_at, plan::text, state::text, mc_group_setup_completed_at,
    frag_session_setup_completed_at, mc_session_completed_at, enqueue_completed_at, frag_status_completed_at
from deployment
where id = %s

-- name: select_overview
-- With the first of those transitions that follow the last into another state, and the devices counted.
select
    id, created_at, updated_at, plan::text, state::text, mc_group_setup_completed_at,
    frag_session_setup_completed_at, mc_session_completed_at, enqueue_completed_at, frag_status_completed_at,
    coalesce(
        (
            select min(at) from transition
            where deployment_id = deployment.id and dev_eui = '' and version > (
                select coalesce(max(other.version), 0) from transition as other
                where other.deployment_id = deployment.id and other.dev_eui = ''
                    and other.state->>'state' <> deployment.state->>'state'
            )
        ),
        updated_at
    ),
    (
        select json_agg(json_build_array(state, reason, number))
        from (
            select state->>'state' as state, state->>'reason' as reason, count(*) as number
            from deployment_device
            where deployment_id = deployment.id
            group by 1, 2
        ) as counted
    )
from deployment
where id = %s

-- name: select_summaries
select
    id, created_at, updated_at, plan::text, state::text, mc_group_setup_completed_at,
    frag_session_setup_completed_at, mc_session_completed_at, enqueue_completed_at, frag_status_completed_at
from deployment
where
    (created_at, id) < (
        coalesce(%(created_at)s::timestamptz, 'infinity'),
        coalesce(%(id)s::uuid, 'ffffffff-ffff-ffff-ffff-ffffffffffff')
    )
    and (%(states)s::text[] is null or coalesce(state->>'state', '') = any(%(states)s::text[]))
order by created_at desc, id desc
limit %(most)s

-- name: select_device_page
select
    dev_eui, created_at, updated_at, mc_group_setup_completed_at, frag_session_setup_completed_at,
    mc_session_completed_at, frag_status_completed_at, state::text
from deployment_device
where
    deployment_id = %(deployment_id)s and dev_eui > %(after)b
    and (%(states)s::text[] is null or coalesce(state->>'state', '') = any(%(states)s::text[]))
    and (%(reasons)s::text[] is null or state->>'reason' = any(%(reasons)s::text[]))
order by dev_eui
limit %(most)s

-- name: select_ended_device_page
-- The same for states that do not change any more, which have an index.
select
    dev_eui, created_at, updated_at, mc_group_setup_completed_at, frag_session_setup_completed_at,
    mc_session_completed_at, frag_status_completed_at, state::text
from deployment_device
where
    deployment_id = %(deployment_id)s and dev_eui > %(after)b
    and ended is not null and ended = any(%(states)s::text[])
    and (%(reasons)s::text[] is null or state->>'reason' = any(%(reasons)s::text[]))
order by dev_eui
limit %(most)s

-- name: select_device
select from deployment_device where deployment_id = %s and dev_eui = %b

-- name: select_logs
select created_at, f_port, command, hstore_to_json(fields)::text
from deployment_log
where deployment_id = %s and dev_eui = %b
order by id

-- name: try_ownership_lock
-- Such a lock counts in the whole database, and the table in a schema of it: so its key has the table in it.
select pg_try_advisory_lock(%(key)s # ('ownership'::regclass::oid::bigint << 32))

-- name: select_ownership
select epoch, holder, seen_at::text, extract(epoch from clock_timestamp() - seen_at)::float8 from ownership

-- name: take_ownership
-- If nothing was heard of its owner since we looked.
update ownership
set epoch = epoch + 1, holder = %(holder)s, since = clock_timestamp(), seen_at = clock_timestamp()
where epoch = %(epoch)s and seen_at = %(seen_at)s::timestamptz
returning epoch

-- name: take_ownership_to_rotate
-- The epoch in thousands of millions counts the changes of the master key (MASTER_KEY in postgres_ownership.py).
update ownership
set epoch = (epoch / %(master_key)s + 1) * %(master_key)s, holder = %(holder)s,
    since = clock_timestamp(), seen_at = clock_timestamp()
where epoch = %(epoch)s and seen_at = %(seen_at)s::timestamptz
returning epoch

-- name: renew_ownership
update ownership set seen_at = clock_timestamp() where epoch = %(epoch)s and holder = %(holder)s returning epoch

-- name: release_ownership
update ownership set holder = 'nobody' where epoch = %(epoch)s and holder = %(holder)s returning epoch

-- name: end_owners_sessions
-- The one that has the lock and, if wanted, those in the middle of a transaction that writes (begin_writing).
select pg_terminate_backend(pid)
from pg_locks
where granted and pid <> pg_backend_pid()
    and database = (select oid from pg_database where datname = current_database())
    and case locktype
        when 'advisory' then
            objsubid = 1
            and (classid::bigint << 32) | objid::bigint = %(key)s # ('ownership'::regclass::oid::bigint << 32)
        when 'relation' then %(writing)s and relation = 'ownership'::regclass and mode = 'RowShareLock'
    end

-- name: select_mc_keys_to_reseal
-- The first octet of what is sealed is the number of the master key.
select id, ''::bytea, mc_key from deployment
where id > %(deployment_id)s and mc_key is not null and get_byte(mc_key, 0) <> %(current)s
order by id
limit %(most)s

-- name: update_mc_keys
update deployment set mc_key = sealed
from unnest(%(deployment_id)b::uuid[], %(dev_eui)b::bytea[], %(sealed)b::bytea[])
    as given (deployment_id, dev_eui, sealed)
where id = given.deployment_id

-- name: select_mc_root_keys_to_reseal
select deployment_id, dev_eui, mc_root_key from deployment_device
where (deployment_id, dev_eui) > (%(deployment_id)s, %(dev_eui)b)
    and mc_root_key is not null and get_byte(mc_root_key, 0) <> %(current)s
order by deployment_id, dev_eui
limit %(most)s

-- name: update_mc_root_keys
update deployment_device as old set mc_root_key = sealed
from unnest(%(deployment_id)b::uuid[], %(dev_eui)b::bytea[], %(sealed)b::bytea[])
    as given (deployment_id, dev_eui, sealed)
where old.deployment_id = given.deployment_id and old.dev_eui = given.dev_eui

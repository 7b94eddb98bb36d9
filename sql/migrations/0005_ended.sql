-- For PostgreSQL, an index on (state->>'state') is one on state: every step of a device put it into every index
-- anew. So what a device has ended as has a column of its own, which is null until then.

drop index deployment_device_ended;
alter table deployment_device add column ended text;
update deployment_device set ended = state->>'state' where not live;
create index deployment_device_ended on deployment_device (deployment_id, ended, dev_eui) where ended is not null;

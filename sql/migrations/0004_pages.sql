-- What those who look at deployments page through.

create index deployment_created on deployment (created_at, id);

-- A device comes into this index once, when it ends.
create index deployment_device_ended on deployment_device (deployment_id, (state->>'state'), dev_eui)
where not live;

-- Which server runs the deployments. The number is the key of the table, so that a transaction which
-- depends on it (for key share) keeps it from changing, but not from being renewed.

create table ownership (
    epoch bigint primary key,
    holder text not null,
    since timestamp with time zone not null,
    seen_at timestamp with time zone not null
);

-- One row.
create unique index ownership_one on ownership ((true));

insert into ownership values (0, 'nobody', now(), 'epoch');

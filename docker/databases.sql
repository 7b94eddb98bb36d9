-- The databases of the compose file, made when PostgreSQL starts for the first time.

CREATE ROLE chirpstack_as LOGIN PASSWORD 'chirpstack_as';
CREATE DATABASE chirpstack_as OWNER chirpstack_as;
\connect chirpstack_as
CREATE EXTENSION pg_trgm;
CREATE EXTENSION hstore;

CREATE ROLE chirpstack_ns LOGIN PASSWORD 'chirpstack_ns';
CREATE DATABASE chirpstack_ns OWNER chirpstack_ns;
\connect chirpstack_ns
CREATE EXTENSION pg_trgm;

CREATE ROLE fuota LOGIN PASSWORD 'fuota';
CREATE DATABASE fuota OWNER fuota;
\connect fuota
CREATE EXTENSION hstore;

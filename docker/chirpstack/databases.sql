-- The databases of the compose file, made when PostgreSQL starts for the first time.

CREATE ROLE chirpstack LOGIN PASSWORD 'chirpstack';
CREATE DATABASE chirpstack OWNER chirpstack;
\connect chirpstack
CREATE EXTENSION pg_trgm;

CREATE ROLE fuota LOGIN PASSWORD 'fuota';
CREATE DATABASE fuota OWNER fuota;
\connect fuota
CREATE EXTENSION hstore;

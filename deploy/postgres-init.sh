#!/bin/sh
# Runs once, on an empty data folder. Creates the logins and databases of Offerflow and Temporal.
#   offerflow_owner  owns the schema and runs migrations; nothing else uses it
#   offerflow        the processes' login: a member of the two working roles, owns nothing
set -eu
psql -v ON_ERROR_STOP=1 -U postgres \
	-v owner="$OFFERFLOW_OWNER_PASSWORD" -v app="$OFFERFLOW_DATABASE_PASSWORD" -v temporal="$TEMPORAL_DATABASE_PASSWORD" <<'SQL'
CREATE ROLE offerflow_owner LOGIN PASSWORD :'owner';
CREATE ROLE offerflow_app NOLOGIN NOBYPASSRLS;
CREATE ROLE offerflow_system NOLOGIN NOBYPASSRLS;
GRANT offerflow_app, offerflow_system TO offerflow_owner WITH ADMIN OPTION;
CREATE ROLE offerflow LOGIN PASSWORD :'app';
GRANT offerflow_app, offerflow_system TO offerflow;
CREATE DATABASE offerflow OWNER offerflow_owner;

CREATE ROLE temporal LOGIN PASSWORD :'temporal';
CREATE DATABASE temporal OWNER temporal;
CREATE DATABASE temporal_visibility OWNER temporal;
SQL

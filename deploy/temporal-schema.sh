#!/bin/sh
# Migrates Temporal's two databases to the schema of this image's version. It may be run repeatedly.
# The password is in SQL_PASSWORD.
set -eu
schema() {
	db=$1 dir=/etc/temporal/schema/postgresql/v12/$2/versioned
	tool="temporal-sql-tool --plugin postgres12 --ep postgres -p 5432 -u temporal --db $db"
	# A database without any schema has no version to start from.
	$tool update-schema -d "$dir" || { $tool setup-schema -v 0.0 && $tool update-schema -d "$dir"; }
}
schema temporal temporal
schema temporal_visibility visibility

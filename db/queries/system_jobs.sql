-- Across tenants, by the system role.

-- name: SystemForgetUploads :execrows
-- Uploads whose sender went away.
WITH lost AS (DELETE FROM jobs WHERE state = 'receiving' AND created_at < @before RETURNING tenant_id, id)
DELETE FROM job_items i USING lost WHERE i.tenant_id = lost.tenant_id AND i.job_id = lost.id;

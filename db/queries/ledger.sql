-- name: InsertLedgerTransaction :exec
INSERT INTO ledger_transactions (tenant_id, id, conversion_id, sequence, at) VALUES ($1, $2, $3, $4, $5);

-- name: InsertLedgerEntries :exec
-- All lines in one statement: the balance is checked per statement (rule 41).
INSERT INTO ledger_entries (tenant_id, transaction_id, line, account, party, currency, amount_micros)
SELECT @tenant_id, @transaction_id, e.line, e.account, e.party, e.currency, e."amountMicros"
FROM jsonb_to_recordset(@entries::jsonb) AS e(line smallint, account text, party text, currency text, "amountMicros" bigint);

-- name: AddPoints :exec
INSERT INTO member_balances (tenant_id, pub_member_id, points_micros) VALUES ($1, $2, $3)
ON CONFLICT (tenant_id, pub_member_id) DO UPDATE SET points_micros = member_balances.points_micros + excluded.points_micros;

-- name: LedgerOfConversions :many
SELECT t.conversion_id, t.sequence, t.at, e.* FROM ledger_entries e
JOIN ledger_transactions t ON t.tenant_id = e.tenant_id AND t.id = e.transaction_id
WHERE t.tenant_id = @tenant_id AND t.conversion_id = ANY(@conversion_ids::uuid[]) ORDER BY t.at, t.id, e.line;

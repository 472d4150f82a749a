package api

import (
	"context"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/offerflow/offerflow/api/problem"
)

// batches is how far a list has been read that is read in batches. Each batch is a transaction of its own, so
// that a slow client holds no connection.
type batches struct {
	// after is the order and the id of the last row that was read; nil at the start.
	after []any
	// more says that another batch follows.
	more bool
}

// batch reads the rows behind those of the last batch. An order that has no index is sorted once for all, and
// so is bounded.
func (l listing[T]) batch(ctx context.Context, tx pgx.Tx, in ListInput, where, order string, args []any) ([]T, error) {
	if !l.inOrder(in) {
		rows, err := tx.Query(ctx, fmt.Sprintf("SELECT %s FROM %s%s%s LIMIT %d", l.columns, l.from, where, order, maxSortedCSV+1), args...)
		if err != nil {
			return nil, err
		}
		items, err := pgx.AppendRows([]T{}, rows, l.scan)
		if err == nil && len(items) > maxSortedCSV {
			err = problem.BadField("orderby", fmt.Sprintf("CSV cannot sort more than %d rows by %s: omit orderby, or filter", maxSortedCSV, in.OrderBy))
		}
		return items, err
	}
	at := l.fields[l.order].column
	if in.batches.after != nil {
		condition := l.behind(in, len(args)+1)
		if where == "" {
			where = " WHERE " + condition
		} else {
			where += " AND " + condition
		}
		args = append(args, in.batches.after...)
	}
	query := fmt.Sprintf("SELECT %s, %s, %s FROM %s%s%s LIMIT %d", l.columns, at, l.id, l.from, where, order, csvBatch+1)
	rows, err := tx.Query(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	items := []T{}
	for rows.Next() {
		if len(items) == csvBatch {
			in.batches.more = true
			break
		}
		row := placedRow{CollectableRow: rows}
		item, err := l.scan(&row)
		if err != nil {
			return nil, err
		}
		items, in.batches.after = append(items, item), row.place[:]
	}
	rows.Close()
	return items, rows.Err()
}

// inOrder says whether the list is asked for in the order that its index has.
func (l listing[T]) inOrder(in ListInput) bool {
	return in.OrderBy == "" || strings.EqualFold(in.OrderBy, l.order)
}

// behind is the condition of the rows behind a place, whose order and id are parameters from that number on.
func (l listing[T]) behind(in ListInput, number int) string {
	beyond := "<"
	if in.OrderAsc {
		beyond = ">"
	}
	return fmt.Sprintf("(%s, %s) %s ($%d, $%d)", l.fields[l.order].column, l.id, beyond, number, number+1)
}

// placedRow is a row with its order and its id behind its columns, which the listing's scan does not see.
type placedRow struct {
	pgx.CollectableRow
	place [2]any
}

// FieldDescriptions satisfies pgx.CollectableRow.
func (r *placedRow) FieldDescriptions() []pgconn.FieldDescription {
	all := r.CollectableRow.FieldDescriptions()
	return all[:len(all)-len(r.place)]
}

// Scan satisfies pgx.CollectableRow.
func (r *placedRow) Scan(into ...any) error {
	return r.CollectableRow.Scan(append(into, &r.place[0], &r.place[1])...)
}

// RawValues satisfies pgx.CollectableRow.
func (r *placedRow) RawValues() [][]byte {
	all := r.CollectableRow.RawValues()
	return all[:len(all)-len(r.place)]
}

// Values satisfies pgx.CollectableRow.
func (r *placedRow) Values() ([]any, error) {
	all, err := r.CollectableRow.Values()
	return all[:max(0, len(all)-len(r.place))], err
}

// Package lookup bounds what clients can have looked up in the database: ids and tokens that are not in
// memory. Each client address has a budget of look-ups that find nothing, and so have all addresses together.
package lookup

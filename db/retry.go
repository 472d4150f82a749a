package db

import (
	"errors"
	"fmt"
)

// maxTries bounds how often Retry runs the same transaction.
const maxTries = 8

// ErrStillTaken is returned where every try of a transaction violated a unique index. A race with another
// transaction does not last that long.
var ErrStillTaken = errors.New("a unique key stays taken")

// Retry runs a transaction again while isRetryable accepts its error, at most eight times and without a
// pause in between. It returns the last error.
func Retry(isRetryable func(error) bool, transaction func() error) error {
	var err error
	for range maxTries {
		if err = transaction(); err == nil || !isRetryable(err) {
			return err
		}
	}
	return err
}

// RetryCollisions is Retry for what another transaction caused: a unique index that it filled first, a
// deadlock, a lost connection. It returns ErrStillTaken where the index stays taken.
func RetryCollisions(transaction func() error) error {
	err := Retry(func(err error) bool { return UniqueViolation(err) != "" || Retryable(err) }, transaction)
	if UniqueViolation(err) != "" {
		return fmt.Errorf("%w: %w", ErrStillTaken, err)
	}
	return err
}

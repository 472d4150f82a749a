// Package problem is every answer that is not a success: RFC 9457's problem details, what each error of the
// application becomes, and the id under which the log has the request.
package problem

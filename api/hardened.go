package api

import "net/http"

var noSniff = []string{"nosniff"}

// hardened goes before everything that is answered: a browser takes an answer for what its type says, so
// that no text of a stranger's becomes a script or a page of ours.
func hardened(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header()["X-Content-Type-Options"] = noSniff
		next.ServeHTTP(w, r)
	})
}

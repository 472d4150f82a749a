package domain

import "testing"

func TestRule51MailServersReplies(t *testing.T) {
	t.Parallel()
	for code, want := range map[int]Verdict{
		0: VerdictRetry, 250: VerdictDelivered, 251: VerdictDelivered, 354: VerdictRetry, 421: VerdictRetry, 450: VerdictRetry, 452: VerdictRetry,
		500: VerdictStop, 550: VerdictStop, 554: VerdictStop, 410: VerdictRetry, 600: VerdictRetry,
	} {
		if got := JudgeMail(code); got != want {
			t.Errorf("%d is %s, not %s", code, got, want)
		}
	}
}

package domain

// JudgeMail is the verdict on a mail server's reply to one message (rule 51, in SMTP's codes); 0
// stands for none: the server could not be reached, turned us away before it heard of the message,
// or fell silent. 4yz asks for another try, 5yz is final for this message.
func JudgeMail(code int) Verdict {
	switch {
	case code >= 200 && code <= 299:
		return VerdictDelivered
	case code >= 500 && code <= 599:
		return VerdictStop
	default:
		return VerdictRetry
	}
}

package activities

// Shorten cuts a text to a number of characters; an ellipsis stands for what was cut off.
func Shorten(text string, limit int) string {
	runes := []rune(text)
	if len(runes) <= limit {
		return text
	}
	return string(runes[:limit-1]) + "…"
}

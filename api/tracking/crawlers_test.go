package tracking

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/offerflow/offerflow/domain"
)

// linesOf are the lines of a list that scripts/crawlers.sh wrote.
func linesOf(t testing.TB, text string) []string {
	t.Helper()
	lines := strings.Split(strings.TrimSuffix(text, "\n"), "\n")
	require.Greater(t, len(lines), 500)
	require.True(t, strings.HasPrefix(lines[0], "# "))
	return lines[1:]
}

func agentsOf(t testing.TB, file string) []string {
	t.Helper()
	text, err := os.ReadFile("testdata/" + file)
	require.NoError(t, err)
	return linesOf(t, string(text))
}

// Rule 47: every sample of the maintained list is a bot, and hardly any of people's agents.
func TestRule47KnownBots(t *testing.T) {
	for _, sample := range agentsOf(t, "crawler_samples.txt") {
		require.True(t, readUserAgent(domain.Truncated(sample, maxHeaderText)).bot, sample)
	}
	for _, previewer := range []string{
		"Mozilla/5.0 (Linux; Android 5.0) AppleWebKit/537.36 (KHTML, like Gecko) Mobile Safari/537.36 (compatible; TikTokSpider; ttspider-feedback@tiktok.com)",
		"facebookexternalhit/1.1 (+http://www.facebook.com/externalhit_uatext.php)", "WhatsApp/2.23.20.0", "TelegramBot (like TwitterBot)",
		"Slackbot-LinkExpanding 1.0 (+https://api.slack.com/robots)", "Mozilla/5.0 (compatible; Discordbot/2.0; +https://discordapp.com)",
	} {
		require.True(t, readUserAgent(previewer).bot, previewer)
	}
	people := agentsOf(t, "human_agents.txt")
	var taken []string
	for _, agent := range people {
		if readUserAgent(agent).bot {
			taken = append(taken, agent)
		}
	}
	require.LessOrEqual(t, len(taken)*1000, len(people), "%q", taken)
	for _, person := range []string{
		iPhone, "Mozilla/5.0",
		// In apps: people, whose browser names the app.
		"Mozilla/5.0 (iPhone; CPU iPhone OS 17_4 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Mobile/15E148 [FBAN/FBIOS;FBAV/450.0.0.38.108;FBDV/iPhone14,5]",
		"Mozilla/5.0 (iPhone; CPU iPhone OS 17_4 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Mobile/15E148 Instagram 320.0.0.22.109",
		"Mozilla/5.0 (Linux; Android 13; SM-A536B; wv) AppleWebKit/537.36 (KHTML, like Gecko) Version/4.0 Chrome/120.0.0.0 Mobile Safari/537.36 trill_320 musical_ly BytedanceWebview/d8a21c6",
		"Mozilla/5.0 (Linux; Android 12; CUBOT P60) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/119.0.0.0 Mobile Safari/537.36",
	} {
		require.False(t, readUserAgent(person).bot, person)
	}
}

// What the list is looked up by finds what its expressions match, and nothing else.
func TestRule47TheListIsWhatItsPatternsSay(t *testing.T) {
	var patterns []*regexp.Regexp
	for _, line := range linesOf(t, crawlerPatterns) {
		patterns = append(patterns, regexp.MustCompile(line))
	}
	agents := append(agentsOf(t, "crawler_samples.txt"), agentsOf(t, "human_agents.txt")[:100]...)
	for i := range 100 { // near misses
		agents = append(agents, strings.ToLower(agents[i*10]), " "+agents[i*10+1], agents[i*10+2]+" x")
	}
	for n, agent := range agents {
		if testing.Short() && n%10 != 0 {
			continue
		}
		want := false
		for _, pattern := range patterns {
			if want = pattern.MatchString(agent); want {
				break
			}
		}
		require.Equal(t, want, crawlers().matches(agent), agent)
	}
}

// BenchmarkKnownBot is a User-Agent that is not in the cache.
func BenchmarkKnownBot(b *testing.B) {
	agent := agentsOf(b, "human_agents.txt")[0]
	crawlers()
	b.ReportAllocs()
	for b.Loop() {
		_ = crawlers().matches(agent)
	}
}

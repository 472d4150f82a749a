package tracking

import (
	_ "embed" // the list of crawlers
	"regexp"
	"regexp/syntax"
	"strings"
	"sync"
)

// crawlerPatterns is the maintained list by which robots and link previews are known (rule 47): a regular
// expression a line. scripts/crawlers.sh brings it up to date.
//
//go:embed crawlers/patterns.txt
var crawlerPatterns string

// crawlerList finds any of a list of patterns in a User-Agent without trying each: nearly all of them
// are plain texts, or a few, which are looked up by the three bytes that they begin with.
type crawlerList struct {
	// begins are hashes of three bytes that some text begins with, texts those texts by their three bytes.
	begins [1 << 13]bool
	texts  map[[3]byte][]crawlerText
}

// crawlerText is a text that is looked for. What holds it is a crawler where the expression says so too;
// nil for one that needs no more looking.
type crawlerText struct {
	text string
	also *regexp.Regexp
}

var crawlers = sync.OnceValue(func() *crawlerList {
	list := &crawlerList{texts: map[[3]byte][]crawlerText{}}
	for line := range strings.Lines(crawlerPatterns) {
		if line = strings.TrimRight(line, "\n"); line != "" && line[0] != '#' {
			list.add(line)
		}
	}
	return list
})

// add panics on a pattern that cannot be looked up: a test goes over the list.
func (l *crawlerList) add(pattern string) {
	tree, err := syntax.Parse(pattern, syntax.Perl)
	if err != nil {
		panic("crawlers: " + err.Error())
	}
	tree = tree.Simplify()
	texts, also := allTexts(tree), (*regexp.Regexp)(nil)
	if len(texts) == 0 { // an expression that more than a few texts match
		texts, also = []string{longestText(tree)}, regexp.MustCompile(pattern)
	}
	for _, text := range texts {
		if len(text) < 3 {
			panic("crawlers: " + pattern + " holds no text that is long enough to look for")
		}
		begin := [3]byte{text[0], text[1], text[2]}
		l.begins[beginHash(begin)] = true
		l.texts[begin] = append(l.texts[begin], crawlerText{text, also})
	}
}

func beginHash(b [3]byte) uint32 {
	return (uint32(b[0])*0x9E3779B1 ^ uint32(b[1])*0x85EBCA6B ^ uint32(b[2])*0xC2B2AE35) >> 19
}

// matches says whether one of the patterns is found in a User-Agent.
func (l *crawlerList) matches(userAgent string) bool {
	for i := 0; i+3 <= len(userAgent); i++ {
		begin := [3]byte{userAgent[i], userAgent[i+1], userAgent[i+2]}
		if !l.begins[beginHash(begin)] {
			continue
		}
		for _, t := range l.texts[begin] {
			if strings.HasPrefix(userAgent[i:], t.text) && (t.also == nil || t.also.MatchString(userAgent)) {
				return true
			}
		}
	}
	return false
}

// maxTexts is how many texts an expression may stand for.
const maxTexts = 16

// allTexts are the texts that an expression stands for, where it stands for a few and nothing else.
func allTexts(tree *syntax.Regexp) []string {
	switch tree.Op {
	case syntax.OpLiteral:
		if tree.Flags&syntax.FoldCase == 0 {
			return []string{string(tree.Rune)}
		}
	case syntax.OpCapture:
		return allTexts(tree.Sub[0])
	case syntax.OpCharClass:
		return classTexts(tree.Rune)
	case syntax.OpAlternate:
		return alternativeTexts(tree.Sub)
	case syntax.OpConcat:
		return joinedTexts(tree.Sub)
	}
	return nil
}

func classTexts(ranges []rune) []string {
	var texts []string
	for i := 0; i < len(ranges); i += 2 {
		for c := ranges[i]; c <= ranges[i+1]; c++ {
			if texts = append(texts, string(c)); len(texts) > maxTexts {
				return nil
			}
		}
	}
	return texts
}

func alternativeTexts(parts []*syntax.Regexp) []string {
	var texts []string
	for _, part := range parts {
		more := allTexts(part)
		if texts = append(texts, more...); more == nil || len(texts) > maxTexts {
			return nil
		}
	}
	return texts
}

func joinedTexts(parts []*syntax.Regexp) []string {
	texts := []string{""}
	for _, part := range parts {
		var longer []string
		for _, end := range allTexts(part) {
			for _, text := range texts {
				longer = append(longer, text+end)
			}
		}
		if texts = longer; len(texts) == 0 || len(texts) > maxTexts {
			return nil
		}
	}
	return texts
}

// longestText is the longest text that everything which matches must hold.
func longestText(tree *syntax.Regexp) string {
	switch tree.Op {
	case syntax.OpLiteral:
		if tree.Flags&syntax.FoldCase == 0 {
			return string(tree.Rune)
		}
	case syntax.OpCapture, syntax.OpPlus:
		return longestText(tree.Sub[0])
	case syntax.OpConcat:
		longest := ""
		for _, part := range tree.Sub {
			if text := longestText(part); len(text) > len(longest) {
				longest = text
			}
		}
		return longest
	}
	return ""
}

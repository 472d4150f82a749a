package domain

import (
	"cmp"
	"slices"
	"strings"
)

// maxNearest bounds what is compared: a longer name is no slip of the pen.
const maxNearest = 64

// Nearest are the names that were probably meant by one that is not among them, the likeliest first, at
// most three. Case and separators do not count; of the rest about every third character may differ.
func Nearest(sent string, names []string) []string {
	type candidate struct {
		name     string
		distance int
	}
	plain := plainLetters(sent)
	if len(plain) > maxNearest {
		return nil
	}
	var found []candidate
	for _, name := range names {
		letters := plainLetters(name)
		most := (max(len(plain), len(letters)) + 1) / 3
		if len(letters) > maxNearest || max(len(plain), len(letters))-min(len(plain), len(letters)) > most {
			continue
		}
		if distance := editDistance(plain, letters); distance <= most && distance < len(letters) {
			found = append(found, candidate{name, distance})
		}
	}
	slices.SortStableFunc(found, func(a, b candidate) int { return cmp.Compare(a.distance, b.distance) })
	var likeliest []string
	for _, one := range found[:min(len(found), maxNamed)] {
		likeliest = append(likeliest, one.name)
	}
	return likeliest
}

// plainLetters is a name in lower case, without what separates words.
func plainLetters(name string) []rune {
	return []rune(strings.Map(func(r rune) rune {
		if strings.ContainsRune(" _-.:/", r) {
			return -1
		}
		return r
	}, strings.ToLower(name)))
}

// editDistance is how many characters must be added, left out, replaced or swapped with their neighbour
// to make one text of the other.
func editDistance(a, b []rune) int {
	before, last, row := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := 1; i <= len(a); i++ {
		before, last, row = last, row, before
		row[0] = i
		for j := 1; j <= len(b); j++ {
			replaced := last[j-1]
			if a[i-1] != b[j-1] {
				replaced++
			}
			row[j] = min(last[j]+1, row[j-1]+1, replaced)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
	}
	return row[len(b)]
}

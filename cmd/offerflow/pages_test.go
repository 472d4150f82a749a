package main

import (
	"flag"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

var (
	markdownLink = regexp.MustCompile(`\[([^\]\n]+)\]\(([^)\s]+)\)`)
	codeName     = regexp.MustCompile("^`([A-Za-z]\\w*)`$")
	codeFile     = regexp.MustCompile("`([a-z_]+/[a-z_/0-9]+\\.(?:go|tsv))`")
	heading      = regexp.MustCompile(`(?m)^#+ (.+)$`)
	notInAnchors = regexp.MustCompile(`[^\p{L}\p{N}_ -]`)
)

var updatePages = flag.Bool("update", false, "lead the pages' links to where functions are now")

// Every link between the pages leads to a file, and to a heading where it names one.
func TestLinksBetweenPages(t *testing.T) {
	count := 0
	for page, text := range texts(t) {
		if !strings.HasSuffix(page, ".md") {
			continue
		}
		require.NotContains(t, text, "\n<<<<<<< ", "%s has a conflict of a merge in it", page)
		for _, link := range markdownLink.FindAllStringSubmatch(text, -1) {
			target, anchor, _ := strings.Cut(link[2], "#")
			if strings.Contains(target, "://") || strings.HasPrefix(link[2], "mailto:") {
				continue
			}
			count++
			file := page
			if target != "" {
				file = filepath.Join(filepath.Dir(page), filepath.FromSlash(target))
			}
			require.FileExists(t, existing(t, file), "%s links to %s", page, link[2])
			if anchor != "" {
				require.Contains(t, anchorsOf(t, file), anchor, "%s links to %s", page, link[2])
			}
		}
	}
	require.Greater(t, count, 150)
}

// existing is the file itself, or a file of the folder that a link names.
func existing(t *testing.T, name string) string {
	t.Helper()
	info, err := os.Stat(name)
	if err != nil || !info.IsDir() {
		return name
	}
	files, err := os.ReadDir(name)
	require.NoError(t, err)
	for _, one := range files {
		if !one.IsDir() {
			return filepath.Join(name, one.Name())
		}
	}
	return filepath.Join(name, files[0].Name(), "") // folders only
}

// anchorsOf are the anchors that GitHub makes of a page's headings.
func anchorsOf(t *testing.T, page string) (anchors []string) {
	t.Helper()
	text, err := os.ReadFile(page)
	require.NoError(t, err)
	for _, found := range heading.FindAllStringSubmatch(string(text), -1) {
		anchor := notInAnchors.ReplaceAllString(strings.ToLower(found[1]), "")
		anchors = append(anchors, strings.ReplaceAll(anchor, " ", "-"))
	}
	return anchors
}

// The pages for newcomers name functions and files that exist: a function that is moved or renamed turns
// this red. With -update links to moved functions are corrected; a renamed one is yours to correct.
func TestFunctionsThatPagesName(t *testing.T) {
	for page, least := range map[string]int{"docs/walkthrough.md": 45, "CONTRIBUTING.md": 30} {
		path := filepath.Join("../..", page)
		text, err := os.ReadFile(path)
		require.NoError(t, err)
		count := 0
		for _, link := range markdownLink.FindAllStringSubmatch(string(text), -1) {
			name := codeName.FindStringSubmatch(link[1])
			if !strings.HasSuffix(link[2], ".go") || name == nil {
				continue
			}
			count++
			declares := regexp.MustCompile(`(?m)^(?:func (?:\([^)]*\) )?|type )` + name[1] + `\b`)
			code, err := os.ReadFile(filepath.Join(filepath.Dir(path), filepath.FromSlash(link[2])))
			if *updatePages && (err != nil || !declares.Match(code)) {
				relink(t, path, link[0], link[2], declares)
				continue
			}
			require.NoError(t, err, "%s names %s", page, link[2])
			require.Regexp(t, declares, string(code), "%s says that %s is in %s", page, name[1], link[2])
		}
		for _, file := range codeFile.FindAllStringSubmatch(string(text), -1) {
			require.FileExists(t, filepath.Join("../..", file[1]), "%s names it", page)
			count++
		}
		require.Greater(t, count, least, page)
	}
}

// relink leads a link to the one file that declares its function now, in the same top folder as before.
func relink(t *testing.T, page, link, target string, declares *regexp.Regexp) {
	t.Helper()
	folder, _, _ := strings.Cut(strings.TrimPrefix(target, "../"), "/")
	var found []string
	err := filepath.WalkDir(filepath.Join("../..", folder), func(path string, _ fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return err
		}
		code, err := os.ReadFile(path)
		if declares.Match(code) {
			found = append(found, strings.TrimPrefix(filepath.ToSlash(path), "../../"))
		}
		return err
	})
	require.NoError(t, err)
	require.Len(t, found, 1, "%s: %s is in these files", page, link)
	text, err := os.ReadFile(page)
	require.NoError(t, err)
	now := found[0]
	if strings.HasPrefix(target, "../") {
		now = "../" + now
	}
	corrected := strings.ReplaceAll(string(text), link, strings.Replace(link, target, now, 1))
	require.NoError(t, os.WriteFile(page, []byte(corrected), 0o644))
}

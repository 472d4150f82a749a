package e2e

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"sync"
)

// noted are all secrets that the tests have used or been given.
var noted struct {
	sync.Mutex
	all []string
}

func noteSecrets(secrets ...string) {
	noted.Lock()
	defer noted.Unlock()
	noted.all = append(noted.all, secrets...)
}

// checkLogs reads everything that was logged during the run: each line is one JSON object, and none
// holds a secret, at any level.
func (w *world) checkLogs() error {
	file, err := os.Open(w.logs)
	if err != nil {
		return err
	}
	defer file.Close()
	noted.Lock()
	defer noted.Unlock()
	lines := bufio.NewScanner(file)
	lines.Buffer(nil, 4<<20)
	n := 0
	for ; lines.Scan(); n++ {
		line := lines.Text()
		var entry struct{ Time, Level, Msg string }
		if err := json.Unmarshal([]byte(line), &entry); err != nil || entry.Time == "" || entry.Level == "" || entry.Msg == "" {
			return fmt.Errorf("line %d of the log is not a JSON entry: %s", n+1, line)
		}
		for _, secret := range noted.all {
			if secret != "" && strings.Contains(line, secret) {
				return fmt.Errorf("line %d of the log holds a secret: %s", n+1, strings.ReplaceAll(line, secret, "<HERE>"))
			}
		}
	}
	if n < 100 || len(noted.all) < 10 {
		return fmt.Errorf("only %d lines were searched for %d secrets", n, len(noted.all))
	}
	fmt.Printf("%d lines of the log searched for %d secrets\n", n, len(noted.all))
	return lines.Err()
}

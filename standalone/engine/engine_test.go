package engine

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestPortsFromEnv(t *testing.T) {
	for name, c := range map[string]struct {
		env  map[string]string
		want Ports
		says string
	}{
		"defaults": {want: Ports{Postgres: 5433, NATS: 4222, Temporal: 7233, TemporalUI: 8233}},
		"given": {
			env:  map[string]string{"OFFERFLOW_TEMPORAL_PORT": "0", "OFFERFLOW_NATS_PORT": "14222"},
			want: Ports{Postgres: 5433, NATS: 14222, TemporalUI: 8233},
		},
		"no number": {env: map[string]string{"OFFERFLOW_NATS_PORT": "x"}, says: `OFFERFLOW_NATS_PORT is "x"`},
		"too large": {env: map[string]string{"OFFERFLOW_NATS_PORT": "70000"}, says: "from 0"},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := PortsFromEnv(func(name string) string { return c.env[name] })
			if c.says != "" {
				if err == nil || !strings.Contains(err.Error(), c.says) {
					t.Fatalf("got %v", err)
				}
				return
			}
			if err != nil || got != c.want {
				t.Errorf("%+v, %v", got, err)
			}
		})
	}
}

func TestOnePortForTwoIsRefused(t *testing.T) {
	err := Ports{NATS: 20001, Temporal: 20001}.check()
	if err == nil || !strings.Contains(err.Error(), "OFFERFLOW_NATS_PORT and OFFERFLOW_TEMPORAL_PORT are both 20001") {
		t.Errorf("got %v", err)
	}
}

func TestSecretsAreMintedOnceAndNeverReplaced(t *testing.T) {
	dir := t.TempDir()
	first, err := OperatorToken(dir, "")
	if err != nil || len(first) != 64 {
		t.Fatalf("%q, %v", first, err)
	}
	if again, err := OperatorToken(dir, ""); err != nil || again != first {
		t.Errorf("a second token: %v", err)
	}
	if given, err := OperatorToken(dir, "given"); err != nil || given != "given" {
		t.Errorf("the environment's does not win: %v", err)
	}
	if keys, err := SecretKeys(dir, ""); err != nil || keys == first {
		t.Errorf("keys and token are one: %v", err)
	}
	// An empty file is somebody's mistake; new keys would make data unreadable.
	if err := os.WriteFile(filepath.Join(dir, SecretKeysFile), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := SecretKeys(dir, ""); err == nil {
		t.Error("lost keys were replaced in silence")
	}
}

func TestOneProcessPerFolder(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	_, lock, err := openDataDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := openDataDir(dir); err == nil || !strings.Contains(err.Error(), "another Offerflow") {
		t.Errorf("got %v", err)
	}
	if err := lock.Close(); err != nil {
		t.Fatal(err)
	}
	_, again, err := openDataDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	_ = again.Close()
}

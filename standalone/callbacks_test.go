package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/offerflow/offerflow/standalone/blackbox"
)

const endpointPath = "/api/v1/callback-endpoint"

// A developer's first receiver listens on the machine itself: a standalone without any setting calls it, while no
// URL reaches what Offerflow itself listens on, be it for callbacks or for partners.
func TestCallbacksOfADefaultStandalone(t *testing.T) {
	dir := dataDir(t)
	p := bootChild(t, dir, nil)
	tenant, err := blackbox.New(p.addresses["Offerflow"], secretOf(t, dir, "operator-token")).NewTenant(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	offerID, partnerID := offerAndPartner(t, tenant)

	p.waitFor("countries come from the embedded database of countries of 20", time.Minute)
	t.Run("a receiver on this machine gets its callback", func(t *testing.T) {
		got := make(chan string, 16)
		receiver := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			body, _ := io.ReadAll(r.Body)
			got <- string(body)
		}))
		defer receiver.Close()
		for _, address := range []string{receiver.URL + "/callback", strings.Replace(receiver.URL, "127.0.0.1", "localhost", 1)} {
			if err := tenant.Call(t.Context(), http.MethodPut, endpointPath, map[string]any{"url": address, "events": []string{"success"}}, nil); err != nil {
				t.Fatal(err)
			}
			if err := tenant.Call(t.Context(), http.MethodPost, "/api/v1/tools/test-conversion", map[string]any{"offerId": offerID}, nil); err != nil {
				t.Fatal(err)
			}
			var callback struct {
				Conversion struct{ OfferID, Status string }
			}
			select {
			case body := <-got:
				if err := json.Unmarshal([]byte(body), &callback); err != nil {
					t.Fatal(err)
				}
			case <-time.After(30 * time.Second):
				t.Fatal("no callback at " + address)
			}
			if callback.Conversion.OfferID != offerID || callback.Conversion.Status != "Success" {
				t.Errorf("%+v", callback)
			}
		}
	})

	t.Run("what it listens on itself is never called", func(t *testing.T) {
		ports := listeningBelow(t, p.cmd.Process.Pid, dir)
		// The API, PostgreSQL, NATS and its monitoring, five services of Temporal, its UI and the front of that.
		if len(ports) < 11 {
			t.Fatalf("only %d ports are found: %v", len(ports), ports)
		}
		for _, port := range ports {
			for _, host := range []string{"127.0.0.1", "localhost", "127.0.0.2", "[::ffff:127.0.0.1]", "[::1]"} {
				address := fmt.Sprintf("http://%s:%d/", host, port)
				for path, body := range map[string]map[string]any{
					endpointPath:                {"url": address, "events": []string{"success"}},
					"/api/v1/partner-postbacks": {"url": address, "method": "GET", "partnerId": partnerID},
				} {
					method := map[bool]string{true: http.MethodPut, false: http.MethodPost}[path == endpointPath]
					err := tenant.Call(t.Context(), method, path, body, nil)
					var refused *blackbox.StatusError
					if !errors.As(err, &refused) || refused.Status != http.StatusBadRequest || !strings.Contains(refused.Body, "an address of Offerflow itself") {
						t.Errorf("%s %s: %v", path, address, err)
					}
				}
			}
		}
	})

	t.Run("nor by a redirect", func(t *testing.T) {
		monitor := p.addresses["Temporal UI"]
		redirecting := httptest.NewServer(http.RedirectHandler(monitor+"/api/v1/namespaces", http.StatusTemporaryRedirect))
		defer redirecting.Close()
		if err := tenant.Call(t.Context(), http.MethodPut, endpointPath, map[string]any{"url": redirecting.URL, "events": []string{"success"}}, nil); err != nil {
			t.Fatal(err)
		}
		var tested struct {
			Steps []struct {
				Step, State string
				StatusCode  int
			}
		}
		if err := tenant.Call(t.Context(), http.MethodPost, "/api/v1/tools/test-conversion", map[string]any{"offerId": offerID}, &tested); err != nil {
			t.Fatal(err)
		}
		for _, step := range tested.Steps {
			if step.Step == "callback" && (step.State == "ok" || step.StatusCode != http.StatusTemporaryRedirect) {
				t.Errorf("the redirect was followed: %+v", step)
			}
		}
	})
}

// Set to nothing, or on an address that others reach, the default does not hold, and the refusal names the setting.
func TestCallbacksToThisMachineCanBeRefused(t *testing.T) {
	dir := dataDir(t)
	p := bootChild(t, dir, func(cmd *exec.Cmd) {
		cmd.Env = append(cmd.Env, "OFFERFLOW_CALLBACK_ALLOW_CIDRS=", "OFFERFLOW_GEOIP_FILE=off")
	})
	p.waitFor("countries are unknown: clicks on offers with countries are refused", time.Minute)
	tenant, err := blackbox.New(p.addresses["Offerflow"], secretOf(t, dir, "operator-token")).NewTenant(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	err = tenant.Call(t.Context(), http.MethodPut, endpointPath, map[string]any{"url": "http://127.0.0.1:9/", "events": []string{"success"}}, nil)
	var refused *blackbox.StatusError
	if !errors.As(err, &refused) || refused.Status != http.StatusBadRequest || !strings.Contains(refused.Body, "OFFERFLOW_CALLBACK_ALLOW_CIDRS") {
		t.Errorf("%v", err)
	}
}

func offerAndPartner(t *testing.T, tenant *blackbox.Client) (offerID, partnerID string) {
	t.Helper()
	advertiser, err := tenant.NewAdvertiser(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	age, err := tenant.EveryoneAge(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if offerID, _, err = tenant.NewOffer(t.Context(), blackbox.SingleEvent(advertiser.ID, age, nil)); err != nil {
		t.Fatal(err)
	}
	if partnerID, err = tenant.NewPartner(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	return offerID, partnerID
}

// listeningBelow are the TCP ports that a process and the servers of a data folder listen on, as the kernel knows them.
func listeningBelow(t *testing.T, pid int, dir string) (ports []int) {
	t.Helper()
	sockets := map[string]bool{}
	processes, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		t.Fatal(err)
	}
	for _, process := range processes {
		cwd, _ := os.Readlink(process + "/cwd")
		if process != fmt.Sprintf("/proc/%d", pid) && !strings.HasPrefix(cwd, dir) {
			continue
		}
		files, _ := filepath.Glob(process + "/fd/*")
		for _, file := range files {
			if link, _ := os.Readlink(file); strings.HasPrefix(link, "socket:[") {
				sockets[strings.Trim(link, "socket:[]")] = true
			}
		}
	}
	const listen = "0A"
	for _, table := range []string{"/proc/net/tcp", "/proc/net/tcp6"} {
		content, err := os.ReadFile(table)
		if err != nil {
			continue // no IPv6 here
		}
		for line := range strings.Lines(string(content)) {
			fields := strings.Fields(line)
			if len(fields) < 10 || fields[3] != listen || !sockets[fields[9]] {
				continue
			}
			_, hex, err := net.SplitHostPort(fields[1])
			port, parsed := strconv.ParseInt(hex, 16, 32)
			if err != nil || parsed != nil {
				t.Fatalf("%s: %q", table, line)
			}
			ports = append(ports, int(port))
		}
	}
	slices.Sort(ports)
	return slices.Compact(ports)
}

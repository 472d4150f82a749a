package temporalserver_test

import (
	"context"
	"crypto/tls"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/api/operatorservice/v1"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	sdklog "go.temporal.io/sdk/log"
	"go.temporal.io/server/api/adminservice/v1"
	"go.temporal.io/server/api/historyservice/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	"github.com/offerflow/offerflow/standalone/temporalserver"
)

// Nobody without the token reads, starts or updates anything.
func TestTheFrontendAsksForTheToken(t *testing.T) {
	t.Parallel()
	for name, options := range map[string]client.Options{
		"none":        {HostPort: address, Namespace: temporalserver.Namespace},
		"another":     temporalserver.ClientOptions(address, "another"),
		"a longer":    temporalserver.ClientOptions(address, token+"x"),
		"an empty":    {HostPort: address, Namespace: temporalserver.Namespace, HeadersProvider: headers{"authorization": "Bearer "}},
		"its name":    {HostPort: address, Namespace: temporalserver.Namespace, HeadersProvider: headers{"authorization": token}},
		"basic login": {HostPort: address, Namespace: temporalserver.Namespace, HeadersProvider: headers{"authorization": "Basic " + token}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ctx := within(t, 30*time.Second)
			options.Logger = sdklog.NewStructuredLogger(slog.New(slog.DiscardHandler))
			c, err := client.DialContext(ctx, options)
			if err != nil { // it may not even be greeted
				return
			}
			defer c.Close()
			_, err = c.ExecuteWorkflow(ctx, client.StartWorkflowOptions{ID: t.Name(), TaskQueue: "q"}, "w")
			requireDenied(t, err)
			_, err = c.UpdateWorkflow(ctx, client.UpdateWorkflowOptions{WorkflowID: "w", UpdateName: "u", WaitForStage: client.WorkflowUpdateStageAccepted})
			requireDenied(t, err)
			_, err = c.WorkflowService().ListNamespaces(ctx, &workflowservice.ListNamespacesRequest{})
			requireDenied(t, err)
			_, err = c.OperatorService().ListSearchAttributes(ctx, &operatorservice.ListSearchAttributesRequest{Namespace: temporalserver.Namespace})
			requireDenied(t, err)
		})
	}
	conn, err := grpc.NewClient(address, grpc.WithTransportCredentials(insecure.NewCredentials()))
	require.NoError(t, err)
	defer func() { _ = conn.Close() }()
	_, err = adminservice.NewAdminServiceClient(conn).DescribeCluster(within(t, 30*time.Second), &adminservice.DescribeClusterRequest{})
	requireDenied(t, err)
}

type headers map[string]string

func (h headers) GetHeaders(context.Context) (map[string]string, error) { return h, nil }

func requireDenied(t *testing.T, err error) {
	t.Helper()
	require.ErrorContains(t, err, "unauthorized")
}

// The services behind the frontend, which have no authorization, take no calls but each other's.
func TestTheServicesBehindTheFrontendTakeNobodysCalls(t *testing.T) {
	t.Parallel()
	_, front, err := net.SplitHostPort(address)
	require.NoError(t, err)
	services := 0
	for _, port := range listening(t) {
		if strconv.Itoa(port) == front {
			continue
		}
		at := net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
		conn, err := tls.Dial("tcp", at, &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"h2"}})
		if err != nil || conn.ConnectionState().PeerCertificates[0].Subject.CommonName != "offerflow-standalone" {
			continue
		}
		_ = conn.Close()
		services++
		for name, credentials := range map[string]credentials.TransportCredentials{
			"plain":                 insecure.NewCredentials(),
			"without a certificate": credentials.NewTLS(&tls.Config{InsecureSkipVerify: true}),
		} {
			c, err := grpc.NewClient(at, grpc.WithTransportCredentials(credentials))
			require.NoError(t, err)
			_, err = historyservice.NewHistoryServiceClient(c).DescribeHistoryHost(within(t, 20*time.Second), &historyservice.DescribeHistoryHostRequest{})
			require.Equal(t, codes.Unavailable, status.Code(err), "port %d, %s: %v", port, name, err)
			_ = c.Close()
		}
	}
	require.Equal(t, 4, services, "history, matching, worker and the internal frontend")
}

// listening are the loopback ports that this process listens on.
func listening(t *testing.T) (ports []int) {
	t.Helper()
	own := map[string]bool{}
	links, err := filepath.Glob("/proc/self/fd/*")
	require.NoError(t, err)
	for _, link := range links {
		if to, err := os.Readlink(link); err == nil && strings.HasPrefix(to, "socket:[") {
			own[strings.Trim(to, "socket:[]")] = true
		}
	}
	table, err := os.ReadFile("/proc/self/net/tcp")
	require.NoError(t, err)
	for line := range strings.Lines(string(table)) {
		fields := strings.Fields(line)
		if len(fields) < 10 || fields[3] != "0A" || !own[fields[9]] {
			continue
		}
		_, text, _ := strings.Cut(fields[1], ":")
		port, err := strconv.ParseInt(text, 16, 32)
		require.NoError(t, err)
		ports = append(ports, int(port))
	}
	return ports
}

func startUI(t *testing.T, writes bool) *temporalserver.UI {
	t.Helper()
	ui, err := temporalserver.StartUI(t.Context(), temporalserver.UIOptions{
		Address: address, Token: token, Writes: writes, AllowsHost: func(host string) bool { return strings.HasPrefix(host, "127.0.0.1") },
	})
	require.NoError(t, err)
	t.Cleanup(ui.Stop)
	return ui
}

// ask sends a request to the UI as a page of its own would, under a Host.
func ask(t *testing.T, ui *temporalserver.UI, method, path, host string) (code int, body string) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), method, ui.URL()+path, strings.NewReader("{}"))
	require.NoError(t, err)
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("Sec-Fetch-Site", "same-origin")
	if host != "" {
		request.Host = host
	}
	response, err := http.DefaultClient.Do(request)
	require.NoError(t, err)
	defer func() { _ = response.Body.Close() }()
	text, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	return response.StatusCode, string(text)
}

// A page of somebody else's that makes its own name lead to the UI reads nothing.
func TestTheUIAnswersUnderItsOwnNamesOnly(t *testing.T) {
	t.Parallel()
	ui := startUI(t, false)
	for _, path := range []string{"/", "/api/v1/namespaces/default", "/api/v1/settings"} {
		code, body := ask(t, ui, http.MethodGet, path, "rebound.example.com:8233")
		require.Equal(t, http.StatusMisdirectedRequest, code, path)
		require.Contains(t, body, "OFFERFLOW_ALLOWED_HOSTS")
		code, _ = ask(t, ui, http.MethodGet, path, "")
		require.Equal(t, http.StatusOK, code, path)
	}
}

// The UI changes nothing unless it was asked for.
func TestTheUIChangesNothingUnlessAskedFor(t *testing.T) {
	t.Parallel()
	c := dial(t)
	run, err := c.ExecuteWorkflow(t.Context(), client.StartWorkflowOptions{ID: t.Name(), TaskQueue: "nobody"}, "waits")
	require.NoError(t, err)
	path := "/api/v1/namespaces/default/workflows/" + run.GetID() + "/terminate"
	code, body := ask(t, startUI(t, false), http.MethodPost, path, "")
	require.Equal(t, http.StatusMethodNotAllowed, code, body)
	described, err := c.DescribeWorkflowExecution(t.Context(), run.GetID(), "")
	require.NoError(t, err)
	require.Equal(t, "Running", described.WorkflowExecutionInfo.Status.String())
	code, body = ask(t, startUI(t, true), http.MethodPost, path, "")
	require.Equal(t, http.StatusOK, code, body)
}

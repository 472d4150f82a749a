package compose

import (
	"context"
	"fmt"
	"io/fs"
	"net"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	sdktemporal "go.temporal.io/sdk/temporal"
	"go.temporal.io/server/common/authorization"
	"go.temporal.io/server/common/config"
	"go.temporal.io/server/common/log"
	"go.temporal.io/server/schema"
	"go.temporal.io/server/temporal"
	"go.temporal.io/server/tools/sql"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/offerflow/offerflow/standalone/internal/ports"
	"github.com/offerflow/offerflow/workflows"
)

// A database that the stock images of earlier releases made is taken over with its open workflows and their tasks, and
// the stock images may have it back.
func TestDatabasesOfTheStockImagesAreTakenOver(t *testing.T) {
	r := newRig(t)
	r.stockSchema()
	address, stop := r.stockTemporal()
	stock, err := client.Dial(quiet(client.Options{HostPort: address}))
	require.NoError(t, err)
	ctx := within(t, 4*time.Minute)
	_, err = stock.WorkflowService().RegisterNamespace(ctx, &workflowservice.RegisterNamespaceRequest{
		Namespace: "default", WorkflowExecutionRetentionPeriod: durationpb.New(30 * 24 * time.Hour), // temporal operator namespace create
	})
	require.NoError(t, err)
	require.Eventually(t, func() bool { return workflows.EnsureSearchAttributes(ctx, stock, "default") == nil }, time.Minute, 500*time.Millisecond)
	require.Eventually(t, func() bool { // each service learns of the namespace and its attributes by itself
		_, err = stock.ExecuteWorkflow(ctx, client.StartWorkflowOptions{
			ID: "open", TaskQueue: "q", StartDelay: 2 * time.Hour, WorkflowExecutionTimeout: time.Hour, // as a click's workflow is parked
			TypedSearchAttributes: sdktemporal.NewSearchAttributes(workflows.SearchTenant.ValueSet("t")),
		}, waits)
		return err == nil
	}, time.Minute, 500*time.Millisecond)
	const waiting = 40 // more than a task queue has partitions
	for n := range waiting {
		_, err := stock.ExecuteWorkflow(ctx, client.StartWorkflowOptions{ID: fmt.Sprint("waiting-", n), TaskQueue: "q"}, ends)
		require.NoError(t, err)
	}
	require.Equal(t, int32(128), shards(t, stock))
	stock.Close()
	stop()

	ours := r.start("temporal")
	c := r.dial("worker")
	require.Equal(t, int32(128), shards(t, c))
	works(t, c)
	for n := range waiting {
		var result string
		require.NoError(t, c.GetWorkflow(within(t, time.Minute), fmt.Sprint("waiting-", n), "").Get(t.Context(), &result))
	}
	listed, err := c.ListWorkflow(t.Context(), &workflowservice.ListWorkflowExecutionsRequest{Query: `OfferflowTenant = "t"`})
	require.NoError(t, err)
	require.Len(t, listed.Executions, 1)
	require.Equal(t, "heard now", tell(t, c, "open"))
	_, err = c.ExecuteWorkflow(ctx, client.StartWorkflowOptions{ID: "later", TaskQueue: "another"}, waits)
	require.NoError(t, err)
	ours.stop()

	address, stop = r.stockTemporal()
	defer stop()
	stock, err = client.DialContext(within(t, time.Minute), quiet(client.Options{HostPort: address}))
	require.NoError(t, err)
	defer stock.Close()
	require.Eventually(t, func() bool { // it takes over its shards one by one
		described, err := stock.DescribeWorkflowExecution(ctx, "later", "")
		return err == nil && described.WorkflowExecutionInfo.Status == enumspb.WORKFLOW_EXECUTION_STATUS_RUNNING
	}, time.Minute, 500*time.Millisecond)
}

// A start that is killed while it writes the schema is made good by the next one. Other people's tables are not touched.
func TestASchemaThatIsHalfWrittenIsMadeAnew(t *testing.T) {
	r := newRig(t)
	text, err := fs.ReadFile(schema.Assets(), "postgresql/v12/visibility/schema.sql")
	require.NoError(t, err)
	half := text[:strings.Index(string(text), "CREATE INDEX")]
	require.Contains(t, string(half), "CREATE TABLE executions_visibility")
	conn := r.connect("temporal_visibility")
	_, err = conn.Exec(t.Context(), "CREATE TABLE schema_version (version_partition INT, db_name VARCHAR(255)); "+string(half))
	require.NoError(t, err)
	other := r.connect("temporal")
	_, err = other.Exec(t.Context(), "CREATE TABLE somebodys (what TEXT)")
	require.NoError(t, err)
	out, err := r.command("temporal", r.project.Services["temporal"].Command).CombinedOutput()
	require.Error(t, err)
	require.Contains(t, string(out), "TEMPORAL_DATABASE_URL: schema of Temporal: database temporal: it holds tables that are not Temporal's")
	_, err = other.Exec(t.Context(), "DROP TABLE somebodys")
	require.NoError(t, err)
	r.start("temporal").stop()
}

// connect is Temporal's own login to a database.
func (r *rig) connect(database string) *pgx.Conn {
	r.t.Helper()
	url := strings.TrimSuffix(r.setting("temporal", "TEMPORAL_DATABASE_URL"), "temporal") + database
	conn, err := pgx.Connect(r.t.Context(), url+"?password="+r.setting("temporal", "TEMPORAL_DATABASE_PASSWORD"))
	require.NoError(r.t, err)
	r.t.Cleanup(func() { _ = conn.Close(context.Background()) })
	return conn
}

// stockSchema is what the service temporal-schema of earlier releases did, by Temporal's own tool.
func (r *rig) stockSchema() {
	t := r.t
	t.Helper()
	host, port, err := net.SplitHostPort(r.postgres)
	require.NoError(t, err)
	password := r.setting("temporal", "TEMPORAL_DATABASE_PASSWORD")
	for database, name := range map[string]string{"temporal": "temporal", "temporal_visibility": "visibility"} {
		tool := []string{"temporal-sql-tool", "--plugin", "postgres12", "--ep", host, "-p", port, "-u", "temporal", "--pw", password, "--db", database}
		require.NoError(t, sql.RunTool(append(tool[:len(tool):len(tool)], "setup-schema", "-v", "0.0")))
		require.NoError(t, sql.RunTool(append(tool[:len(tool):len(tool)], "update-schema", "--schema-name", "postgresql/v12/"+name)))
	}
}

// stockTemporal is the server of earlier releases, by the configuration of its image. It takes everybody.
func (r *rig) stockTemporal() (address string, stop func()) {
	t := r.t
	t.Helper()
	host, port, err := net.SplitHostPort(r.postgres)
	require.NoError(t, err)
	password := r.setting("temporal", "TEMPORAL_DATABASE_PASSWORD")
	settings := map[string]string{
		"DB": "postgres12_pgx", "DB_PORT": port, "POSTGRES_SEEDS": host, "POSTGRES_USER": "temporal", "POSTGRES_PWD": password,
		"NUM_HISTORY_SHARDS": "128", "BIND_ON_IP": ports.Loopback, "TEMPORAL_BROADCAST_ADDRESS": ports.Loopback,
		"DYNAMIC_CONFIG_FILE_PATH": filepath.Join(root, "deploy/temporal-dynamicconfig.yaml"),
	}
	names := []string{"FRONTEND_GRPC_PORT", "FRONTEND_HTTP_PORT", "FRONTEND_MEMBERSHIP_PORT", "MATCHING_GRPC_PORT", "MATCHING_MEMBERSHIP_PORT",
		"HISTORY_GRPC_PORT", "HISTORY_MEMBERSHIP_PORT", "WORKER_GRPC_PORT", "WORKER_MEMBERSHIP_PORT"}
	picked, err := ports.Pick(len(names))
	require.NoError(t, err)
	for i, name := range names {
		settings[name] = strconv.Itoa(picked[i])
	}
	for name, value := range settings {
		t.Setenv(name, value)
	}
	loaded, err := config.Load(config.WithEmbedded())
	require.NoError(t, err)
	server, err := temporal.NewServer(temporal.WithConfig(loaded), temporal.ForServices(temporal.DefaultServices),
		temporal.WithAuthorizer(authorization.NewNoopAuthorizer()), temporal.WithLogger(log.NewNoopLogger()),
		temporal.WithClaimMapper(func(*config.Config) authorization.ClaimMapper { return authorization.NewNoopClaimMapper() }))
	require.NoError(t, err)
	require.NoError(t, server.Start())
	return ports.Address(picked[0]), func() { require.NoError(t, server.Stop()) }
}

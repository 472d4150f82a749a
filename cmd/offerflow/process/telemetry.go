package process

import (
	"context"
	"fmt"
	"log/slog"
	"os"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	otelprometheus "go.opentelemetry.io/otel/exporters/prometheus"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/resource"
	"go.opentelemetry.io/otel/sdk/trace"
	"go.temporal.io/sdk/client"
	temporalotel "go.temporal.io/sdk/contrib/opentelemetry"
)

// SetLogger makes slog's default logger.
func (c Config) SetLogger() error {
	level, err := c.logLevel()
	if err != nil {
		return err
	}
	options := &slog.HandlerOptions{Level: level}
	var handler slog.Handler = slog.NewTextHandler(os.Stderr, options)
	if c.LogFormat == "json" {
		handler = slog.NewJSONHandler(os.Stderr, options)
	}
	slog.SetDefault(slog.New(handler))
	return nil
}

func (c Config) logLevel() (level slog.Level, err error) {
	if err := level.UnmarshalText([]byte(c.LogLevel)); err != nil {
		return level, fmt.Errorf("OFFERFLOW_LOG_LEVEL is %q: use debug, info, warn or error", c.LogLevel)
	}
	return level, nil
}

// traced says whether an OTLP endpoint for traces is set, by OpenTelemetry's own variables.
func traced() bool {
	return os.Getenv("OTEL_EXPORTER_OTLP_ENDPOINT") != "" || os.Getenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT") != ""
}

// startTracing sends traces when an endpoint is set.
func startTracing(ctx context.Context) (stop func(context.Context) error, err error) {
	// No baggage: whoever sends a request would have it put into messages and histories.
	otel.SetTextMapPropagator(propagation.TraceContext{})
	if !traced() {
		return func(context.Context) error { return nil }, nil
	}
	for _, name := range []string{"OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"} {
		if address := os.Getenv(name); address != "" && !isWebAddress(address) {
			slog.WarnContext(ctx, name+" is not an http or https address: no traces will be sent", "value", address)
		}
	}
	exporter, err := otlptracehttp.New(ctx)
	if err != nil {
		return nil, fmt.Errorf("traces: %w", err)
	}
	self, err := resource.New(ctx, resource.WithFromEnv(), resource.WithTelemetrySDK(), resource.WithProcessPID())
	if err != nil {
		return nil, fmt.Errorf("traces: %w", err)
	}
	provider := trace.NewTracerProvider(trace.WithBatcher(plainSpans{exporter}), trace.WithResource(self))
	otel.SetTracerProvider(provider)
	return provider.Shutdown, nil
}

// temporalTelemetry adds the SDK's metrics to /metrics, and its spans to the traces.
func temporalTelemetry(options *client.Options) error {
	exporter, err := otelprometheus.New(otelprometheus.WithRegisterer(prometheus.DefaultRegisterer), otelprometheus.WithoutScopeInfo())
	if err != nil {
		return fmt.Errorf("temporal metrics: %w", err)
	}
	provider := metric.NewMeterProvider(metric.WithReader(exporter))
	options.MetricsHandler = temporalotel.NewMetricsHandler(temporalotel.MetricsHandlerOptions{Meter: provider.Meter("temporal-sdk-go")})
	if !traced() { // its spans would go nowhere, but cost each call and a header in each history
		return nil
	}
	interceptor, err := temporalotel.NewTracingInterceptor(temporalotel.TracerOptions{})
	if err != nil {
		return fmt.Errorf("temporal traces: %w", err)
	}
	options.Interceptors = append(options.Interceptors, interceptor)
	return nil
}

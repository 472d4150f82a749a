# Two images, each with one static binary, run by an unprivileged user. scripts/pin-images.sh updates the
# digests.
#   offerflow, the last stage and so the default: bin/offerflow
#   engine: NATS, Temporal and Temporal's UI, from the modules that standalone/go.sum pins
FROM golang:1.26.8@sha256:6c2a5538f964f1c82f97ad14988bf05de100d922d159d0e398b54c7b0ca0c6c9 AS source
ENV GOCACHE=/cache/build GOMODCACHE=/cache/modules CGO_ENABLED=0
WORKDIR /src
COPY . .

FROM source AS build-engine
# What `engine version` prints: docker build --build-arg COMMIT=$(git rev-parse HEAD) .
ARG COMMIT=
RUN --mount=type=cache,target=/cache \
    cd standalone && go build -trimpath -buildvcs=false \
    -ldflags="-s -w -X github.com/offerflow/offerflow/cmd/offerflow/process.commit=$COMMIT" -o /engine ./cmd/engine

# docker build --target engine .
FROM gcr.io/distroless/static-debian12:nonroot@sha256:afa5c872c891853ca7fcf1f12c3edb23f7eeef36189728842dd51042ff57f7ab AS engine
COPY --from=build-engine /engine /engine
USER nonroot:nonroot
ENV OFFERFLOW_LOG_FORMAT=json
EXPOSE 4222 7233 8233
ENTRYPOINT ["/engine"]

FROM source AS build
# What `offerflow version` prints.
ARG COMMIT=
RUN --mount=type=cache,target=/cache \
    go build -trimpath -buildvcs=false -ldflags="-s -w -X github.com/offerflow/offerflow/cmd/offerflow/process.commit=$COMMIT" -o /offerflow ./cmd/offerflow

# Only for the health check of docker-compose.yml: the final image has no shell.
FROM busybox:1.37.0-musl@sha256:5cec3fc171c87218698e85a52af7087de727372aae264a787b8112901a5b0092 AS busybox

# CA certificates, nothing else; time zones are compiled in.
FROM gcr.io/distroless/static-debian12:nonroot@sha256:afa5c872c891853ca7fcf1f12c3edb23f7eeef36189728842dd51042ff57f7ab
COPY --from=busybox /bin/busybox /bin/wget
COPY --from=build /offerflow /offerflow
USER nonroot:nonroot
ENV OFFERFLOW_HTTP_ADDR=0.0.0.0:8080 OFFERFLOW_WORKER_HTTP_ADDR=0.0.0.0:8081 OFFERFLOW_LOG_FORMAT=json
EXPOSE 8080 8081
ENTRYPOINT ["/offerflow"]
CMD ["all"]

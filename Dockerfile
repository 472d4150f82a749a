# bin/offerflow alone: a static binary, run by an ordinary user.
FROM golang:1.26.8 AS build
ENV GOCACHE=/cache/build GOMODCACHE=/cache/modules CGO_ENABLED=0
WORKDIR /src
COPY go.mod go.sum ./
RUN --mount=type=cache,target=/cache go mod download
COPY . .
RUN --mount=type=cache,target=/cache \
    go build -trimpath -buildvcs=false -ldflags="-s -w" -o /offerflow ./cmd/offerflow

# Only for the health check of docker-compose.yml: the final image has no shell.
FROM busybox:1.37-musl AS busybox

# CA certificates, nothing else; time zones are compiled in.
FROM gcr.io/distroless/static-debian12:nonroot
COPY --from=busybox /bin/busybox /bin/wget
COPY --from=build /offerflow /offerflow
USER nonroot:nonroot
ENV OFFERFLOW_HTTP_ADDR=0.0.0.0:8080 OFFERFLOW_WORKER_HTTP_ADDR=0.0.0.0:8081 OFFERFLOW_LOG_FORMAT=json
EXPOSE 8080 8081
ENTRYPOINT ["/offerflow"]
CMD ["all"]

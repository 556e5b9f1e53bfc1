# syntax=docker/dockerfile:1
# Build stage: the toolchain and a C compiler (SQLite is built in).
FROM rust:1.95-slim-bookworm AS build
RUN apt-get update && apt-get install -y --no-install-recommends gcc libc6-dev && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY . .
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/src/target \
    cargo build --release --locked --bin lapsed && cp target/release/lapsed /lapsed

# Final stage: the binary, the certificate authorities, a plain user, one volume.
FROM debian:bookworm-slim
RUN apt-get update && apt-get install -y --no-install-recommends ca-certificates && rm -rf /var/lib/apt/lists/* \
    && useradd --system --uid 65532 --home-dir /var/lib/lapsed --create-home lapsed
COPY --from=build /lapsed /usr/local/bin/lapsed
USER 65532
VOLUME /var/lib/lapsed
ENV LAPSED_CONFIG=/etc/lapsed/lapsed.yaml \
    LAPSED_LEDGER=sqlite:/var/lib/lapsed/lapsed.db
EXPOSE 9740
# `status` fails when the ledger cannot be read; readiness is `/readyz` on the port.
HEALTHCHECK --interval=30s --timeout=5s --start-period=20s CMD ["lapsed", "status", "--format", "json"]
ENTRYPOINT ["lapsed"]
CMD ["run"]

#!/usr/bin/env bash
# The second half of tests/containers.sh, in namespaces of its own.
set -euo pipefail
compose=$1 work=$2
say() { printf '[%5d s]   %s\n' "$SECONDS" "$*"; }
up() { "$compose" --file docker/compose.yaml --progress plain "$@"; }

ip link set lo up
mount -t tmpfs tmpfs /run
export DOCKER_HOST=unix:///run/podman.sock
podman system service --time 0 "$DOCKER_HOST" > "$work/podman.log" 2>&1 &
until [ -S /run/podman.sock ]; do sleep 0.2; done
# Podman leaves the timing of health checks to systemd, which is not here.
while sleep 2; do
    podman ps --quiet | xargs --no-run-if-empty --max-args 1 podman healthcheck run
done > "$work/health.log" 2>&1 &

up up --detach --no-build --wait --wait-timeout 300 > "$work/up.log" 2>&1 \
    || { tail -n 30 "$work/up.log"; up logs --tail 30; exit 1; }
say "up: $(up ps --services --status running | tr '\n' ' '), $(up ps --quiet | wc -l) containers"
up exec --no-TTY head scalestudy run examples/smoke.yaml --out runs/smoke
up exec --no-TTY head id --user
up cp head:/study/runs/smoke "$work/smoke"
ls "$work/smoke/report/index.html"
up down --volumes --timeout 5 > "$work/down.log" 2>&1

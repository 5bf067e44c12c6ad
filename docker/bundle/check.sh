#!/bin/sh
# Installs dist/fractune-bundle.tar and compresses the carried network through the service, on a machine with no network but its
# own loopback: whatever asked for more would fail. Linux; needs no root where users may make namespaces.
set -eu
cd "$(dirname "$0")/../.."
if [ "${1:-}" != inside ]; then
  exec unshare --user --map-root-user --net "$0" inside
fi
ip link set lo up
if curl --silent --max-time 2 --output /dev/null http://192.0.2.1; then
  echo 'There is a way out of this namespace.' >&2
  exit 1
fi
place=$(mktemp -d)
trap 'kill "${service:-}" 2> /dev/null || true; wait; rm -rf "$place"' EXIT
tar -C "$place" -xf dist/fractune-bundle.tar
cd "$place/fractune-bundle"
unset PIP_FIND_LINKS PIP_EXTRA_INDEX_URL PIP_INDEX_URL
./install.sh
export FRACTUNE_DATA_DIR="$place/data"
.venv/bin/fractune serve --port 8080 > serve.log 2>&1 &
service=$!
curl --silent --fail --output /dev/null --retry 60 --retry-delay 1 --retry-all-errors http://127.0.0.1:8080/readyz
.venv/bin/fractune submit examples/digits.onnx --recipe examples/recipe.json --eval examples/digits.npz --wait --quiet \
  || [ $? -ge 3 ]
job=$(.venv/bin/fractune jobs --json | .venv/bin/python -c 'import json, sys; print(json.load(sys.stdin)[0]["id"])')
.venv/bin/fractune download "$job" --out result
test -s result/1/model.xml && test -s result/report.html
echo 'The whole way from the bundle to a compressed model, without network.'

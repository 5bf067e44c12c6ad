#!/bin/sh
# Installs Fractune from this bundle into .venv, without network.
set -eu
cd "$(dirname "$0")"
sha256sum --quiet --check SHA256SUMS
${PYTHON:-python3} -m venv .venv
PIP_CONFIG_FILE=/dev/null .venv/bin/python -m pip install --quiet --no-index --find-links wheels --constraint constraints.txt \
  'fractune[all,postgres]'
.venv/bin/fractune --help > /dev/null
echo "Installed: $PWD/.venv/bin/fractune"

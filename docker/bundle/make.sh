#!/bin/sh
# Makes dist/fractune-bundle.tar: all that a site without internet needs. Called by `make bundle`, in the project's folder.
set -eu
version=$(.venv/bin/python -c 'from importlib.metadata import version; print(version("fractune"))')
bundle=dist/fractune-bundle
rm -rf "$bundle" && mkdir -p "$bundle/wheels"
.venv/bin/python -m pip wheel --quiet --wheel-dir "$bundle/wheels" --constraint constraints.txt '.[all,postgres]'
NO_MKDOCS_2_WARNING=1 .venv/bin/mkdocs build --strict --quiet --site-dir "$PWD/$bundle/documentation"
cp -r docker docker-compose.yml constraints.txt examples LICENSE README.md "$bundle"
cp docker/bundle/install.sh "$bundle"
{
  sed -n 's/^ARG BASE=//p' docker/Dockerfile
  .venv/bin/docker-compose --profile s3 config --images
} | sort -u > "$bundle/images.txt"
(cd "$bundle" && find . -type f ! -name SHA256SUMS -exec sha256sum {} + > SHA256SUMS)
tar -C dist -cf dist/fractune-bundle.tar fractune-bundle
echo "dist/fractune-bundle.tar: Fractune $version, $(find "$bundle/wheels" -name '*.whl' | wc -l) wheels, $(du -h dist/fractune-bundle.tar | cut -f 1)"

#!/bin/sh
# Compresses a model on a service, with curl and jq alone: the step that every pipeline here shares.
#
#   FRACTUNE_URL=https://fractune.example FRACTUNE_API_KEY=fr_... ./compress.sh model.onnx recipe.json result
#
# result/ receives 1/model.xml and 1/model.bin, as OpenVINO Model Server wants them, report.html, report.json and job.json.
# FRACTUNE_RUNS_ON=isa=avx512_vnni asks for a class of workers; with the same FRACTUNE_RUN a step that is repeated finds its job.
# Exits with 0 when done, 3 when the recipe's constraint is not met, 4 when nothing could verify it, 1 for anything else.
set -eu
model=$1 recipe=$2 result=$3
: "${FRACTUNE_URL:?}" "${FRACTUNE_API_KEY:?}"
mkdir -p "$result/1"

call() { # the key comes by standard input, so that no list of processes shows it
  printf 'header = "Authorization: Bearer %s"\n' "$FRACTUNE_API_KEY" |
    curl --silent --show-error --fail-with-body --retry 5 --retry-connrefused --config - "$@" || exit 1
}

name=$(basename "$model")
sha=$(sha256sum "$model" | cut -d ' ' -f 1)
call --upload-file "$model" --output /dev/null "$FRACTUNE_URL/v1/models/$sha?name=$(jq --null-input --raw-output --arg name "$name" '$name | @uri')"

jq --null-input --arg model "$sha" --slurpfile recipe "$recipe" --arg name "$name" --arg on "${FRACTUNE_RUNS_ON:-}" \
  '{model: $model, recipe: $recipe[0], name: $name} + if $on == "" then {} else {runs_on: $on} end' > "$result/request.json"
call --json "@$result/request.json" --header "Idempotency-Key: ${FRACTUNE_RUN:-$(date +%s)-$$}" \
  --output "$result/job.json" "$FRACTUNE_URL/v1/jobs"
job=$(jq --raw-output .id "$result/job.json")

until jq --exit-status '.state | IN("SUCCEEDED", "FAILED", "CANCELED")' "$result/job.json" > /dev/null; do
  sleep 2
  call --output "$result/job.json" "$FRACTUNE_URL/v1/jobs/$job"
done
if [ "$(jq --raw-output .state "$result/job.json")" != SUCCEEDED ]; then
  jq '{id, state, failure}' "$result/job.json" >&2
  exit 1
fi

for file in 1/model.xml 1/model.bin report.html report.json; do
  call --output "$result/$file" "$FRACTUNE_URL/v1/jobs/$job/artifacts/$file"
done
jq .summary "$result/job.json"
case $(jq --raw-output 'if .constraint == null then "true" else .constraint.met | tostring end' "$result/job.json") in
  true) exit 0 ;;
  false) exit 3 ;;
  *) exit 4 ;;
esac

#!/usr/bin/env bash
# Checks the template as a deployment and a security review would. See README.md.
set -euo pipefail
cd "$(dirname "$0")/../.."

place="${SIGNALBOX_CHECK_TOOLS:-$PWD/target/infra-check}"
mkdir -p "$place"
# Each set in an environment of its own: their dependencies do not agree. One that was made of other versions is made anew.
for set in sam scan; do
    if ! cmp -s "infra/check/$set.txt" "$place/$set/installed.txt"; then
        echo "installing $(grep -v '^#' "infra/check/$set.txt" | tr '\n' ' ')"
        rm -rf "${place:?}/$set"
        python3 -m venv "$place/$set"
        "$place/$set/bin/pip" install --quiet --disable-pip-version-check -r "infra/check/$set.txt"
        cp "infra/check/$set.txt" "$place/$set/installed.txt"
    fi
done

export AWS_DEFAULT_REGION="${AWS_DEFAULT_REGION:-eu-west-1}" SAM_CLI_TELEMETRY=0
echo "sam validate --lint"
"$place/sam/bin/sam" validate --lint --template infra/template.yaml

echo "expanding"
"$place/sam/bin/python" infra/check/expand.py infra/template.yaml "$place/expanded.json"
for stage in dev prod; do
    "$place/sam/bin/python" infra/check/expand.py infra/template.yaml "$place/$stage.json" "infra/parameters/$stage.yaml"
done

echo "cfn-lint"
"$place/sam/bin/cfn-lint" --format pretty -- "$place/expanded.json" "$place/dev.json" "$place/prod.json"

echo "checkov"
# It counts what it finds as a failure; whether that is one is for review.py to say.
"$place/scan/bin/checkov" --file "$place/expanded.json" --framework cloudformation --skip-download --output json --quiet \
    >"$place/checkov.json" 2>"$place/checkov.log" || true

echo "parliament"
"$place/scan/bin/python" -W ignore infra/check/policies.py "$place/expanded.json" "$place/parliament.json"

"$place/scan/bin/python" infra/check/review.py infra/check/suppressions.json "$place/checkov.json" "$place/parliament.json"

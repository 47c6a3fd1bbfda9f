#!/usr/bin/env bash
# Packages every chart of the examples and pushes it to an OCI registry:
#
#   [INSECURE_REGISTRY=true] push-charts.sh REGISTRY [HELM_BIN]
#
# REGISTRY is HOST[:PORT][/PATH]; a chart examples/E/charts/C becomes
# oci://REGISTRY/E/C. INSECURE_REGISTRY=true speaks plain HTTP. HELM_BIN is
# Helm 3 or 4, "helm" by default. A chart that is there already is replaced.
set -euo pipefail

if [[ $# -lt 1 || $# -gt 2 || -z ${1:-} || $1 == -* ]]; then
  echo "usage: [INSECURE_REGISTRY=true] ${0##*/} REGISTRY [HELM_BIN]" >&2
  exit 2
fi
registry=${1#oci://}
registry=${registry%/}
helm=${2:-helm}

if ! command -v -- "$helm" >/dev/null; then
  echo "${0##*/}: no such program: $helm" >&2
  exit 1
fi

push_options=()
case ${INSECURE_REGISTRY:-false} in
  [Tt]rue | TRUE | 1 | yes) push_options+=(--plain-http) ;;
esac

# Helm is chatty; its output matters only when it fails.
quietly() {
  local output
  if ! output=$("$@" 2>&1); then
    printf '%s: failed: %s\n%s\n' "${0##*/}" "$*" "$output" >&2
    return 1
  fi
}

examples=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd)
packages=$(mktemp -d)
trap 'rm -rf -- "$packages"' EXIT

for chart in "$examples"/*/charts/*/Chart.yaml; do
  chart=${chart%/Chart.yaml}
  example=${chart%/charts/*}
  example=${example##*/}

  mkdir -p "$packages/$example"
  quietly "$helm" package "$chart" --destination "$packages/$example"
  package=$(echo "$packages/$example/${chart##*/}"-[0-9]*.tgz)
  quietly "$helm" push "$package" "oci://$registry/$example" "${push_options[@]}"

  version=${package##*/"${chart##*/}"-}
  echo "pushed oci://$registry/$example/${chart##*/}:${version%.tgz}"
done

#!/usr/bin/env bash
# Measures halo on one GPU in at most 8 minutes: numbers first, then speed beside TRL.
#
#   bash benchmarks/gpu.sh OUT [--wheels FOLDER] [--tiny] [--only NAME ...] [--minutes 8]
#
# OUT gets table.md and results.json, which are written again after each measurement, so that a run
# that is stopped keeps what it has. A measurement that fails is a row that says why. Of several GPUs,
# the first one is used. It needs torch 2.11 or later, transformers 5, accelerate and
# peft. What else is missing can come as wheels, at most 60 MiB; `benchmarks/gpu/wheels.txt` says how
# to fetch them. Nothing is installed outside OUT. --tiny uses models of a few thousand weights, also
# on a CPU, to try the script.
set -euo pipefail

here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
root="$(dirname "$here")"
python="${PYTHON:-python3}"

if [ $# -lt 1 ] || [ "${1#-}" != "$1" ]; then
    sed -n '2,/^set/p' "${BASH_SOURCE[0]}" | sed '$d; s/^# \{0,1\}//'
    exit 2
fi
out="$1"
shift
mkdir -p "$out"
out="$(cd "$out" && pwd)"

# dill, which TRL's datasets use, pickles modules whole unless their path has this name.
site="$out/site-packages"
install() {
    "$python" -m pip install --quiet --no-index --no-deps --no-compile --upgrade \
        --no-warn-script-location --root-user-action ignore --target "$site" "$@"
}

rest=()
missing=()
while [ $# -gt 0 ]; do
    if [ "$1" = --wheels ]; then
        [ -d "${2:-}" ] || { echo "--wheels: '${2:-}' is not a folder" >&2; exit 2; }
        # One wheel of another version of Python must not keep the others away.
        install "$2"/*.whl || for wheel in "$2"/*.whl; do
            install "$wheel" || missing+=("$(basename "$wheel")")
        done
        shift 2
    else
        rest+=("$1")
        shift
    fi
done

path="$root:$here"
for folder in "$root"/plugins/*/src "$root"/libraries/*/src; do
    path="$path:$folder"
done
export PYTHONPATH="$site:$path${PYTHONPATH:+:$PYTHONPATH}" PYTHONUNBUFFERED=1
visible="${CUDA_VISIBLE_DEVICES-0}"
export CUDA_VISIBLE_DEVICES="${visible%%,*}"
export HF_HUB_OFFLINE=1 TOKENIZERS_PARALLELISM=false
exec "$python" -m gpu.run_all "$out" ${rest[@]+"${rest[@]}"} --missing "${missing[*]-}"

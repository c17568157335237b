#!/usr/bin/env bash
# Trains for at most TRAIN_SECONDS (default: 480), saves, and leaves runs and records in OUT in pieces of 15 MB:
#   bash tests/gpu/train.sh OUT resnet110 --shortcut B --dataset cifar100 --seed 0 --graph --fused --precision tf32
# To resume, give the folder of an earlier call as FROM. Exit status 124: stopped in time and saved.
set -euo pipefail
out=$1 && shift
here=$(cd "$(dirname "$0")/../.." && pwd)
work=$(mktemp -d) && trap 'rm -rf "$work"' EXIT
export PYTHONPATH=$here PYTHONUNBUFFERED=1
mkdir -p "$out" "$work/runs" "$work/results"
if [ -n "${FROM:-}" ]; then cat "$FROM"/state.tar.* | tar x -C "$work"; fi
status=0
timeout -s TERM "${TRAIN_SECONDS:-480}" "${PYTHON:-python3}" -m repro train "$@" \
  --runs "$work/runs" --results "$work/results" || status=$?
rm -f "$out"/state.tar.*
tar c -C "$work" --exclude checkpoint.previous.pt runs results | split -b 15M - "$out/state.tar."
exit $status

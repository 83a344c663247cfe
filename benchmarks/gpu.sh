#!/usr/bin/env bash
# What is not measured on a GPU yet, in at most ten minutes: smallest and most important first.
#
#   PYTHON=.venv/bin/python TORCH_PYTHON=OTHER/bin/python benchmarks/gpu.sh [--list] [--again]
#
# PYTHON has jaxdiff with the extra `cuda`, TORCH_PYTHON torch, diffusers and safetensors (without it the parts beside
# PyTorch are left out, and said so). Each part has a time limit of its own, and all together LIMIT seconds (600). A part
# that ended well is a line of benchmarks/results/gpu_parts.txt and is not run again, so that the same command goes on where
# the last one stopped; --again forgets these lines. --list prints the parts. Results are JSON in benchmarks/results/,
# written by each part itself; where OUT is set, they are packed into $OUT/gpu_results.tgz after every part.
# Exit status: 0 all parts are done, 1 some failed or are left, 2 no GPU.
set -uo pipefail
cd "$(dirname "$0")/.."
PYTHON=${PYTHON:-python}
TORCH_PYTHON=${TORCH_PYTHON:-}
LIMIT=${LIMIT:-600}
DONE=benchmarks/results/gpu_parts.txt

# name | seconds | module and options; TORCH stands for the other environment's Python.
PARTS="
throughput_64      | 150 | benchmarks.throughput --torch-python TORCH --networks own_64 --rounds 3
training_64        | 120 | benchmarks.training --torch-python TORCH --networks own_64 --rounds 3 --no-loop --no-profile --no-remat
forms              | 120 | benchmarks.network_forms --rounds 3
restoration        |  90 | benchmarks.restoration speed --run jaxdiff/models/nuclei_prior --size 512 --rounds 1
bulk               | 120 | benchmarks.bulk --parts rate host --pairs 3 --size 64 --width 128 --batch 256
sampler            |  90 | benchmarks.sampler --repeats 5 --batch 256 --size 64 --width 128
training_loop      |  90 | benchmarks.training --loop-rounds 5 --no-profile --no-remat
training_remat     | 120 | benchmarks.training --no-loop --no-profile
throughput_cifar   | 150 | benchmarks.throughput --torch-python TORCH --networks cifar_32 --rounds 3
throughput_256     | 150 | benchmarks.throughput --torch-python TORCH --networks own_256 --rounds 3
throughput_adm     | 200 | benchmarks.throughput --torch-python TORCH --networks adm_64 --rounds 3
restoration_slopes | 150 | benchmarks.restoration speed --run jaxdiff/models/nuclei_prior --size 512 --rounds 1 --methods dps mmps
"

case "${1:-}" in
  --list) printf '%s' "$PARTS" | sed '/^$/d'; exit 0 ;;
  --again) rm -f "$DONE" ;;
  "") ;;
  *) echo "got $1; expected nothing, --list or --again" >&2; exit 2 ;;
esac

if ! "$PYTHON" -c 'import jax, sys; sys.exit(jax.default_backend() != "gpu")'; then
  echo "no GPU: JAX of $PYTHON sees none; to fix: PYTHON=…, an environment with jaxdiff[cuda] on a machine with a GPU" >&2
  exit 2
fi

touch "$DONE"
began=$SECONDS left=0
while IFS='|' read -r name seconds command; do
  name=$(echo $name) seconds=$(echo $seconds)
  [ -n "$name" ] || continue
  if grep -q "^$name " "$DONE"; then echo "== $name: done before"; continue; fi
  if [[ $command == *TORCH* && -z $TORCH_PYTHON ]]; then
    echo "== $name: left out, needs TORCH_PYTHON (torch, diffusers, safetensors)"; left=1; continue
  fi
  rest=$((LIMIT - (SECONDS - began)))
  if [ "$rest" -lt 20 ]; then echo "== $name: left for the next time, $rest s of $LIMIT remain"; left=1; continue; fi
  [ "$seconds" -lt "$rest" ] || seconds=$rest
  echo "== $name: at most $seconds s"
  start=$SECONDS
  # Other Pythons on one GPU: none may take all of its memory beforehand. No input, as the loop reads the list from there.
  if XLA_PYTHON_CLIENT_PREALLOCATE=false timeout -k 5 "$seconds" "$PYTHON" -m ${command//TORCH/$TORCH_PYTHON} </dev/null; then
    echo "$name $((SECONDS - start)) s, $(date -u +%F)" >>"$DONE"
  else
    echo "== $name: failed or out of time (status $?)"; left=1
  fi
  [ -z "${OUT:-}" ] || tar czf "$OUT/gpu_results.tgz" benchmarks/results
done <<<"$PARTS"

"$PYTHON" -m benchmarks.throughput_report >/dev/null && "$PYTHON" -m benchmarks.restoration report ||
  echo "the reports were not written (matplotlib: benchmarks/requirements.txt); the JSON is there"
[ -z "${OUT:-}" ] || tar czf "$OUT/gpu_results.tgz" benchmarks/results docs/evidence.md docs/images/throughput.png
exit $left

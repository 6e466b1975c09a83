#!/usr/bin/env bash
# TensorFlow 2.21.0, iterators of a tf.data pipeline with `num_parallel_calls=tf.data.AUTOTUNE`, freed after one element.
# Expected: an idle iterator is freed at once.
# Seen: freeing some takes seconds without using a processor, here or in whatever code Python's garbage collector runs;
# with `options.autotune.enabled = False` and a number of calls, none does.
# Cause: the iterator's destructor joins the thread that tunes it, which sleeps for a period that doubles from 10 ms to
# a minute (tensorflow/core/framework/model.cc). The thread is woken before the flag that ends it is set
# (`CancellationManager::StartCancelWithStatus` runs the callbacks first), so if it looks at once, it sleeps on.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet tensorflow==2.21.0
cat > "$folder/free.py" <<'PYTHON'
import sys
import time

import tensorflow as tf


def waits(tuned):
    options = tf.data.Options()
    options.autotune.enabled = tuned
    iterators = []
    for _ in range(40):
        numbers = tf.data.Dataset.counter().map(lambda n: n + 1, num_parallel_calls=tf.data.AUTOTUNE if tuned else 2)
        iterators.append(iter(numbers.prefetch(4).with_options(options)))
        next(iterators[-1])
    time.sleep(10)
    seconds, processor = [], time.process_time()
    while iterators and sum(seconds) < 60:
        start = time.perf_counter()
        iterators.pop()
        seconds.append(time.perf_counter() - start)
    print(f"TensorFlow {tf.__version__}, tuning {tuned}: {len(seconds)} iterators freed in {sum(seconds):.1f} s, the "
          f"slowest in {max(seconds):.1f} s; {time.process_time() - processor:.1f} s of processor time")
    return max(seconds)


fixed, tuned = waits(False), waits(True)
sys.exit(not (fixed < 0.5 and tuned > 1))
PYTHON
TF_CPP_MIN_LOG_LEVEL=3 "$folder/venv/bin/python" "$folder/free.py"

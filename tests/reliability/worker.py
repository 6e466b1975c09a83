"""A process that has loaded a small model, and separates, stores and collects sweeps at once with others of its kind.

Each line of the input is a JSON object: the command, its arguments, and a seed. The seed draws pauses while the files
are written and, if `jumps`, clocks that differ at every look by up to three days. Each answer is a JSON object.
"""

import contextlib
import io
import json
import random
import sys
import time

from lab41_sce.audio import writing
from lab41_sce.commands import separate, sweep
from lab41_sce.commands import store as store_command
from lab41_sce.data import store_writer
from lab41_sce.separation import voice_files
from lab41_sce.separation.separator import Separator

MAX_PAUSE_SECONDS, MAX_JUMP_SECONDS = 0.1, 3 * 86400
COMMANDS = {"separate": separate.main, "sweep": sweep.main, "store": store_command.main}
wall_clock = time.time


def paused(function, rng):
    """Return the function with a pause before it."""
    def call(*arguments):
        time.sleep(rng.uniform(0, MAX_PAUSE_SECONDS))
        return function(*arguments)

    return call


def serve(model):
    """Run the commands of the input, one after the other."""
    separator = Separator.load(model)
    separate.load_separator = lambda *_: separator
    store_writer.SHARD_SECONDS = 10.0
    write_blocks = writing._write_blocks
    write_extras, write_csv, write_shard = voice_files.write_extras, sweep.write_csv, store_writer._write_shard
    print("ready", flush=True)
    for line in sys.stdin:
        task = json.loads(line)
        rng = random.Random(task["seed"])
        voice_files.write_extras, sweep.write_csv = paused(write_extras, rng), paused(write_csv, rng)
        writing._write_blocks = paused(write_blocks, rng)
        store_writer._write_shard = paused(write_shard, rng)
        time.time = (lambda rng=rng: wall_clock() + rng.uniform(-MAX_JUMP_SECONDS, MAX_JUMP_SECONDS)) if task[
            "jumps"] else wall_clock
        output = io.StringIO()
        with contextlib.redirect_stdout(output), contextlib.redirect_stderr(output):
            try:
                code = COMMANDS[task["command"]](task["arguments"])
            except BaseException as error:
                code = f"Traceback (most recent call last): {error!r}"
        print(json.dumps({"code": code, "output": output.getvalue()}), flush=True)


if __name__ == "__main__":
    serve(sys.argv[1])

"""Many independent jobs are spread over processes, or over the machines of a cluster, by joblib.

    with workers("dask", -1) as run:
        for result in run(joblib.delayed(function)(job) for job in jobs): ...

| engine | where the processes are | which cluster |
| --- | --- | --- |
| `loky` | on this machine | |
| `dask` | on this machine, or on the cluster of a scheduler | `DASK_SCHEDULER_ADDRESS`, as in Dask's configuration |
| `ray` | on this machine, or on a Ray cluster | `RAY_ADDRESS`, as Ray documents it |

On a cluster, all machines see the same files under the same paths, and have this package installed. Dask and Ray bring
a job that was lost with its process to another one; loky gives up.
"""

import contextlib
import os
from collections.abc import Iterator

import joblib
from joblib.externals.loky.process_executor import BrokenProcessPool

from lab41_sce.errors import UserError

ENGINES = ("loky", "dask", "ray")


@contextlib.contextmanager
def workers(engine: str = "loky", n_jobs: int = -1) -> Iterator[joblib.Parallel]:
    """Start processes, or find those of a cluster.

    Args:
        engine: one of `ENGINES`.
        n_jobs: processes on this machine; -1 for one each core, 1 (and loky) for this very process.

    Yields:
        A `joblib.Parallel`: called with delayed jobs, it gives their results in order, as they come (Ray: all at the
        end).

    Raises:
        UserError: the engine is not installed, its cluster cannot be reached, or loky lost a process.
    """
    with contextlib.ExitStack() as stack:
        if engine == "dask":
            stack.enter_context(_dask(n_jobs))
        elif engine == "ray":
            stack.enter_context(_ray(n_jobs))
        stack.enter_context(joblib.parallel_config(engine, n_jobs=n_jobs))
        # Arrays travel by pipe (max_nbytes=None): memory maps would stay on disk until the last job.
        parallel = joblib.Parallel(return_as="list" if engine == "ray" else "generator", max_nbytes=None)
        try:
            run = stack.enter_context(parallel)
        except TimeoutError as error:
            raise UserError(f"the cluster has no process that works ({error}); start some.") from None
        try:
            yield run
        except BrokenProcessPool:
            raise UserError("a process was killed, perhaps for lack of memory; start fewer, and run again: what was "
                            "finished is kept.") from None


def _missing(engine: str) -> UserError:
    return UserError(f'{engine} is not installed; pip install "lab41_sce[{engine}]", or choose loky.')


@contextlib.contextmanager
def _dask(n_jobs):
    """Connect to the scheduler that Dask's configuration names, or start processes here."""
    try:
        import dask
        from dask.distributed import Client, KilledWorker, LocalCluster
    except ImportError:
        raise _missing("dask") from None
    address = dask.config.get("scheduler-address", None)
    with contextlib.ExitStack() as stack:
        try:
            where = address or stack.enter_context(LocalCluster(
                n_workers=joblib.effective_n_jobs(n_jobs), threads_per_worker=1, dashboard_address=None))
            stack.enter_context(Client(where))
        except (OSError, ValueError) as error:
            raise UserError(f"the Dask scheduler {address or 'here'} cannot be reached ({error}); start it, or change "
                            "DASK_SCHEDULER_ADDRESS.") from None
        try:
            yield
        except KilledWorker as error:
            raise UserError(f"a job took its process down again and again ({error}); give the processes more memory, "
                            "and run again: what was finished is kept.") from None


@contextlib.contextmanager
def _ray(n_jobs):
    """Connect to the cluster that RAY_ADDRESS names, or start processes here."""
    try:
        import ray
        from ray.util.joblib import register_ray
    except ImportError:
        raise _missing("ray") from None
    here = {} if os.environ.get("RAY_ADDRESS") else {"num_cpus": joblib.effective_n_jobs(n_jobs)}
    try:
        ray.init(**here, log_to_driver=False, include_dashboard=False)
    except ConnectionError as error:
        raise UserError(f"the Ray cluster cannot be reached ({error}); start it, or change RAY_ADDRESS.") from None
    try:
        register_ray()
        yield
    finally:
        ray.shutdown()

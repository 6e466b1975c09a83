"""Independent jobs run in many processes, on this machine or on a cluster, by joblib.

    with workers("dask", -1) as run:
        for result in run(joblib.delayed(function)(job) for job in jobs): ...

| engine | where the processes run | address of the cluster |
| --- | --- | --- |
| `loky` | this machine | |
| `dask` | this machine, or the cluster of a scheduler | `DASK_SCHEDULER_ADDRESS`, as in Dask's configuration |
| `ray` | this machine, or a Ray cluster | `RAY_ADDRESS`, as in Ray's documentation |

All machines of a cluster need this package, and the same files under the same paths. If a process is lost, Dask and Ray
run its job in another one; loky stops.
"""

import contextlib
import os
from collections.abc import Iterator
from typing import TYPE_CHECKING

from lab41_sce.errors import UserError

if TYPE_CHECKING:
    import joblib

ENGINES = ("loky", "dask", "ray")


@contextlib.contextmanager
def workers(engine: str = "loky", n_jobs: int = -1) -> Iterator["joblib.Parallel"]:
    """Start processes, or connect to those of a cluster.

    Args:
        engine: one of `ENGINES`.
        n_jobs: number of processes on this machine; -1 starts one for each core, 1 (loky) uses the current process.

    Yields:
        A `joblib.Parallel`: called with delayed jobs, it returns their results in order, each as soon as it is ready
        (Ray: all at the end).

    Raises:
        UserError: the engine is not installed, its cluster cannot be reached, or loky lost a process.
    """
    import joblib  # not needed for the names of the engines, which commands list in their help
    from joblib.externals.loky.process_executor import BrokenProcessPool

    with contextlib.ExitStack() as stack:
        if engine == "dask":
            stack.enter_context(_dask(n_jobs))
        elif engine == "ray":
            stack.enter_context(_ray(n_jobs))
        stack.enter_context(joblib.parallel_config(engine, n_jobs=n_jobs))
        # max_nbytes=None sends arrays by pipe: memory maps would stay on disk until the last job.
        parallel = joblib.Parallel(return_as="list" if engine == "ray" else "generator", max_nbytes=None)
        try:
            run = stack.enter_context(parallel)
        except TimeoutError as error:
            raise UserError(f"the cluster has no worker process ({error}); start some.") from None
        try:
            yield run
        except BrokenProcessPool:
            raise UserError("a process was killed, perhaps for lack of memory; start fewer, and run again: finished "
                            "work is kept.") from None


def _missing(engine: str) -> UserError:
    package = "distributed" if engine == "dask" else engine
    return UserError(f"{engine} is not installed; pip install {package}, or choose loky.")


@contextlib.contextmanager
def _dask(n_jobs: int) -> Iterator[None]:
    """Connect to the scheduler of Dask's configuration, or start processes on this machine."""
    import joblib

    try:
        import dask
        from dask.distributed import Client, KilledWorker, LocalCluster
    except ImportError:
        raise _missing("dask") from None
    address = dask.config.get("scheduler-address", None)
    with contextlib.ExitStack() as stack:
        try:
            scheduler = address or stack.enter_context(LocalCluster(
                n_workers=joblib.effective_n_jobs(n_jobs), threads_per_worker=1, dashboard_address=None))
            stack.enter_context(Client(scheduler))
        except (OSError, ValueError) as error:
            raise UserError(f"the Dask scheduler {address or 'on this machine'} cannot be reached ({error}); start it, "
                            "or change DASK_SCHEDULER_ADDRESS.") from None
        try:
            yield
        except KilledWorker as error:
            raise UserError(f"a job ended its process several times ({error}); give the processes more memory, and run "
                            "again: finished work is kept.") from None


@contextlib.contextmanager
def _ray(n_jobs: int) -> Iterator[None]:
    """Connect to the cluster at RAY_ADDRESS, or start processes on this machine."""
    import joblib

    try:
        import ray
        from ray.util.joblib import register_ray
    except ImportError:
        raise _missing("ray") from None
    local = {} if os.environ.get("RAY_ADDRESS") else {"num_cpus": joblib.effective_n_jobs(n_jobs)}
    try:
        ray.init(**local, log_to_driver=False, include_dashboard=False)
    except ConnectionError as error:
        raise UserError(f"the Ray cluster cannot be reached ({error}); start it, or change RAY_ADDRESS.") from None
    try:
        register_ray()
        yield
    finally:
        ray.shutdown()

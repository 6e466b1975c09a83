"""`lab41_sce.threads`: items at once, results in order."""

import threading

import numpy as np
import pytest
from threadpoolctl import threadpool_info

from lab41_sce import threads
from lab41_sce.threads import in_parallel, n_threads


@pytest.mark.parametrize(("given", "expected"), [("3", 3), ("1", 1)])
def test_the_number_of_threads_is_that_of_the_environment(given, expected, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", given)
    assert n_threads() == expected


@pytest.mark.parametrize("given", ["", "0", "many"])
def test_otherwise_there_is_a_thread_for_each_core(given, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", given)
    monkeypatch.setattr(threads.os, "sched_getaffinity", lambda process: {0, 1, 2, 5}, raising=False)
    assert n_threads() == 4


@pytest.fixture
def two_threads(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "2")


def blas_threads():
    return {library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas"}


@pytest.mark.usefixtures("two_threads")
def test_results_are_in_order_and_two_items_are_computed_at_once():
    both = threading.Barrier(2, timeout=10)

    def square(number):
        both.wait()  # passes only with two threads
        return number**2

    assert list(in_parallel(square, range(6))) == [0, 1, 4, 9, 16, 25]


@pytest.mark.usefixtures("two_threads")
def test_no_more_items_than_threads_are_computed_ahead():
    started = []
    results = in_parallel(lambda number: started.append(number) or number, range(100))
    assert next(results) == 0 and len(started) <= 2
    results.close()
    assert len(started) <= 2


@pytest.mark.usefixtures("two_threads")
def test_an_error_is_raised_when_its_result_is_due():
    results = in_parallel(lambda number: 1 // (2 - number), range(4))
    assert [next(results), next(results)] == [0, 1]
    with pytest.raises(ZeroDivisionError):
        next(results)


@pytest.mark.usefixtures("two_threads")
def test_a_call_inside_another_uses_the_thread_of_its_caller():
    def names(number):
        return {threading.get_ident(), *in_parallel(lambda inner: threading.get_ident(), range(3))}

    assert all(len(of_one) == 1 for of_one in in_parallel(names, range(4)))


@pytest.mark.usefixtures("two_threads")
def test_products_of_numpy_use_one_thread_until_the_last_call_ends():
    np.ones((2, 2)) @ np.ones((2, 2))
    before = blas_threads()
    first, second = (in_parallel(str, range(3)) for _ in range(2))
    assert (next(first), next(second)) == ("0", "0") and blas_threads() == {1}
    first.close()
    assert blas_threads() == {1}
    second.close()
    assert blas_threads() == before


def test_one_thread_computes_in_the_thread_of_the_caller(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    assert set(in_parallel(lambda number: threading.get_ident(), range(3))) == {threading.get_ident()}

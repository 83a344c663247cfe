"""Shared by the tests of bulk runs: one small model, its programs compiled once, and an undisturbed run of each format."""

import functools

import pytest
from bulk_jobs import expected_images, small_job, small_model

from jaxdiff.bulk import bulk
from jaxdiff.bulk.run import program_of


@pytest.fixture(scope="session")
def model():
    return small_model()


@pytest.fixture(scope="session")
def build(model, tmp_path_factory):
    """Compiles the sampler of a micro-batch, once for all tests: it does not depend on the folder."""
    job = small_job(model, tmp_path_factory.mktemp("unused"))
    return functools.cache(lambda batch: program_of(job, batch))


@pytest.fixture(scope="session")
def images(model):
    """Of `model.sample`, by micro-batch: float32, data units."""
    return functools.cache(lambda batch: expected_images(model, batch=batch))


@pytest.fixture(scope="session")
def undisturbed(model, build, tmp_path_factory):
    """The folder of a run from start to end; a function of the format."""

    @functools.cache
    def make(format):
        out = tmp_path_factory.mktemp("undisturbed") / format
        assert bulk(small_job(model, out, format=format), build) == 0
        return out

    return make

"""Shared by all tests: quiet threads, no network, and tiny checkpoints that are built once a session."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

# Before torch is imported: OpenMP's waiting threads sleep, so that tests are fast beside other work.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ["HF_HUB_OFFLINE"] = "1"
if "PYTEST_XDIST_WORKER" in os.environ:  # one of several processes, which share the cores
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    os.environ.setdefault("LIMNER_THREADS", "1")


@pytest.fixture(scope="session")
def checkpoints(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the tiny checkpoints stable_diffusion, stable_diffusion_xl, clip and blip. Read only."""
    from tests import tiny

    folder = tmp_path_factory.mktemp("checkpoints")
    for build in (tiny.stable_diffusion, tiny.stable_diffusion_xl, tiny.clip, tiny.blip):
        build(folder / build.__name__)
    return folder

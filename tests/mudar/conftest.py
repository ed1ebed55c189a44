"""What the tests of the library and those of the remote engine share: one connection to Milvus."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from mudar.index.milvus import Milvus


@pytest.fixture(scope="module")
def engine(milvus_url: str) -> Iterator[Milvus]:
    """Milvus, connected to for the tests of one file."""
    milvus = Milvus(milvus_url)
    yield milvus
    milvus.close()

"""Puts an exact index on a GPU: FAISS for CUDA (the extra `gpu`), which finds rows that are then scored on the CPU."""

from __future__ import annotations

import faiss

from mudar.errors import IndexUnavailable
from mudar.index.exact import Device


def to_device(device: str) -> Device | None:
    """Makes what moves an empty FAISS index to `device`: `cuda` or `cuda:N`; None for `cpu`.

    IndexUnavailable when FAISS sees no such GPU.
    """
    if device == "cpu":
        return None
    number = int(device.partition(":")[2] or 0)
    count = int(faiss.get_num_gpus()) if hasattr(faiss, "StandardGpuResources") else 0
    if number >= count:
        raise IndexUnavailable(
            f"MUDAR_INDEX_DEVICE is {device}, but FAISS sees {count} graphics cards.",
            hint="Install mudar[gpu] in place of faiss-cpu on a machine with CUDA, or set MUDAR_INDEX_DEVICE=cpu.",
        )
    resources = faiss.StandardGpuResources()
    return lambda index: faiss.index_cpu_to_gpu(resources, number, index)

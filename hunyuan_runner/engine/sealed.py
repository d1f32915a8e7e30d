"""Tensors as bytes with a checksum: a safetensors file, followed by its SHA-256."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping

import safetensors.torch
import torch

DIGEST_BYTES = hashlib.sha256().digest_size


class Damaged(Exception):
    """The bytes differ from those that `seal` returned."""


def seal(tensors: Mapping[str, torch.Tensor], metadata: Mapping[str, str]) -> bytes:
    data = safetensors.torch.save(dict(tensors), dict(metadata))
    return data + hashlib.sha256(data).digest()


def unseal(sealed: bytes) -> tuple[dict[str, torch.Tensor], dict[str, str]]:
    """The tensors and the metadata. Raises Damaged."""
    data, digest = sealed[:-DIGEST_BYTES], sealed[-DIGEST_BYTES:]
    if hashlib.sha256(data).digest() != digest:
        raise Damaged("it is damaged or incomplete")
    # Cloned, because tensors in `data` may be aligned differently, and some kernels then give other
    # last bits.
    tensors = {name: tensor.clone() for name, tensor in safetensors.torch.load(data).items()}
    return tensors, _metadata(data)


def _metadata(data: bytes) -> dict[str, str]:
    """A safetensors file begins with the length of its JSON header, 8 bytes little-endian."""
    length = int.from_bytes(data[:8], "little")
    metadata: dict[str, str] = json.loads(data[8 : 8 + length])["__metadata__"]
    return metadata

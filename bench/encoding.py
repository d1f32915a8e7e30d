"""Compares ways to encode a prompt of ten words, at the real sizes of Llama 8B and Qwen 7B.

    python -m bench.encoding --json

times one layer with random weights, and multiplies that by the number of layers. A few channels are
outliers, as in Llama.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
import transformers
from transformers import LlamaConfig, LlamaModel, Qwen2_5_VLTextConfig, Qwen2_5_VLTextModel

from hunyuan_runner.engine.loading import DTYPES
from hunyuan_runner.engine.on_disk import PIECE, on_disk
from hunyuan_runner.engine.stored import StoredWeights
from hunyuan_runner.machine.host import cpu_flags, usable_cores
from hunyuan_runner.machine.precision import text_encoder_precision

MEASURED_LAYERS = 1
REPEATS = 3
WORDS = 1000  # in the vocabulary
OUTLIERS, OUTLIER_FACTOR = 4, 50.0  # channels, and how many times as large they are

TEMPLATE = """\
## Encoding

`python -m bench.encoding`: a prompt of ten words with its template, {threads} threads.
Timed is one layer with random weights, in which {outliers} channels are {factor:.0f} times as
large as the others; the best of {repeats} interleaved runs, times the number of layers.
Core-seconds are those of encoding, whatever else the machine does. Cold: loading and encoding while
the system has none of the files in memory. Held: the memory of the layers. dB: the mean square of
the layer's results to that of their error, compared with fp32.

{tables}
"""
TABLE = """\
| {name} | tokens x layers | load, s | encode, s | core-seconds | cold, s | held, GB | dB |
|---|---|---|---|---|---|---|---|
"""
ROW = """\
| {way} | {tokens} x {layers} | {load_s:.1f} | {encode_s:.1f} | {core_s:.1f} | {cold_s:.1f} | \
{memory_gb:.2f} | {db:.0f} |
"""


@dataclass(frozen=True)
class Encoder:
    """A text encoder: its class and sizes, and what is computed of it."""

    name: str
    kind: Any
    config: Any  # with MEASURED_LAYERS
    all_layers: int
    read_layers: int
    tokens: int
    padded_tokens: int | None  # of the version that padded


@dataclass(frozen=True)
class Row:
    """One way to encode. Seconds and gigabytes are those of all layers."""

    encoder: str
    way: str
    tokens: int
    layers: int
    load_s: float
    encode_s: float
    core_s: float  # of encoding, which others on the machine do not add to
    cold_s: float  # both, where no file is in memory
    memory_gb: float  # of the weights that are held
    db: float


def encoders() -> list[Encoder]:
    common = {"num_hidden_layers": MEASURED_LAYERS, "vocab_size": WORDS, "bos_token_id": 0}
    llama = LlamaConfig(
        hidden_size=4096,
        intermediate_size=14336,
        num_attention_heads=32,
        num_key_value_heads=8,
        rope_theta=5e5,
        eos_token_id=1,
        **common,
    )
    rotary = {"mrope_section": [16, 24, 24], "rope_type": "default", "rope_theta": 1e6}
    qwen = Qwen2_5_VLTextConfig(
        hidden_size=3584,
        intermediate_size=18944,
        num_attention_heads=28,
        num_key_value_heads=4,
        rope_parameters=rotary,
        eos_token_id=1,
        **common,
    )
    return [
        Encoder("Llama 8B", LlamaModel, llama, 32, 30, tokens=107, padded_tokens=351),
        Encoder("Qwen 7B", Qwen2_5_VLTextModel, qwen, 28, 26, tokens=123, padded_tokens=None),
    ]


@torch.no_grad()
def measure(encoder: Encoder, threads: int, repeats: int) -> list[Row]:
    transformers.utils.logging.disable_progress_bar()
    torch.manual_seed(0)
    torch.set_num_threads(threads)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        _save(encoder, folder)
        ids = torch.randint(2, WORDS, (1, encoder.tokens))
        expected = _held(encoder, folder, torch.float32)(ids, use_cache=False).last_hidden_state
        bf16 = partial(_held, encoder, folder, torch.bfloat16)
        ours = partial(_on_disk, encoder, folder)
        ways: dict[str, tuple[Callable[[], Any], Mapping[str, torch.Tensor], int]] = {}
        if encoder.padded_tokens is not None:
            missing = encoder.padded_tokens - encoder.tokens
            padded = {
                "input_ids": torch.nn.functional.pad(ids, (0, missing)),
                "attention_mask": torch.nn.functional.pad(torch.ones_like(ids), (0, missing)),
            }
            ways["bf16, padded, all layers (4b9c687)"] = bf16, padded, encoder.all_layers
        ways["bf16"] = bf16, {"input_ids": ids}, encoder.read_layers
        dtype = _dtype()
        title = str(dtype).removeprefix("torch.")
        ways[f"ours, {title}, from the disk"] = ours, {"input_ids": ids}, encoder.read_layers
        times = defaultdict(list)  # type: dict[tuple[str, str], list[float]]
        errors: dict[str, float] = {}
        held: dict[str, float] = {}
        for _ in range(repeats):
            for way, (load, inputs, layers) in ways.items():
                share = layers / MEASURED_LAYERS
                _drop(folder)
                cold, model = _timed(load)
                if load is ours:  # the others have read it all
                    cold += _timed(partial(_encode, model, inputs))[0]
                del model
                load_s, model = _timed(load)
                cores = time.process_time()
                encode_s, states = _timed(partial(_encode, model, inputs))
                cores = time.process_time() - cores
                if load is not ours:
                    cold += encode_s
                seconds = {"load": load_s, "encode": encode_s, "core": cores, "cold": cold}
                for what, took in seconds.items():
                    times[way, what].append(took * share)
                errors[way] = _decibels(states[:, : encoder.tokens], expected)
                held[way] = _layer_bytes(model) * share + (load is ours) * PIECE * dtype.itemsize
                del model, states
    best = {key: min(values) for key, values in times.items()}
    return [
        Row(
            encoder=encoder.name,
            way=way,
            tokens=inputs["input_ids"].shape[1],
            layers=layers,
            load_s=best[way, "load"],
            encode_s=best[way, "encode"],
            core_s=best[way, "core"],
            cold_s=best[way, "cold"],
            memory_gb=held[way] / 1e9,
            db=errors[way],
        )
        for way, (_, inputs, layers) in ways.items()
    ]


def _save(encoder: Encoder, folder: Path) -> None:
    """Save it in fp16, as the real ones are."""
    model = encoder.kind(encoder.config).half()
    for layer in model.layers:
        for linear in (layer.self_attn.o_proj, layer.mlp.down_proj):
            linear.weight[:OUTLIERS] *= OUTLIER_FACTOR
    model.save_pretrained(folder)


def _held(encoder: Encoder, folder: Path, dtype: torch.dtype) -> Any:
    """As transformers loads it."""
    return encoder.kind.from_pretrained(folder, dtype=dtype)


def _on_disk(encoder: Encoder, folder: Path) -> Any:
    with torch.device("meta"):
        model = encoder.kind(encoder.config)
    return on_disk(model, StoredWeights(folder), _dtype())


def _dtype() -> torch.dtype:
    """What this CPU encodes in."""
    return DTYPES[text_encoder_precision(7e9, cpu_flags())]


def _encode(model: Any, inputs: Mapping[str, torch.Tensor]) -> torch.Tensor:
    states: torch.Tensor = model(**inputs, use_cache=False).last_hidden_state
    return states.float()


def _timed(work: Callable[[], Any]) -> tuple[float, Any]:
    start = time.perf_counter()
    result = work()
    return time.perf_counter() - start, result


def _layer_bytes(model: Any) -> float:
    """Of the layers alone: real vocabularies are larger."""
    return float(sum(weight.nbytes for weight in model.layers.parameters()))


def _decibels(found: torch.Tensor, expected: torch.Tensor) -> float:
    error = (found - expected).square().mean().clamp_min(1e-30)
    return float(10 * torch.log10(expected.square().mean() / error))


def _drop(folder: Path) -> None:
    """Have the system forget the files in this folder."""
    for path in folder.iterdir():
        with path.open("rb") as file:
            os.fdatasync(file.fileno())
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def describe(rows: list[Row], threads: int, repeats: int) -> str:
    tables = []
    for name in dict.fromkeys(row.encoder for row in rows):
        mine = [row for row in rows if row.encoder == name]
        lines = [ROW.format(**asdict(row)) for row in mine]
        tables.append(TABLE.format(name=name) + "".join(lines))
    return TEMPLATE.format(
        threads=threads,
        outliers=OUTLIERS,
        factor=OUTLIER_FACTOR,
        repeats=repeats,
        tables="\n".join(tables).rstrip(),
    )


def run() -> str:
    return describe(measure_all(usable_cores(), REPEATS), usable_cores(), REPEATS)


def measure_all(threads: int, repeats: int) -> list[Row]:
    return [row for each in encoders() for row in measure(each, threads, repeats)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, prog="python -m bench.encoding")
    parser.add_argument("--threads", type=int, default=usable_cores())
    parser.add_argument("--repeats", type=int, default=REPEATS)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    arguments = parser.parse_args()
    how = arguments.threads, arguments.repeats
    rows = measure_all(*how)
    print(json.dumps([asdict(row) for row in rows]) if arguments.json else describe(rows, *how))


if __name__ == "__main__":
    main()

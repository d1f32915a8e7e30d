"""Writes a model of random weights whose blocks stable-diffusion.cpp can be timed with.

    python -m bench.peer_model FOLDER

It is a HunyuanVideo-1.5, which that program knows, but with the blocks of bench.blocks: a double
and a single one of the 13B model. The text encoder and the decoder are small.
Printed are a command that makes 4800 tokens, and 19200 with `--video-frames 61`, after which the
program says how long each step took; and the one that has bench.peers time a whole clip, whose
model has two single blocks. All this holds for its version 97d2990 (2026-08-19).
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import torch
from safetensors.torch import save_file

from bench.blocks import HEAD_WIDTH, WIDTH
from tests import double_taehv

LATENT_CHANNELS = 32  # of HunyuanVideo-1.5; its transformer also sees a condition and a mask
SEEN_CHANNELS = 2 * LATENT_CHANNELS + 1
TEXT_WIDTH, TEXT_MLP = 256, 256
TEXT_LAYERS = 28  # the output of the last but two is taken
TEXT_QUERY, TEXT_KEY = 28 * 128, 4 * 128  # of Qwen2.5-VL 7B, which the program takes for granted
VOCABULARY = 152064
COMMAND = (
    "sd-cli -M vid_gen --diffusion-model {folder}/transformer.safetensors --type q8_0 "
    "--llm {folder}/text_encoder.safetensors --tae {folder}/decoder.safetensors --diffusion-fa "
    "-p prompt --cfg-scale 1 -o {folder}/clip.avi "
    "--steps {steps} -W {width} -H {height} --video-frames {num_frames}"
)

Shapes = Iterator[tuple[str, tuple[int, ...]]]


def transformer(single_blocks: int) -> Shapes:
    """The names of stable-diffusion.cpp, which are those of Flux. Its own prefix is added, or is
    there: it reads in the order of the names, and must know the width before it sees a block."""
    yield from _linear("img_in.proj", (WIDTH, SEEN_CHANNELS, 1, 1, 1))
    for name, shape in _rest_of_transformer(single_blocks):
        yield f"model.diffusion_model.{name}", shape


def _rest_of_transformer(single_blocks: int) -> Shapes:
    yield "cond_type_embedding.weight", (3, WIDTH)
    yield from _embedder("time_in", 256)
    yield from _linear("txt_in.input_embedder", (WIDTH, TEXT_WIDTH))
    yield from _embedder("txt_in.t_embedder", 256)
    yield from _embedder("txt_in.c_embedder", TEXT_WIDTH)
    for number in range(2):
        block = f"txt_in.individual_token_refiner.blocks.{number}"
        yield from _linear(f"{block}.norm1", (WIDTH,))
        yield from _linear(f"{block}.norm2", (WIDTH,))
        yield from _linear(f"{block}.self_attn.qkv", (3 * WIDTH, WIDTH))
        yield from _linear(f"{block}.self_attn.proj", (WIDTH, WIDTH))
        yield from _mlp(f"{block}.mlp")
        yield from _linear(f"{block}.adaLN_modulation.1", (2 * WIDTH, WIDTH))
    for stream in ("img", "txt"):
        block = f"double_blocks.0.{stream}"
        yield from _linear(f"{block}_mod.lin", (6 * WIDTH, WIDTH))
        yield from _linear(f"{block}_attn.qkv", (3 * WIDTH, WIDTH))
        yield from _linear(f"{block}_attn.proj", (WIDTH, WIDTH))
        yield from _norms(f"{block}_attn.norm")
        yield from _mlp(f"{block}_mlp")
    for number in range(single_blocks):
        block = f"single_blocks.{number}"
        yield from _linear(f"{block}.modulation.lin", (3 * WIDTH, WIDTH))
        yield from _linear(f"{block}.linear1", (7 * WIDTH, WIDTH))
        yield from _linear(f"{block}.linear2", (WIDTH, 5 * WIDTH))
        yield from _norms(f"{block}.norm")
    yield from _linear("final_layer.linear", (LATENT_CHANNELS, WIDTH))
    yield from _linear("final_layer.adaLN_modulation.1", (2 * WIDTH, WIDTH))


def text_encoder() -> Shapes:
    yield "model.embed_tokens.weight", (VOCABULARY, TEXT_WIDTH)
    for number in range(TEXT_LAYERS):
        layer = f"model.layers.{number}"
        yield f"{layer}.input_layernorm.weight", (TEXT_WIDTH,)
        yield f"{layer}.post_attention_layernorm.weight", (TEXT_WIDTH,)
        yield from _linear(f"{layer}.self_attn.q_proj", (TEXT_QUERY, TEXT_WIDTH))
        yield from _linear(f"{layer}.self_attn.k_proj", (TEXT_KEY, TEXT_WIDTH))
        yield from _linear(f"{layer}.self_attn.v_proj", (TEXT_KEY, TEXT_WIDTH))
        yield f"{layer}.self_attn.o_proj.weight", (TEXT_WIDTH, TEXT_QUERY)
        yield f"{layer}.mlp.gate_proj.weight", (TEXT_MLP, TEXT_WIDTH)
        yield f"{layer}.mlp.up_proj.weight", (TEXT_MLP, TEXT_WIDTH)
        yield f"{layer}.mlp.down_proj.weight", (TEXT_WIDTH, TEXT_MLP)
    yield "model.norm.weight", (TEXT_WIDTH,)


def _linear(name: str, shape: tuple[int, ...]) -> Shapes:
    yield f"{name}.weight", shape
    yield f"{name}.bias", shape[:1]


def _mlp(name: str) -> Shapes:
    yield from _linear(f"{name}.0", (4 * WIDTH, WIDTH))
    yield from _linear(f"{name}.2", (WIDTH, 4 * WIDTH))


def _embedder(name: str, inputs: int) -> Shapes:
    yield from _linear(f"{name}.in_layer", (WIDTH, inputs))
    yield from _linear(f"{name}.out_layer", (WIDTH, WIDTH))


def _norms(name: str) -> Shapes:
    for which in ("query", "key"):
        yield f"{name}.{which}_norm.scale", (HEAD_WIDTH,)


def random_weights(shapes: Shapes) -> dict[str, torch.Tensor]:
    """Such that what they multiply keeps its size."""

    def drawn(shape: tuple[int, ...]) -> torch.Tensor:
        if len(shape) == 1:
            return torch.ones(shape)
        return torch.randn(shape) / torch.tensor(shape[1:]).prod().sqrt()

    return {name: drawn(shape).bfloat16() for name, shape in shapes}


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m bench.peer_model",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--single-blocks", type=int, default=1, help="2 for bench.peers")
    arguments = parser.parse_args()
    folder = arguments.folder
    folder.mkdir(parents=True, exist_ok=True)
    save_file(
        random_weights(transformer(arguments.single_blocks)), folder / "transformer.safetensors"
    )
    save_file(random_weights(text_encoder()), folder / "text_encoder.safetensors")
    double_taehv.save_decoder(folder / "decoder.safetensors", LATENT_CHANNELS, 2)
    print(COMMAND.format(folder=folder, steps=3, width=640, height=480, num_frames=13))
    names = ("steps", "width", "height", "num_frames")
    asked = COMMAND.format(folder=folder, **{name: f"{{{name}}}" for name in names})
    print(f"\nmake bench-peers PEERS='--peer \"stable-diffusion.cpp={asked}\"'")


if __name__ == "__main__":
    main()

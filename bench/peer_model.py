"""Writes a model that stable-diffusion.cpp renders, for bench.peers.

    python -m bench.peer_model FOLDER

It is a HunyuanVideo-1.5 of random weights whose transformer costs as much as that of the clip of
bench.peers: as wide, with as many blocks and as many tokens for a clip. Text encoder and decoder
are as small as that program takes, so that they count for next to nothing: the decoder is TAEHV's.
The command to give to bench.peers is printed. It is that of stable-diffusion.cpp at 97d2990
(2026-08-19).
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import torch
from safetensors.torch import save_file

from bench.peers import BLOCKS
from tests import double_taehv

HEADS, HEAD_WIDTH = 24, 128
WIDTH = HEADS * HEAD_WIDTH
LATENT_CHANNELS = 32  # of HunyuanVideo-1.5; its transformer also sees a condition and a mask
SEEN_CHANNELS = 2 * LATENT_CHANNELS + 1
TEXT_WIDTH, TEXT_MLP = 256, 256
TEXT_LAYERS = 28  # the output of the last but two is taken
TEXT_QUERY, TEXT_KEY = 28 * 128, 4 * 128  # of Qwen2.5-VL 7B, which the program takes for granted
VOCABULARY = 152064
COMMAND = (
    "sd-cli -M vid_gen --diffusion-model {folder}/transformer.safetensors "
    "--tae {folder}/decoder.safetensors --llm {folder}/text_encoder.safetensors --type q8_0 "
    "-p prompt --cfg-scale 1 --steps {{steps}} -W {{width}} -H {{height}} "
    "--video-frames {{num_frames}} --diffusion-fa -o {folder}/clip.avi"
)

Shapes = Iterator[tuple[str, tuple[int, ...]]]


def transformer() -> Shapes:
    """The names of stable-diffusion.cpp, which are those of Flux."""
    double, single = BLOCKS
    yield from _linear("img_in.proj", (WIDTH, SEEN_CHANNELS, 1, 1, 1))
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
    for number in range(double):
        for stream in ("img", "txt"):
            block = f"double_blocks.{number}.{stream}"
            yield from _linear(f"{block}_mod.lin", (6 * WIDTH, WIDTH))
            yield from _linear(f"{block}_attn.qkv", (3 * WIDTH, WIDTH))
            yield from _linear(f"{block}_attn.proj", (WIDTH, WIDTH))
            yield from _norms(f"{block}_attn.norm")
            yield from _mlp(f"{block}_mlp")
    for number in range(single):
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
    folder = parser.parse_args().folder
    folder.mkdir(parents=True, exist_ok=True)
    save_file(random_weights(transformer()), folder / "transformer.safetensors")
    save_file(random_weights(text_encoder()), folder / "text_encoder.safetensors")
    double_taehv.save_decoder(folder / "decoder.safetensors", LATENT_CHANNELS, 2)
    print(COMMAND.format(folder=folder))


if __name__ == "__main__":
    main()

"""The kernels for each instruction set that this CPU has: against the same arithmetic in float32,
and against the bits of plain C++."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import HunyuanVideoPipeline, HunyuanVideoTransformer3DModel
from diffusers.models.embeddings import apply_rotary_emb
from torch.nn import functional as F

from hunyuan_runner.engine.blocks import Int8Blocks
from hunyuan_runner.engine.kernels import Epilogue, Kernels, Levels, load_kernels
from hunyuan_runner.engine.quantize import load_transformer, pack_linear, quantize
from hunyuan_runner.machine.building import INSTRUCTION_FLAGS, KernelsUnavailable, build
from hunyuan_runner.machine.host import cpu_flags
from hunyuan_runner.machine.instructions import (
    Attention,
    Instructions,
    WantedKernels,
    available,
)
from hunyuan_runner.settings import BUNDLED_MODELS
from tests import tiny

TEXT_ROWS = 3
HERE = available(cpu_flags())
needs_kernels = pytest.mark.skipif(not HERE, reason="this CPU has no AVX2")
ANY_CPU = ("-DPLAIN_VECTORS",)  # flags: plain C++ only


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("kernels")


@pytest.fixture(scope="module", params=[f"{each}" for each in Instructions])
def kernels(request: pytest.FixtureRequest, folder: Path) -> Kernels:
    return kernels_for(folder, Instructions(request.param))


def kernels_for(
    folder: Path, wanted: Instructions, form: Attention | None = None, threads: int = 2
) -> Kernels:
    """AMX is emulated where the CPU has what else its kernels need."""
    if wanted in HERE:
        return load_kernels(WantedKernels(folder, wanted, form), threads)
    if wanted is Instructions.AMX and Instructions.AVX512_BF16 in HERE:
        library = folder / "emulated.so"
        if not library.exists():
            header = Path(__file__).with_name("emulated_amx.h")
            build(library, (*INSTRUCTION_FLAGS[Instructions.AVX512_BF16], "-include", f"{header}"))
        return Kernels(library, wanted, wanted.attention(form, cpu_flags()), threads)
    pytest.skip(f"this CPU has no {wanted}")


@pytest.fixture(scope="module", params=["bf16", "int16", "int8"])
def attending(request: pytest.FixtureRequest, kernels: Kernels, folder: Path) -> Kernels:
    """Kernels for each instruction set with each form of attention that it has."""
    form = Attention(request.param)
    if not kernels.instructions.has(form):
        pytest.skip(f"{kernels.instructions} has no attention in {form}")
    return kernels_for(folder, kernels.instructions, form)


@pytest.fixture(scope="module")
def narrow(folder: Path) -> Kernels:
    """The kernels for AVX-VNNI, on any CPU with VNNI."""
    if Instructions.AVX_VNNI in HERE:
        return load_kernels(WantedKernels(folder, Instructions.AVX_VNNI), threads=2)
    if Instructions.AVX512 not in HERE:
        pytest.skip("this CPU has no VNNI")
    library = folder / "narrow.so"
    build(library, (*INSTRUCTION_FLAGS[Instructions.AVX512], "-DNARROW_VECTORS"))
    return Kernels(library, Instructions.AVX_VNNI, Attention.INT16, threads=2)


def reference(folder: Path, attention: Attention = Attention.INT16) -> Kernels:
    """The kernels in plain C++."""
    library = folder / "plain.so"
    if not library.exists():
        build(library, ANY_CPU)
    return Kernels(library, Instructions.AVX2, attention, threads=1)


@pytest.fixture(autouse=True)
def _seed() -> None:
    """Random numbers that do not depend on the tests before: one draw in some hundred rounds to
    more than is allowed here."""
    torch.manual_seed(0)


def relative_error(got: torch.Tensor, expected: torch.Tensor) -> float:
    return float((got.float() - expected).norm() / expected.norm())


def quantized(kernels: Kernels, x: torch.Tensor) -> Levels:
    rows, inputs = x.shape
    padded = -(-rows // 16) * 16 * -(-inputs // 64) * 64
    levels = Levels(torch.empty(padded, dtype=torch.uint8), torch.empty(rows), rows)
    kernels.quantize(x, levels)
    return levels


@needs_kernels
@pytest.mark.parametrize(
    ("rows", "inputs", "outputs"),
    [(1, 16, 16), (50, 32, 48), (333, 192, 576), (500, 4096, 80), (17, 7000, 1000)],
)
def test_a_linear_layer_is_off_by_its_rounding_alone(
    kernels: Kernels, rows: int, inputs: int, outputs: int
) -> None:
    inputs -= inputs % 16
    x = torch.randn(rows, inputs).bfloat16()
    weight, bias = torch.randn(outputs, inputs) / inputs**0.5, torch.randn(outputs)
    layer, levels = pack_linear(weight, bias), quantized(kernels, x)
    expected = F.linear(x.float(), weight, bias)
    out = torch.empty(rows, outputs, dtype=torch.bfloat16)
    kernels.linear(levels, layer, out, Epilogue.STORE)
    assert relative_error(out, expected) < 0.015
    kernels.linear(levels, layer, out, Epilogue.GELU)
    assert relative_error(out, F.gelu(expected, approximate="tanh")) < 0.015
    x_before, gate = torch.randn(rows, outputs), torch.randn(outputs)
    residual = x_before.clone()
    kernels.linear(levels, layer, residual, Epilogue.RESIDUAL, gate)
    assert relative_error(residual - x_before, gate * expected) < 0.015


@needs_kernels
def test_a_linear_layer_writes_where_it_should_and_nowhere_else(kernels: Kernels) -> None:
    x, layer = torch.randn(20, 64).bfloat16(), pack_linear(torch.randn(40, 64), None)
    wide = torch.full((24, 64), 7, dtype=torch.bfloat16)
    kernels.linear(quantized(kernels, x), layer, wide[2:22, 8:48], Epilogue.STORE)
    assert (wide[:2] == 7).all()
    assert (wide[22:] == 7).all()
    assert (wide[:, :8] == 7).all()
    assert (wide[:, 48:] == 7).all()
    assert (wide[2:22, 8:48] != 7).any(dim=1).all()


@needs_kernels
def test_a_gelu_takes_small_and_large_values(kernels: Kernels) -> None:
    x = torch.linspace(-1, 1, 64).repeat(40, 1) * torch.logspace(-3, 3, 40)[:, None]
    x = x.bfloat16()
    out = torch.empty(40, 64, dtype=torch.bfloat16)
    kernels.linear(quantized(kernels, x), pack_linear(torch.eye(64), None), out, Epilogue.GELU)
    expected = F.gelu(x.float(), approximate="tanh")
    for row, expected_row in zip(out, expected, strict=True):
        assert relative_error(row, expected_row) < 0.015


@needs_kernels
def test_norm_and_modulation_are_those_of_diffusers(kernels: Kernels) -> None:
    x, scale, shift = torch.randn(37, 192) * 3 + 1, torch.randn(192), torch.randn(192)
    levels = Levels(torch.empty(48 * 192, dtype=torch.uint8), torch.empty(37), 37)
    kernels.norm_quantize(x, scale, shift, levels)
    out = torch.empty(37, 192, dtype=torch.bfloat16)
    kernels.linear(levels, pack_linear(torch.eye(192), None), out, Epilogue.STORE)
    expected = F.layer_norm(x, (192,), eps=1e-6) * (1 + scale) + shift
    assert relative_error(out, expected) < 0.01


def attend(
    kernels: Kernels,
    qkv: torch.Tensor,
    norms: tuple[torch.Tensor, torch.Tensor],
    rotary: tuple[torch.Tensor, torch.Tensor] | None,
    text_rows: int = TEXT_ROWS,
) -> torch.Tensor:
    """Attention of qkv ([rows, 3, heads, width]); the last rows are packed apart, as text."""
    rows, _, heads, width = qkv.shape
    packed = kernels.packed_heads(rows, heads, width)
    flat = qkv.flatten(1)
    video_rows = rows - text_rows
    kernels.pack_qkv(flat[:video_rows], *norms, rotary, 0, packed)
    kernels.pack_qkv(flat[video_rows:], *norms, None, video_rows, packed)
    out = torch.empty(rows, heads * width, dtype=torch.bfloat16)
    kernels.attention(flat, packed, out)
    return out.view(rows, heads, width)


def attend_in_float32(
    qkv: torch.Tensor,
    norms: tuple[torch.Tensor, torch.Tensor],
    rotary: tuple[torch.Tensor, torch.Tensor] | None,
    text_rows: int = TEXT_ROWS,
) -> torch.Tensor:
    def turned(x: torch.Tensor, norm: torch.Tensor) -> torch.Tensor:
        x = F.rms_norm(x, (x.shape[-1],), norm, eps=1e-6)[None]
        if rotary is not None:
            video, text = x.split([len(qkv) - text_rows, text_rows], dim=1)
            x = torch.cat([apply_rotary_emb(video, rotary, sequence_dim=1), text], dim=1)
        return x.transpose(1, 2)

    query, key, value = qkv.float().unbind(1)
    query, key = turned(query, norms[0]), turned(key, norms[1])
    mixed = F.scaled_dot_product_attention(query, key, value[None].transpose(1, 2))
    return mixed.transpose(1, 2)[0]


def random_angles(rows: int, width: int) -> tuple[torch.Tensor, torch.Tensor]:
    angles = torch.rand(rows, width // 2).repeat_interleave(2, dim=1) * 6
    return angles.cos(), angles.sin()


def allowed_error(kernels: Kernels, sharpness: float = 1.0) -> float:
    match kernels.attention_form:
        case Attention.INT16:
            return 0.01
        case Attention.BF16:
            return 0.01 if sharpness <= 3 else 0.02
        case Attention.INT8:
            return 0.02


@needs_kernels
@pytest.mark.parametrize(
    ("rows", "heads", "width"),
    [(5, 1, 16), (96, 2, 48), (333, 4, 48), (700, 3, 128), (1500, 1, 128)],
)
@pytest.mark.parametrize("sharpness", [1.0, 3.0, 10.0])
def test_attention_is_within_one_percent_of_float32(
    attending: Kernels, rows: int, heads: int, width: int, sharpness: float
) -> None:
    qkv = torch.randn(rows, 3, heads, width).bfloat16()
    norms = ((torch.rand(width) + 0.5) * sharpness, torch.rand(width) + 0.5)
    rotary = random_angles(rows - TEXT_ROWS, width)
    expected = attend_in_float32(qkv, norms, rotary)
    got = attend(attending, qkv, norms, rotary)
    assert relative_error(got, expected) < allowed_error(attending, sharpness)


@needs_kernels
def test_attention_withstands_channels_that_outweigh_the_others(attending: Kernels) -> None:
    qkv = torch.randn(1100, 3, 2, 128).bfloat16()
    norms = torch.ones(128), torch.ones(128)
    norms[1][:4] = 10  # as trained models have them
    expected = attend_in_float32(qkv, norms, None)
    got = attend(attending, qkv, norms, None)
    assert relative_error(got, expected) < allowed_error(attending, sharpness=10)


@needs_kernels
def test_attention_of_the_trained_model_is_within_one_percent_of_float32(
    attending: Kernels,
) -> None:
    transformer = HunyuanVideoTransformer3DModel.from_pretrained(
        BUNDLED_MODELS / "demo" / "transformer", torch_dtype=torch.float32
    )
    seen: list[tuple[Any, dict[str, Any]]] = []
    for block in transformer.single_transformer_blocks:
        block.attn.register_forward_pre_hook(
            lambda module, _, inputs: seen.append((module, inputs)), with_kwargs=True
        )
    inputs = transformer_inputs(transformer)
    with torch.no_grad():
        transformer(**inputs)
        for attn, given in seen:
            text = given["encoder_hidden_states"]
            x = torch.cat([given["hidden_states"], text], dim=1)[0]
            qkv = torch.stack([attn.to_q(x), attn.to_k(x), attn.to_v(x)], dim=1)
            qkv = qkv.unflatten(2, (attn.heads, -1)).bfloat16()
            norms = (attn.norm_q.weight, attn.norm_k.weight)
            rotary = given["image_rotary_emb"]
            expected = attend_in_float32(qkv, norms, rotary, text.shape[1])
            got = attend(attending, qkv, norms, rotary, text.shape[1])
            assert relative_error(got, expected) < allowed_error(attending)
    assert len(seen) == 4


@needs_kernels
def test_attention_withstands_scores_that_overflow_an_exponential(attending: Kernels) -> None:
    qkv = torch.randn(600, 3, 1, 32).bfloat16()
    norms = (torch.full((32,), 40.0), torch.full((32,), 40.0))
    expected = attend_in_float32(qkv, norms, None)
    # scores of thousands, where bfloat16 itself decides which key is the nearest
    got = attend(attending, qkv, norms, None)
    assert got.isfinite().all()
    agreeing = (got.float() - expected).norm(dim=-1) < 0.05 * expected.norm(dim=-1)
    assert agreeing.float().mean() > 0.9


@needs_kernels
@pytest.mark.parametrize("width", [48, 128])
def test_attention_withstands_scores_that_rise_along_the_keys(
    attending: Kernels, width: int
) -> None:
    torch.manual_seed(width)
    rows = 2200
    # keys from opposite to equal to half of the queries, from equal to opposite to the others
    turned = torch.linspace(width, 0, rows).round().int()[:, None]
    keys = torch.where(torch.arange(width) < turned, -1.0, 1.0)
    queries = torch.ones(rows, width) * torch.where(torch.arange(rows) % 2 == 0, 1, -1)[:, None]
    qkv = torch.stack([queries, keys, torch.randn(rows, width)], dim=1)[:, :, None].bfloat16()
    # weighted so that bfloat16 keeps both as they are, for scores of +-140 doublings
    query_weight = torch.full((width,), width**0.5 * math.log(2))
    key_weight = torch.full((width,), 140 / width).bfloat16().float()
    norms = (query_weight, key_weight)
    expected = attend_in_float32(qkv, norms, None)
    got = attend(attending, qkv, norms, None)
    assert relative_error(got, expected) < allowed_error(attending)


@needs_kernels
def test_the_trained_transformer_in_int8_is_close_to_itself_in_float32(kernels: Kernels) -> None:
    folder = BUNDLED_MODELS / "demo"
    plain = HunyuanVideoTransformer3DModel.from_pretrained(
        folder / "transformer", torch_dtype=torch.float32
    )
    ours = load_transformer(folder, kernels)
    pipeline = HunyuanVideoPipeline.from_pretrained(folder, transformer=plain, dtype=torch.float32)
    inputs = transformer_inputs(plain)
    with torch.no_grad():
        # What it was trained on: noise at the first step, and a prompt.
        embeds, pooled, mask = pipeline.encode_prompt("A cat walks on grass")
        length = int(mask.sum())
        inputs |= {
            "timestep": torch.tensor([1000.0]),
            "encoder_hidden_states": embeds[:, :length],
            "encoder_attention_mask": mask[:, :length],
            "pooled_projections": pooled,
        }
        expected, got = plain(**inputs)[0], ours(**inputs)[0]
    assert relative_error(got, expected) < 0.01


@needs_kernels
def test_what_was_quantised_and_saved_is_what_comes_of_the_original(
    kernels: Kernels, tmp_path: Path
) -> None:
    tiny.save_model(tmp_path)
    inputs = transformer_inputs(load_transformer(tmp_path, kernels))
    with torch.no_grad():
        expected = load_transformer(tmp_path, kernels)(**inputs)[0]
    heard: list[tuple[int, int]] = []
    quantize(tmp_path, lambda done, of: heard.append((done, of)))
    assert heard == [(1, 2), (2, 2)]
    (tmp_path / "transformer").rename(tmp_path / "gone")
    with torch.no_grad():
        assert torch.equal(load_transformer(tmp_path, kernels)(**inputs)[0], expected)


@needs_kernels
def test_modulation_computed_ahead_is_that_of_each_step(kernels: Kernels) -> None:
    transformer = load_transformer(BUNDLED_MODELS / "demo", kernels)
    (blocks,) = transformer.transformer_blocks
    assert isinstance(blocks, Int8Blocks)
    tembs = torch.randn(5, 192)
    blocks.modulation.prepare(tembs)
    ahead = [blocks.modulation.at(temb[None]) for temb in tembs]
    for temb, known in zip(tembs, ahead, strict=True):
        blocks.modulation.prepare(temb[None])
        for one, other in zip(blocks.modulation.at(temb[None]), known, strict=True):
            assert torch.allclose(one, other, atol=1e-5)


@needs_kernels
@pytest.mark.parametrize(
    ("rows", "inputs", "outputs"), [(1, 16, 16), (50, 32, 40), (333, 192, 584), (500, 4096, 80)]
)
def test_linear_layers_have_the_bits_of_plain_cpp(
    kernels: Kernels, folder: Path, rows: int, inputs: int, outputs: int
) -> None:
    x, scale, shift = torch.randn(rows, inputs), torch.randn(inputs), torch.randn(inputs)
    layer = pack_linear(torch.randn(outputs, inputs) / inputs**0.5, torch.randn(outputs))
    gate, before = torch.randn(outputs), torch.randn(rows, outputs)

    def results(kernels: Kernels) -> list[torch.Tensor]:
        found = []
        levels = quantized(kernels, x.bfloat16())
        for epilogue in (Epilogue.STORE, Epilogue.GELU):
            out = torch.empty(rows, outputs, dtype=torch.bfloat16)
            kernels.linear(levels, layer, out, epilogue)
            found.append(out)
        kernels.norm_quantize(x, scale, shift, levels)
        residual = before.clone()
        kernels.linear(levels, layer, residual, Epilogue.RESIDUAL, gate)
        return [*found, residual]

    for got, expected in zip(results(kernels), results(reference(folder)), strict=True):
        assert torch.equal(got, expected)


@needs_kernels
@pytest.mark.parametrize("form", [Attention.INT16, Attention.INT8])
@pytest.mark.parametrize(("rows", "heads", "width"), [(5, 1, 16), (333, 2, 48), (700, 1, 128)])
def test_integer_attention_has_the_bits_of_plain_cpp(
    kernels: Kernels, folder: Path, form: Attention, rows: int, heads: int, width: int
) -> None:
    qkv = torch.randn(rows, 3, heads, width).bfloat16()
    norms = ((torch.rand(width) + 0.5) * 3, torch.rand(width) + 0.5)
    given = (qkv, norms, random_angles(rows - TEXT_ROWS, width))
    ours = kernels_for(folder, kernels.instructions, form, threads=3)
    assert torch.equal(attend(ours, *given), attend(reference(folder, form), *given))


# The positions of a row are computed six at a time: of these, 1, 2, 3, 4 and 5 are left over.
SHAPES_OF_CONVOLUTIONS = pytest.mark.parametrize(
    ("shape", "outputs", "size"),
    [
        ((3, 5, 9, 32), 3, (3, 3, 3)),
        ((4, 6, 16, 96), 100, (3, 3, 3)),
        ((2, 4, 70, 320), 64, (1, 2, 2)),
        ((3, 3, 36, 544), 48, (3, 3, 3)),
        ((2, 3, 6, 64), 20, (1, 2, 2)),
    ],
)


def convolved(
    kernels: Kernels, x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """What the kernels make of x (THWC), between other channels, and what torch makes of it."""
    expected = F.conv3d(x.float().permute(3, 0, 1, 2)[None], weight.float(), bias.float())
    expected = expected[0].permute(1, 2, 3, 0)
    outputs = len(weight)
    wide = x.new_full((*expected.shape[:3], outputs + 7), 7)
    # in another order in memory, as torch keeps weights for the fastest of its convolutions
    lain_out = weight.contiguous(memory_format=torch.channels_last_3d)
    kernels.convolve(x, kernels.pack_convolution(lain_out, bias), wide[..., 3 : outputs + 3])
    assert (wide[..., :3] == 7).all()
    assert (wide[..., outputs + 3 :] == 7).all()
    return wide[..., 3 : outputs + 3], expected


@needs_kernels
@SHAPES_OF_CONVOLUTIONS
def test_a_convolution_is_close_to_float32_and_has_the_bits_of_plain_cpp(
    kernels: Kernels,
    folder: Path,
    shape: tuple[int, int, int, int],
    outputs: int,
    size: tuple[int, int, int],
) -> None:
    x = torch.randn(shape) * torch.logspace(-2, 2, shape[2])[:, None]  # positions differ in size
    weight, bias = torch.randn(outputs, shape[3], *size) / 30, torch.randn(outputs)
    got, expected = convolved(kernels, x, weight, bias)
    assert relative_error(got, expected) < 0.001
    assert torch.equal(got, convolved(reference(folder), x, weight, bias)[0])


@needs_kernels
@SHAPES_OF_CONVOLUTIONS
def test_a_convolution_in_bf16_rounds_its_sums_and_nothing_else(
    kernels: Kernels,
    shape: tuple[int, int, int, int],
    outputs: int,
    size: tuple[int, int, int],
) -> None:
    if not kernels.instructions.multiplies_bf16:
        pytest.skip(f"{kernels.instructions} does not multiply bf16")
    x = torch.randn(shape).bfloat16()
    weight = (torch.randn(outputs, shape[3], *size) / 30).bfloat16()
    got, expected = convolved(kernels, x, weight, torch.randn(outputs).bfloat16())
    assert torch.allclose(got.float(), expected, rtol=2**-8, atol=1e-4)


def test_eight_lanes_have_the_bits_of_plain_cpp_on_any_cpu_with_vnni(
    narrow: Kernels, folder: Path
) -> None:
    qkv = torch.randn(333, 3, 2, 48).bfloat16()
    given = (qkv, (torch.rand(48) + 0.5, torch.rand(48) + 0.5), random_angles(330, 48))
    assert torch.equal(attend(narrow, *given), attend(reference(folder), *given))
    x, layer = qkv.flatten(1), pack_linear(torch.randn(40, 288), None)
    outs = [torch.empty(333, 40, dtype=torch.bfloat16) for _ in range(2)]
    for kernels, out in zip((narrow, reference(folder)), outs, strict=True):
        kernels.linear(quantized(kernels, x), layer, out, Epilogue.GELU)
    assert torch.equal(*outs)


@needs_kernels
def test_a_compiler_that_fails_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXX", "false")
    with pytest.raises(KernelsUnavailable, match="false failed"):
        build(tmp_path / "kernels.so", ())
    assert list(tmp_path.iterdir()) == []


def test_the_instruction_set_is_the_fastest_that_the_cpu_has() -> None:
    cascade_lake = Instructions.AVX512.flags
    alder_lake = Instructions.AVX_VNNI.flags
    assert available(frozenset()) == []
    assert available(frozenset({"avx2", "fma", "sse"})) == [Instructions.AVX2]
    assert available(alder_lake) == [Instructions.AVX_VNNI, Instructions.AVX2]
    assert available(cascade_lake) == [Instructions.AVX512, Instructions.AVX2]
    assert available(Instructions.AMX.flags) == [
        Instructions.AMX,
        Instructions.AVX512_BF16,
        Instructions.AVX512,
        Instructions.AVX2,
    ]


def transformer_inputs(transformer: HunyuanVideoTransformer3DModel) -> dict[str, object]:
    torch.manual_seed(3)
    config = transformer.config
    return {
        "hidden_states": torch.randn(1, config.in_channels, 3, 8, 12),
        "timestep": torch.tensor([500.0]),
        "encoder_hidden_states": torch.randn(1, 11, config.text_embed_dim),
        "encoder_attention_mask": torch.ones(1, 11),
        "pooled_projections": torch.randn(1, config.pooled_projection_dim),
        "guidance": torch.tensor([6000.0]),
        "return_dict": False,
    }

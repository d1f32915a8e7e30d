"""Which instruction set and form of attention are chosen, for CPUs of every kind."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import get_args

import pytest

from hunyuan_runner.cli import diagnosis
from hunyuan_runner.cli.diagnosis import diagnose
from hunyuan_runner.engine.kernels import load_kernels
from hunyuan_runner.machine.building import KernelsUnavailable
from hunyuan_runner.machine.host import cpu_flags
from hunyuan_runner.machine.instructions import Attention, Instructions, WantedKernels, available
from hunyuan_runner.machine.kernels import KernelChoice, choose_kernels, unmet_wish
from hunyuan_runner.settings import Settings, WantedAttention, WantedInstructions, get_settings
from tests.conftest import ROOT, free_port

FOLDER = Path("kernels")
SAPPHIRE_RAPIDS = Instructions.AMX.flags
COOPER_LAKE = Instructions.AVX512_BF16.flags
ZEN4 = COOPER_LAKE | {"sse4a"}
CASCADE_LAKE = Instructions.AVX512.flags
ZEN3 = Instructions.AVX2.flags
OLD_ARM = frozenset({"asimd"})
GRAVITON3 = Instructions.NEON_I8MM.flags


def wanted(
    instructions: Instructions | None = None, attention: Attention | None = None
) -> WantedKernels:
    return WantedKernels(FOLDER, instructions, attention)


def choose(flags: frozenset[str], wish: WantedKernels | None = None) -> KernelChoice | None:
    return choose_kernels(wish or wanted(), flags, can_have=lambda _: True)


@pytest.mark.parametrize(
    ("flags", "instructions", "attention"),
    [
        (SAPPHIRE_RAPIDS, Instructions.AMX, Attention.BF16),
        (ZEN4, Instructions.AVX512_BF16, Attention.BF16),
        (COOPER_LAKE, Instructions.AVX512_BF16, Attention.INT16),
        (CASCADE_LAKE, Instructions.AVX512, Attention.INT16),
        (ZEN3, Instructions.AVX2, Attention.INT16),
        (GRAVITON3, Instructions.NEON_I8MM, Attention.INT16),
    ],
)
def test_the_best_is_the_default(
    flags: frozenset[str], instructions: Instructions, attention: Attention
) -> None:
    choice = choose(flags)
    assert choice is not None
    assert (choice.instructions, choice.attention) == (instructions, attention)
    assert f"this CPU has {instructions.in_words}" in choice.reason
    assert "at most 1 %" in choice.reason


def test_a_wish_is_fulfilled_and_named_as_the_reason() -> None:
    choice = choose(SAPPHIRE_RAPIDS, wanted(Instructions.AVX512, Attention.INT8))
    assert choice is not None
    assert (choice.instructions, choice.attention) == (Instructions.AVX512, Attention.INT8)
    assert "HUNYUAN_INSTRUCTIONS" in choice.reason
    assert "HUNYUAN_ATTENTION" in choice.reason


def test_without_a_library_or_a_compiler_for_a_set_the_next_one_is_taken() -> None:
    def can_have(instructions: Instructions) -> bool:
        return instructions is Instructions.AVX2

    choice = choose_kernels(wanted(), SAPPHIRE_RAPIDS, can_have)
    assert choice is not None
    assert (choice.instructions, choice.attention) == (Instructions.AVX2, Attention.INT16)
    assert choose_kernels(wanted(), SAPPHIRE_RAPIDS, lambda _: False) is None
    assert choose(OLD_ARM) is None


@pytest.mark.parametrize(
    ("flags", "wish", "words"),
    [
        (ZEN3, wanted(Instructions.AVX512), ["HUNYUAN_INSTRUCTIONS is avx512", "has avx2:"]),
        (CASCADE_LAKE, wanted(Instructions.AMX), ["no AMX", "has avx512 and avx2:"]),
        (OLD_ARM, wanted(Instructions.AVX2), ["no AVX2", "unset it"]),
        (GRAVITON3, wanted(Instructions.AVX2), ["has neon-i8mm and neon-dotprod:"]),
        (ZEN3, wanted(None, Attention.BF16), ["needs AVX-512 BF16", "int16 or int8"]),
        (ZEN4, wanted(Instructions.AVX2, Attention.BF16), ["the kernels use AVX2 here"]),
        (OLD_ARM, wanted(None, Attention.INT16), ["HUNYUAN_ATTENTION is int16", "Unset it"]),
    ],
)
def test_a_wish_that_the_cpu_cannot_fulfil_is_answered_by_what_it_has(
    flags: frozenset[str], wish: WantedKernels, words: list[str]
) -> None:
    problem = unmet_wish(wish, flags)
    assert problem is not None
    assert all(word in problem for word in words), problem


@pytest.mark.parametrize(
    ("flags", "wish"),
    [
        (OLD_ARM, wanted()),
        (ZEN3, wanted()),
        (ZEN3, wanted(Instructions.AVX2, Attention.INT8)),
        (SAPPHIRE_RAPIDS, wanted(Instructions.AVX512_BF16, Attention.BF16)),
    ],
)
def test_a_wish_that_the_cpu_can_fulfil_is_no_problem(
    flags: frozenset[str], wish: WantedKernels
) -> None:
    assert unmet_wish(wish, flags) is None


def test_integer_attention_has_the_same_bits_on_every_instruction_set() -> None:
    def bits(flags: frozenset[str], attention: Attention | None = None) -> str:
        choice = choose(flags, wanted(None, attention))
        assert choice is not None
        return choice.bits

    for form in (Attention.INT16, Attention.INT8):
        every = (SAPPHIRE_RAPIDS, ZEN4, CASCADE_LAKE, ZEN3, GRAVITON3)
        assert len({bits(flags, form) for flags in every}) == 1
    assert len({bits(SAPPHIRE_RAPIDS), bits(ZEN4), bits(ZEN3), bits(ZEN3, Attention.INT8)}) == 4


def test_the_settings_have_the_words_of_the_kernels() -> None:
    assert get_args(WantedInstructions) == tuple(map(str, Instructions))
    assert get_args(WantedAttention) == tuple(map(str, Attention))


def test_what_is_wanted_is_passed_to_child_processes() -> None:
    for attention in (None, *Attention):
        for instructions in (None, *Instructions):
            wish = wanted(instructions, attention)
            assert WantedKernels.of_arguments(*wish.as_arguments()) == wish
    settings = Settings(instructions="avx2", attention="int8")
    folder = settings.kernels_dir
    assert WantedKernels.of(settings) == WantedKernels(folder, Instructions.AVX2, Attention.INT8)


@pytest.fixture
def missing() -> Instructions:
    """An instruction set that this CPU does not have."""
    found = [each for each in Instructions if each not in available(cpu_flags())]
    if not found:
        pytest.skip("this CPU has every instruction set")
    return found[0]


def test_kernels_that_would_crash_are_not_loaded(missing: Instructions, tmp_path: Path) -> None:
    with pytest.raises(KernelsUnavailable, match=f"no {missing.in_words}"):
        load_kernels(WantedKernels(tmp_path, missing), 1)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("entry", ["HunyuanVideo", "HunyuanRunner"])
def test_a_service_that_wants_what_its_cpu_has_not_does_not_start(
    missing: Instructions, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, entry: str
) -> None:
    monkeypatch.setenv("HUNYUAN_INSTRUCTIONS", missing)
    monkeypatch.setenv("HUNYUAN_DATA_DIR", str(tmp_path / "data"))
    options = ("--port", str(free_port()))
    command = [sys.executable, "-m", "bentoml", "serve", f"service:{entry}", *options]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert result.returncode != 0
    assert f"HUNYUAN_INSTRUCTIONS is {missing}" in result.stdout + result.stderr
    assert "Traceback" not in result.stdout + result.stderr
    assert not (tmp_path / "data").exists()


def test_the_doctor_says_what_is_used_and_what_cannot_be(
    missing: Instructions, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def cpu(**environment: str) -> tuple[str, str, str]:
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        get_settings.cache_clear()
        outcome = next(each for each in diagnose("127.0.0.1", free_port()) if each.name == "cpu")
        return outcome.status, outcome.got, outcome.advice

    monkeypatch.setenv("HUNYUAN_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setattr(diagnosis, "cpu_flags", lambda: ZEN3)
    assert "attention in int8: this CPU has AVX2" in cpu(HUNYUAN_ATTENTION="int8")[1]
    status, _, advice = cpu(HUNYUAN_ATTENTION="bf16")
    assert status == "failed"
    assert "Choose int16 or int8" in advice
    monkeypatch.undo()
    get_settings.cache_clear()

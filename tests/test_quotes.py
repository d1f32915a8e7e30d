"""Quotes for clips, and what is proposed instead if they take too much."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from hunyuan_runner.catalogue import MODELS, Model
from hunyuan_runner.machine.precision import Precision
from hunyuan_runner.params import GenerationParams, GenerationRequest
from hunyuan_runner.quoting.estimate import Expectation, Experience, Rates, Work, expect
from hunyuan_runner.quoting.memory import peak_bytes, transformer_bytes
from hunyuan_runner.quoting.profile import Ability, Profile
from hunyuan_runner.quoting.quotes import (
    MAX_ALTERNATIVES,
    SHAPE_TOLERANCE,
    Alternative,
    Terms,
    alternatives,
    in_time,
)

LARGE, FAST, DEMO = (MODELS[name] for name in ("hunyuanvideo", "fasthunyuan", "demo"))
GB = 10**9
RATES = Rates(2e12, 1e12, 5e11, block_seconds=1e-5, decode_seconds=0.1, spread=0.3)
SMALL_RATES = Rates(
    2e10, 4e10, 1e10, block_seconds=1e-3, decode_seconds=0.1, spread=0.3
)  # nobody is fast at little


def terms(memory_bytes: int = 64 * GB, precision: Precision = Precision.INT8) -> Terms:
    """On a fast machine that costs 2 an hour."""
    abilities = {
        model.id: Ability(True, precision, "", RATES, "test") for model in (LARGE, FAST)
    } | {DEMO.id: Ability(True, Precision.FP32, "", SMALL_RATES, "test")}

    def expectation(params: GenerationParams) -> Expectation:
        model, rates = MODELS[params.model], abilities[params.model].rates
        return expect(Work.of(params, model), model, rates, Experience.of([], model, rates))

    return Terms(
        Profile("a CPU", 8, memory_bytes, abilities),
        expectation,
        cost_per_hour=2.0,
    )


def resolved(model: Model, **fields: object) -> tuple[GenerationRequest, GenerationParams]:
    request = GenerationRequest.model_validate({"prompt": "a cat", "seed": 1} | fields)
    return request, request.resolve(model.id, model.presets)


def search(
    model: Model, within: float, machine: Terms, others: tuple[Model, ...] = (), **fields: object
) -> tuple[GenerationRequest, list[Alternative]]:
    request, params = resolved(model, **fields)
    return request, alternatives(request, params, [model, *others], machine, within)


def test_a_quote_tells_time_memory_and_money() -> None:
    machine = terms()
    _, params = resolved(LARGE)
    quote = machine.quote(params, LARGE)
    assert quote.seconds.expected == pytest.approx(machine.expect(params).total)
    assert quote.seconds.low < quote.seconds.expected < quote.seconds.high
    assert quote.cost == pytest.approx(2 * quote.seconds.expected / 3600)
    assert quote.fits
    assert replace(machine, cost_per_hour=None).quote(params, LARGE).cost is None


@pytest.mark.parametrize(
    ("precision", "gigabytes"), [("int8", 10.5), ("bf16", 25.6), ("fp32", 51.2)]
)
def test_weights_take_what_their_precision_says(precision: str, gigabytes: float) -> None:
    assert transformer_bytes(LARGE, Precision(precision)) == pytest.approx(gigabytes * GB, rel=0.01)


def test_the_peak_is_that_of_the_stage_that_takes_most() -> None:
    """Denoising or decoding: the text encoders stay on the disk."""
    _, still = resolved(LARGE, width=64, height=64, num_frames=1)
    assert peak_bytes(still, LARGE, Precision.INT8) == pytest.approx(12.2 * GB, rel=0.01)
    _, clip = resolved(LARGE)
    _, longest = resolved(LARGE, width=1280, height=720, num_frames=129)
    peaks = [peak_bytes(params, LARGE, Precision.INT8) for params in (still, clip, longest)]
    assert peaks == sorted(peaks)
    assert peaks[2] < 32 * GB


def test_the_demo_model_fits_everywhere() -> None:
    _, params = resolved(DEMO, width=1280, height=1280, num_frames=69)
    assert terms(memory_bytes=GB).quote(params, DEMO).fits


def test_a_large_model_does_not_fit_into_little_memory() -> None:
    _, params = resolved(LARGE)
    assert not terms(memory_bytes=12 * GB).quote(params, LARGE).fits
    assert not terms(48 * GB, Precision.FP32).quote(params, LARGE).fits


CASES: dict[str, tuple[Model, float, dict[str, object]]] = {
    "a third of the time": (LARGE, 1 / 3, {}),
    "a tenth of the time": (LARGE, 0.1, {}),
    "a hundredth of the time": (LARGE, 0.01, {}),
    "high": (LARGE, 0.5, {"preset": "high"}),
    "odd sizes": (LARGE, 0.5, {"width": 1000, "height": 557, "num_frames": 81}),
    "a size": (LARGE, 0.3, {"size": "480x832", "num_inference_steps": 60}),
    "seconds": (LARGE, 0.3, {"seconds": 5, "num_inference_steps": 60}),
    "seconds of another rate": (LARGE, 0.3, {"seconds": 5, "fps": 24, "size": "640x360"}),
    "upright": (LARGE, 0.3, {"width": 480, "height": 832, "num_inference_steps": 60}),
    "few steps": (FAST, 0.5, {}),
    "a picture": (LARGE, 0.5, {"num_frames": 1, "width": 1280, "height": 720}),
    "the demo model": (DEMO, 0.5, {}),
}


@pytest.mark.parametrize("name", CASES)
def test_what_is_proposed_is_there_in_time(name: str) -> None:
    model, share, fields = CASES[name]
    machine = terms()
    request, asked = resolved(model, **fields)
    deadline = machine.quote(asked, model).seconds.high * share
    found = alternatives(request, asked, [model], machine, deadline)
    assert 1 <= len(found) <= MAX_ALTERNATIVES
    for alternative in found:
        changed = request.model_copy(update=dict(alternative.changes))
        params = changed.resolve(model.id, model.presets)
        assert params == alternative.quote.params  # which the changes lead to
        assert GenerationRequest.model_validate(changed.model_dump(exclude_none=True))
        quote = machine.quote(params, model)
        assert quote == alternative.quote
        assert quote.fits
        assert in_time(quote, deadline)
        assert model.family.tokens(params) <= model.family.tokens(asked)
        assert params.num_inference_steps <= asked.num_inference_steps


@pytest.mark.parametrize(
    "name", sorted(set(CASES) - {"high"})
)  # which left its shape to the preset
def test_what_is_proposed_has_the_shape_that_was_asked_for(name: str) -> None:
    model, share, fields = CASES[name]
    request, asked = resolved(model, **({"fps": 15} | fields))
    deadline = terms().quote(asked, model).seconds.high * share
    wanted = asked.width / asked.height
    for alternative in alternatives(request, asked, [model], terms(), deadline):
        params = alternative.quote.params
        if "width" in alternative.changes and not _is_preset(params, model):
            assert params.width % 16 == params.height % 16 == 0
            assert abs(math.log(params.width / params.height / wanted)) <= SHAPE_TOLERANCE


def _is_preset(params: GenerationParams, model: Model) -> bool:
    sizes = {(preset.width, preset.height) for preset in model.presets.values()}
    return (params.width, params.height) in sizes


def test_the_nearest_comes_first() -> None:
    """A little too slow: a little is taken away, of one thing."""
    machine = terms()
    _, asked = resolved(LARGE, width=640, height=480, num_inference_steps=50)
    deadline = machine.quote(asked, LARGE).seconds.high * 0.93
    _, found = search(LARGE, deadline, machine, width=640, height=480, num_inference_steps=50)
    assert len(found[0].changes.keys() - {"height"}) == 1
    assert found[0].quote.seconds.expected > 0.8 * machine.quote(asked, LARGE).seconds.expected


def test_steps_do_not_go_below_what_the_model_is_known_to_work_with() -> None:
    for _, found in (search(LARGE, 600, terms()), search(FAST, 60, terms())):
        for alternative in found:
            model = MODELS[alternative.quote.params.model]
            fewest = model.presets["fast"].num_inference_steps
            assert alternative.quote.params.num_inference_steps >= fewest


def test_a_draft_stays_possible() -> None:
    _, found = search(LARGE, 3600, terms(), draft_steps=28)
    assert found
    assert all(alternative.quote.params.num_inference_steps > 28 for alternative in found)


def test_another_model_is_proposed_with_its_own_steps() -> None:
    _, found = search(LARGE, 1800, terms(), (FAST, DEMO), num_inference_steps=50)
    (fast,) = [alternative for alternative in found if alternative.changes.get("model") == FAST.id]
    assert fast.changes["num_inference_steps"] == 6
    assert fast.changes["flow_shift"] == 17
    assert "model fasthunyuan" in fast.summary


def test_where_no_clip_of_the_model_fits_a_smaller_model_is_proposed_as_it_is_meant_to_be() -> None:
    _, found = search(LARGE, math.inf, terms(12 * GB), (FAST, DEMO), width=1280, height=720)
    (demo,) = found
    standard = DEMO.presets["standard"]
    assert demo.changes["model"] == "demo"
    assert (demo.quote.params.width, demo.quote.params.height) == (standard.width, standard.height)


def test_where_nothing_will_do_nothing_is_proposed() -> None:
    assert search(LARGE, 0.1, terms(), (FAST, DEMO))[1] == []
    assert search(LARGE, -5, terms(), (FAST, DEMO))[1] == []


def test_less_memory_makes_the_clip_smaller_not_quicker() -> None:
    machine = terms(22 * GB)
    _, found = search(LARGE, math.inf, machine, width=1280, height=720, num_frames=129)
    assert found
    for alternative in found:
        assert set(alternative.changes) & {"width", "num_frames"}
        assert alternative.quote.fits


def test_the_quote_knows_both_decoders() -> None:
    machine = terms()
    full, fast = (
        machine.quote(resolved(LARGE, decoder=name)[1], LARGE) for name in ("full", "fast")
    )
    decoding = LARGE.architecture.decode_flops_per_pixel * 640 * 480 * 61 / RATES.convolutions
    saved = full.seconds.expected - fast.seconds.expected
    assert 0.9 * decoding < saved < decoding
    assert fast.peak_memory_bytes <= full.peak_memory_bytes


def test_the_fast_decoder_is_proposed_where_it_is_installed_and_saves_enough() -> None:
    without = terms()
    having = replace(without, has_fast_decoder=lambda model: model is LARGE)
    request, params = resolved(LARGE)
    seconds = without.quote(params.model_copy(update={"decoder": "fast"}), LARGE).seconds.high
    (nearest, *others) = alternatives(request, params, [LARGE], having, seconds + 1)
    assert nearest.changes == {"decoder": "fast"}
    assert nearest.summary == "the fast decoder"
    assert others
    found = alternatives(request, params, [LARGE], without, seconds + 1)
    assert found
    assert all("decoder" not in each.changes for each in found)
    asked = request.model_copy(update={"decoder": "full"})
    found = alternatives(asked, params, [LARGE], having, seconds + 1)
    assert all("decoder" not in each.changes for each in found)

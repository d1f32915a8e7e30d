"""Expected times: how they follow from work and machine, and how they are corrected."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from hunyuan_runner.catalogue import MODELS
from hunyuan_runner.machine.precision import Precision
from hunyuan_runner.params import GenerationRequest, Stage
from hunyuan_runner.quoting import estimate
from hunyuan_runner.quoting.estimate import (
    TIMED_STAGES,
    Expectation,
    Experience,
    Rates,
    Timing,
    Work,
    expect,
    guess,
    progress,
)
from hunyuan_runner.settings import BUNDLED_MODELS

MODEL = MODELS["hunyuanvideo"]
RATES = Rates(2e12, 1e12, 5e11, block_seconds=0, decode_seconds=0, spread=0.3)
TEN_SECONDS = Expectation(
    {
        Stage.ENCODING: 1,
        Stage.DENOISING: 6,
        Stage.DECODING: 2,
        Stage.PUBLISHING: 1,
    }
)
NOTHING_LEARNT = Experience.of([], MODEL, RATES)


def work(**fields: object) -> Work:
    request = GenerationRequest.model_validate({"prompt": "a cat", "seed": 1} | fields)
    return Work.of(request.resolve(MODEL.id, MODEL.presets), MODEL)


def test_the_13b_model_costs_what_was_counted() -> None:
    """640x480x61 is 19,200 tokens, and 256 of text: 543 TFLOP a step, 331 TFLOP to decode."""
    clip = work(width=640, height=480, num_frames=61, num_inference_steps=30, step_cache="off")
    assert clip.denoise_flops / 30 == pytest.approx(543e12, rel=0.03)
    assert clip.attention_flops / 30 == pytest.approx(279e12, rel=0.03)
    assert clip.decode_flops == pytest.approx(331e12, rel=0.01)


def test_the_demo_model_is_what_its_configurations_say() -> None:
    demo, folder = MODELS["demo"].architecture, BUNDLED_MODELS / "demo"
    transformer = json.loads((folder / "transformer" / "config.json").read_text())
    vae = json.loads((folder / "vae" / "config.json").read_text())
    assert demo.double_blocks == transformer["num_layers"]
    assert demo.single_blocks == transformer["num_single_layers"]
    assert demo.heads == transformer["num_attention_heads"]
    assert demo.width == demo.heads * transformer["attention_head_dim"]
    assert demo.mlp_ratio == transformer["mlp_ratio"]
    assert demo.vae_channels == tuple(vae["block_out_channels"])
    assert demo.vae_attention == vae["mid_block_add_attention"]
    encoders = ("text_encoder", "text_encoder_2")
    on_disk = sum((folder / name / "model.safetensors").stat().st_size for name in encoders)
    assert demo.text_encoder_bytes == pytest.approx(on_disk, rel=0.05)
    llama = json.loads((folder / "text_encoder" / "config.json").read_text())
    width, hidden = llama["hidden_size"], llama["intermediate_size"]
    layer = 4 * width**2 + 3 * width * hidden
    assert demo.text_layer_parameters == pytest.approx(
        (llama["num_hidden_layers"] - 2) * layer, 0.05
    )
    assert demo.held_text_parameters == pytest.approx(on_disk / 2 - 2 * layer, rel=0.05)
    on_disk = (folder / "vae" / "diffusion_pytorch_model.safetensors").stat().st_size
    assert demo.vae_bytes == pytest.approx(on_disk, rel=0.05)


WORDS = "a red cat walks slowly over the wet green grass"


def test_encoding_costs_what_is_read_of_the_prompt() -> None:
    """95 tokens of the template and about as many as the prompt has words, in 30 of 32 layers."""
    ten_words = work(prompt=WORDS)
    assert ten_words.encode_flops == pytest.approx(2 * 6.54e9 * 109, rel=0.05)
    assert work(prompt=f"{WORDS} {WORDS}").encode_flops > ten_words.encode_flops
    longest = work(prompt="many words " * 300)
    assert longest.encode_flops == pytest.approx(2 * 6.54e9 * (95 + 256))
    chinese = work(prompt="一只红色的猫在湿漉漉的绿草地上慢慢地走")
    assert chinese.encode_flops == pytest.approx(ten_words.encode_flops, rel=0.1)


def test_a_negative_prompt_is_encoded_too() -> None:
    both = work(prompt=WORDS, negative_prompt=WORDS)
    assert both.encode_flops == 2 * work(prompt=WORDS).encode_flops


def test_encoding_takes_its_own_time() -> None:
    clip = work(prompt=WORDS)
    rates = replace(RATES, encoding=1e11)
    assert rates.predict(clip, MODEL)[Stage.ENCODING] == pytest.approx(14.3, rel=0.05)
    assert (
        rates.predict(clip, MODEL)[Stage.DENOISING] == RATES.predict(clip, MODEL)[Stage.DENOISING]
    )


def test_a_negative_prompt_doubles_the_denoising() -> None:
    twice = work(negative_prompt="a dog")
    assert twice.denoise_flops == 2 * work().denoise_flops
    assert twice.evaluations == 2 * work().evaluations


def test_twice_the_pixels_cost_more_than_twice_the_denoising() -> None:
    half, whole = work(width=640, height=320), work(width=640, height=640)
    assert whole.denoise_flops > 2 * half.denoise_flops
    assert whole.decode_flops == pytest.approx(2 * half.decode_flops)


def test_each_kind_of_work_takes_its_own_time() -> None:
    clip = Work(1, 10, denoise_flops=6e12, attention_flops=2e12, decode_flops=1e12, pixels=0)
    seconds = RATES.predict(clip, MODEL)
    assert seconds[Stage.DENOISING] == pytest.approx(2 + 2)
    assert seconds[Stage.DECODING] == pytest.approx(2)


def test_small_clips_are_not_quicker_than_their_blocks_can_begin() -> None:
    rates = Rates(1e15, 1e15, 1e15, block_seconds=0.001, decode_seconds=0.5, spread=0.3)
    clip = work(width=64, height=64, num_frames=1, num_inference_steps=50, step_cache="off")
    assert rates.predict(clip, MODEL)[Stage.DECODING] == pytest.approx(0.5, rel=0.01)
    assert rates.predict(clip, MODEL)[Stage.DENOISING] == pytest.approx(
        50 * (2 * 20 + 40 + 4) * 0.001, rel=0.01
    )


def test_the_work_of_several_clips_takes_as_long_as_they_one_by_one() -> None:
    small, large = work(width=320, height=240), work(negative_prompt="a dog")
    both = Work(*(getattr(small, name) + getattr(large, name) for name in estimate.WORK_FIELDS))
    one_by_one = [expect(clip, MODEL, RATES, NOTHING_LEARNT).total for clip in (small, large)]
    assert expect(both, MODEL, RATES, NOTHING_LEARNT).total == pytest.approx(sum(one_by_one))


def took(times: float, clip: Work, *stages: Stage) -> Timing:
    """A job whose `stages`, or all, took so many times longer than predicted."""
    predicted = RATES.predict(clip, MODEL)
    slow = stages or TIMED_STAGES
    return Timing(
        clip, {stage: predicted[stage] * (times if stage in slow else 1) for stage in predicted}
    )


def test_what_a_clip_taught_holds_for_clips_of_other_sizes() -> None:
    small, large = work(width=320, height=240), work(width=640, height=480)
    learnt = Experience.of([took(2.0, small, Stage.DENOISING)] * 9, MODEL, RATES)
    for clip in (small, large):
        before, after = (expect(clip, MODEL, RATES, x).seconds for x in (NOTHING_LEARNT, learnt))
        assert after[Stage.DENOISING] == pytest.approx(2 * before[Stage.DENOISING], rel=0.15)
        assert after[Stage.DECODING] == before[Stage.DECODING]


def test_one_job_after_the_other_moves_what_is_expected_towards_the_truth() -> None:
    expected = [
        expect(work(), MODEL, RATES, Experience.of([took(3.0, work())] * jobs, MODEL, RATES))
        for jobs in range(11)
    ]
    totals = [each.total / expected[0].total for each in expected]
    assert totals == sorted(totals)
    assert totals[-1] == pytest.approx(3.0, rel=0.2)
    widths = [each.high / each.low for each in expected[1:]]
    assert widths == sorted(widths, reverse=True)
    assert widths[-1] < 2


def test_the_latest_jobs_count_more() -> None:
    fast, slow = took(1.0, work()), took(4.0, work())
    sped_up, slowed_down = (
        expect(work(), MODEL, RATES, Experience.of(jobs, MODEL, RATES)).total
        for jobs in ([fast, fast, slow, slow], [slow, slow, fast, fast])
    )
    assert slowed_down > sped_up


def test_the_first_clip_corrects_a_guess_more_than_what_was_measured() -> None:
    timing = [took(4.0, work())]
    measured, guessed = (
        Experience.of(timing, MODEL, replace(RATES, spread=spread)).factors[Stage.DENOISING]
        for spread in (estimate.MEASURED_SPREAD, estimate.GUESS_SPREAD)
    )
    assert measured == pytest.approx(2.0)  # half-way, as factors go
    assert 2.0 < guessed < 4.0


@pytest.mark.parametrize("slowdown", [2.0, 5.0])
def test_the_range_has_room_for_what_others_did_to_earlier_jobs(slowdown: float) -> None:
    """Another program took the cores while some of the jobs ran. The next may go either way."""
    jobs = [took(slowdown if number % 3 == 0 else 1.0, work()) for number in range(9)]
    expected = expect(work(), MODEL, RATES, Experience.of(jobs, MODEL, RATES))
    alone = sum(RATES.predict(work(), MODEL).values())
    assert expected.low * expected.total < alone
    assert expected.high * expected.total > slowdown * alone
    assert expected.high / expected.low < 2 * slowdown


def test_the_range_of_many_jobs_is_narrower_unless_their_error_is_a_common_one() -> None:
    jobs = [took(slowdown, work()) for slowdown in (1.0, 2.0, 1.0)]
    for timings in (jobs, []):
        expected = expect(work(), MODEL, RATES, Experience.of(timings, MODEL, RATES))
        one, many = expected.range(60.0), expected.range(60.0, jobs=8)
        assert (many.high / many.low < one.high / one.low) == bool(timings)
        assert many.low < 60 < many.high


def test_a_job_of_which_only_some_stages_ran_teaches_about_these() -> None:
    whole = took(3.0, work())
    part = Timing(work(), {Stage.DECODING: whole.seconds[Stage.DECODING]})
    learnt = Experience.of([part], MODEL, RATES)
    assert learnt.factors[Stage.DECODING] > 1.5
    assert learnt.factors[Stage.DENOISING] == 1
    assert learnt.high / learnt.low < 10


def test_old_jobs_are_forgotten() -> None:
    latest = [took(1.0, work())] * estimate.REMEMBERED_JOBS
    assert Experience.of([*latest, took(50.0, work())], MODEL, RATES) == Experience.of(
        latest, MODEL, RATES
    )


def test_only_what_rests_on_nothing_is_a_guess() -> None:
    guessed = guess(MODEL, Precision.FP32, threads=8)
    first, measured, learnt = (
        expect(work(), MODEL, rates, Experience.of(timings, MODEL, rates))
        for rates, timings in ((guessed, []), (RATES, []), (guessed, [took(3.0, work())]))
    )
    assert [each.range(1.0).guess for each in (first, measured, learnt)] == [True, False, False]
    assert first.high > measured.high


def test_a_guess_is_faster_with_more_threads_and_fewer_bits() -> None:
    speeds = [
        guess(MODEL, precision, threads).linears
        for precision in (Precision.FP32, Precision.BF16, Precision.INT8)
        for threads in (2, 3)
    ]
    assert speeds == sorted(speeds)
    assert len(set(speeds)) == len(speeds)


def test_progress_grows_from_nothing_to_all_but_the_end() -> None:
    points = [
        progress(TEN_SECONDS, None, 0, 3, 0),
        progress(TEN_SECONDS, Stage.LOADING, 0, 1, 9),
        progress(TEN_SECONDS, Stage.ENCODING, 0, 1, 0.5),
        progress(TEN_SECONDS, Stage.DENOISING, 0, 3, 0),
        progress(TEN_SECONDS, Stage.DENOISING, 0, 3, 1),
        progress(TEN_SECONDS, Stage.DENOISING, 2, 3, 0),
        progress(TEN_SECONDS, Stage.DECODING, 0, 1, 0),
        progress(TEN_SECONDS, Stage.DECODING, 1, 4, 0),
        progress(TEN_SECONDS, Stage.DECODING, 1, 4, 0.25),
        progress(TEN_SECONDS, Stage.DECODING, 2, 4, 99),
        progress(TEN_SECONDS, Stage.PUBLISHING, 0, 1, 99),
    ]
    assert points == pytest.approx([0, 0, 0.05, 0.1, 0.2, 0.5, 0.7, 0.75, 0.775, 0.85, 0.99])


def test_a_step_that_takes_longer_than_expected_does_not_run_ahead() -> None:
    assert progress(TEN_SECONDS, Stage.DENOISING, 1, 3, 1000) == progress(
        TEN_SECONDS, Stage.DENOISING, 2, 3, 0
    )


def test_steps_that_are_predicted_cost_nothing() -> None:
    off, balanced = work(step_cache="off"), work(step_cache="balanced")
    assert off.denoise_flops >= 1.8 * balanced.denoise_flops
    assert off.decode_flops == balanced.decode_flops


def test_every_timed_stage_is_predicted() -> None:
    assert set(RATES.predict(work(), MODEL)) == set(TIMED_STAGES)

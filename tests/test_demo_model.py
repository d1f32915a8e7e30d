"""The demo model: its scorer, its parts, and that prompts rule the picture."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from diffusers import AutoencoderKLHunyuanVideo

from demo_model import autoencoder, denoiser, evaluate
from demo_model.captions import caption
from demo_model.latents import CHANNELS, fit_basis
from demo_model.pool import Size, from_tokens, to_tokens
from demo_model.scenes import (
    CAR_COLOURS,
    CAT_COLOURS,
    KINDS,
    NONE,
    Scene,
    all_shape_scenes,
    draw,
    random_scene,
)
from demo_model.text import POINTS, SLOTS, Code, Encoded
from hunyuan_runner.settings import BUNDLED_MODELS

SIZE = evaluate.WIDTH, evaluate.HEIGHT, evaluate.NUM_FRAMES
MODEL = BUNDLED_MODELS / "demo"


def drawn(scene: Scene, seed: int) -> np.ndarray:
    return draw(scene, np.random.default_rng(seed), *SIZE).transpose(1, 2, 3, 0)


def test_the_scorer_reads_every_drawn_shape_right() -> None:
    scenes = all_shape_scenes()
    chosen = np.random.default_rng(0).choice(len(scenes), 60, replace=False)
    for index in chosen:
        assert evaluate.read_shape(drawn(scenes[index], index)) == scenes[index]


COLOURS = {"cat": CAT_COLOURS, "car": CAR_COLOURS}


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "shape"])
def test_the_scorer_tells_the_drawn_scenes_apart(kind: str) -> None:
    for seed, colour in enumerate(COLOURS.get(kind, (NONE, NONE))):
        clip = drawn(Scene(kind, colour=colour), seed)
        assert evaluate.is_shown(clip, Scene(kind, colour=colour))
        for other in evaluate.SHOWS:
            if other != kind:
                assert not evaluate.is_shown(clip, Scene(other, colour=colour))


def test_the_scorer_sees_nothing_where_nothing_is() -> None:
    blank = np.full((33, 128, 192, 3), 0.97)
    assert evaluate.read_shape(blank) == Scene("shape", NONE, NONE, "white", NONE)
    noise = np.random.default_rng(0).random((33, 128, 192, 3))
    assert not any(evaluate.is_shown(noise, Scene(kind)) for kind in evaluate.SHOWS)


def test_held_out_combinations_are_never_drawn_for_training() -> None:
    rng = np.random.default_rng(0)
    assert not any(random_scene(rng).held_out for _ in range(3000))
    held_out = [scene for scene in all_shape_scenes() if scene.held_out]
    assert 0.05 < len(held_out) / len(all_shape_scenes()) < 0.15
    assert all(scene.held_out for _, scene in evaluate.shape_prompts(100, 0))


def test_captions_name_what_they_must() -> None:
    rng = np.random.default_rng(0)
    scene = Scene("shape", "circle", "red", "blue", "left")
    captions = {caption(scene, rng) for _ in range(200)}
    assert len(captions) > 150  # of which a tenth is empty
    assert all("left" in text for text in captions if text)


def test_the_linear_inverse_shows_the_clip_again() -> None:
    basis = fit_basis(seed=0, clips=8)
    clip = drawn(Scene("shape", "circle", "red", "blue", "left"), 0)
    again = basis.decode(basis.encode(clip.transpose(3, 0, 1, 2))).transpose(1, 2, 3, 0)
    assert evaluate.read_shape(again).colour == "red"
    assert np.abs(again - clip).mean() < 0.05


def test_tokens_are_those_of_the_transformer() -> None:
    """Training sees tokens; all of them together must give what the model itself gives."""
    size = Size(64, 48, 9)
    torch.manual_seed(0)
    transformer = denoiser.build_transformer().eval()
    frames, rows, columns = size.grid
    latents = torch.randn(1, CHANNELS, frames, 2 * rows, 2 * columns)
    text = Encoded(
        torch.randn(1, 20, 128), torch.ones(1, 20, dtype=torch.long), torch.randn(1, 128)
    )
    sigma = torch.tensor([0.7])
    with torch.no_grad():
        whole = transformer(
            hidden_states=latents,
            timestep=sigma * 1000,
            encoder_hidden_states=text.states,
            encoder_attention_mask=text.mask,
            pooled_projections=text.pooled,
            guidance=torch.zeros(1),
            return_dict=False,
        )[0]
        tokens = torch.from_numpy(to_tokens(latents[0].numpy()))[None]
        positions = torch.arange(size.tokens)
        net = denoiser.TokenTransformer(transformer, size)
        again = from_tokens(net(tokens, positions, text, sigma)[0].numpy(), size)
    assert np.allclose(again, whole[0].numpy(), atol=1e-4)


def test_a_few_tokens_stand_for_all_of_a_clip() -> None:
    """Of a clip whose tokens are alike, a part must look to attention as the whole does."""
    size = Size(64, 48, 9)
    torch.manual_seed(0)
    net = denoiser.TokenTransformer(denoiser.build_transformer().eval(), size)
    cosines, sines = net.rope
    net.rope = torch.ones_like(cosines), torch.zeros_like(sines)  # all at one place
    text = Encoded(
        torch.randn(1, 20, 128), torch.ones(1, 20, dtype=torch.long), torch.randn(1, 128)
    )
    token, sigma = torch.randn(1, 1, 32), torch.tensor([0.7])
    with torch.no_grad():
        whole, part = (
            net(token.expand(1, count, -1), torch.arange(count), text, sigma)[0, 0]
            for count in (size.tokens, 5)
        )
    assert torch.allclose(whole, part, atol=1e-4)


def test_frames_for_training_are_some_of_a_clip_in_a_row() -> None:
    size = Size(64, 48, 9)  # 3 latent frames of 3x4 tokens
    rng = np.random.default_rng(0)
    seen = {tuple(denoiser.random_frames(size, 2, rng).tolist()) for _ in range(30)}
    assert seen == {tuple(range(24)), tuple(range(12, 36))}
    assert denoiser.random_frames(size, 9, rng).tolist() == list(range(36))


def test_attention_with_fast_gradients_is_attention() -> None:
    torch.manual_seed(0)
    query, key, value = torch.randn(3, 2, 4, 30, denoiser.HEAD_DIM).unbind()
    mask = torch.randn(2, 1, 1, 30)
    attend = torch.nn.functional.scaled_dot_product_attention
    wanted = attend(query, key, value, attn_mask=mask)
    with denoiser.fast_gradients():
        assert torch.nn.functional.scaled_dot_product_attention is not attend
        got = torch.nn.functional.scaled_dot_product_attention(query, key, value, attn_mask=mask)
    assert torch.nn.functional.scaled_dot_product_attention is attend
    assert (got - wanted).norm() / wanted.norm() < 0.02


def test_an_untrained_transformer_already_sees_the_path_of_what_moves() -> None:
    code, size = Code(), Size(192, 128, 33)
    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    shown = Scene("shape", "circle", "red", "blue", "left")
    scenes = [random_scene(rng) for _ in range(99)] + [shown]
    slots = torch.stack([code.slots(scene) for scene in scenes])
    text = Encoded(slots, torch.ones(slots.shape[:2], dtype=torch.long), code.pooled(slots))
    transformer = denoiser.build_transformer()
    denoiser.prepare_for_training(transformer)
    denoiser.show_paths(transformer, text)

    attention = transformer.transformer_blocks[0].attn
    values = torch.zeros(1, SLOTS, 192)
    values[:, -POINTS:] = 1
    attention.to_v.weight.data.zero_()
    attention.to_v.bias.data.zero_()
    attention.add_v_proj.register_forward_hook(lambda *_: values)
    said: list[torch.Tensor] = []
    attention.to_out[0].register_forward_hook(lambda _module, inputs, _: said.append(inputs[0]))

    last = Encoded(text.states[-1:], text.mask[-1:], text.pooled[-1:])
    net = denoiser.TokenTransformer(transformer, size)
    with torch.no_grad():
        net(torch.randn(1, size.tokens, 32), torch.arange(size.tokens), last, torch.tensor([0.9]))
    frames, rows, columns = size.grid
    on_path = said[0][0, :, 0].reshape(frames, rows, columns)
    where = [divmod(int(frame.argmax()), columns) for frame in on_path]
    assert {row for row, _ in where} <= {3, 4}
    assert where[0][1] >= 7
    assert where[-1][1] <= 4


def test_an_untrained_decoder_already_carries_colours() -> None:
    torch.manual_seed(0)
    basis = fit_basis(seed=0, clips=8)
    scene = Scene("shape", "square", "red", "white", "right")
    clip = draw(scene, np.random.default_rng(0), 96, 64, 17)
    latents = torch.from_numpy(basis.encode(clip))[None]

    def error(vae: AutoencoderKLHunyuanVideo) -> float:
        with torch.no_grad():
            pixels = vae.decode(latents, return_dict=False)[0][0].numpy() / 2 + 0.5
        return float(np.abs(pixels - clip).mean())

    vae = autoencoder.build_vae()
    assert error(vae) > 0.3
    autoencoder.prepare(vae, basis)
    assert error(vae) < 0.1


def test_a_tint_counts_for_less_than_a_detail() -> None:
    tint, detail = torch.full((2, 3, 1, 4, 4), 0.1), torch.zeros(2, 3, 1, 4, 4)
    detail[..., ::2], detail[..., 1::2] = 0.1, -0.1
    losses = [float(autoencoder.detail_loss(errors)) for errors in (tint, detail)]
    assert losses == pytest.approx([0.1 * autoencoder.TINT_WEIGHT, 0.1])


def test_the_package_is_small_enough_for_the_repository() -> None:
    assert sum(file.stat().st_size for file in MODEL.rglob("*") if file.is_file()) < 25e6


@pytest.fixture(scope="module")
def render() -> evaluate.Renderer:
    return evaluate.Renderer(MODEL)


@pytest.mark.slow
@pytest.mark.parametrize(
    "prompt", ["A cat walks on grass", "Ocean waves at sunset", "A sunset over the ocean"]
)
def test_the_prompts_everyone_tries_first_are_drawn(render: evaluate.Renderer, prompt: str) -> None:
    scene = dict(evaluate.scene_prompts())[prompt]
    assert evaluate.is_shown(render(prompt, seed=1), scene)


@pytest.mark.slow
def test_held_out_prompts_rule_the_picture(render: evaluate.Renderer) -> None:
    prompts = evaluate.shape_prompts(6, seed=7)
    scores = evaluate.score_shapes(
        (render(prompt, seed), scene) for seed, (prompt, scene) in enumerate(prompts)
    )
    assert min(scores[name] for name in ("colour", "background", "motion")) >= 0.7


def test_the_encoder_gives_latents_that_the_decoder_draws_again(
    render: evaluate.Renderer,
) -> None:
    clip = drawn(Scene("cat", colour="orange"), 0)
    vae = render.pipeline.vae
    pixels = torch.from_numpy(clip.transpose(3, 0, 1, 2))[None] * 2 - 1
    with torch.no_grad():
        again = vae.decode(vae.encode(pixels).latent_dist.mean, return_dict=False)[0]
    assert evaluate.is_shown(
        again[0].numpy().transpose(1, 2, 3, 0) / 2 + 0.5, Scene("cat", colour="orange")
    )

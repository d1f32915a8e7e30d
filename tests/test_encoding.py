"""What the text encoders of a real model get to read: shown on a double of its package."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import httpx
import pytest
import sqlalchemy as sa
import torch
from diffusers import HunyuanVideoPipeline
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer, decoders, normalizers, pre_tokenizers, processors
from transformers import CLIPTokenizer, LlamaModel, LlamaTokenizerFast

from hunyuan_runner.engine.checkpoint import (
    Checkpoint,
    Conditioning,
    UnusableCheckpoint,
    model_fingerprint,
)
from hunyuan_runner.engine.child import describe_failure
from hunyuan_runner.engine.components import Components
from hunyuan_runner.engine.hunyuan.encoding import encode, load_encoders
from hunyuan_runner.engine.messages import Generate, Resumed, StepFinished
from hunyuan_runner.engine.pipeline import VideoPipeline
from hunyuan_runner.engine.prompts import PromptCache
from hunyuan_runner.engine.sealed import seal, unseal
from hunyuan_runner.families.hunyuan import CLIP, HUNYUAN, LLAMA
from hunyuan_runner.jobs.database import jobs as jobs_table
from hunyuan_runner.jobs.journal import writing
from hunyuan_runner.jobs.lease import Lease
from hunyuan_runner.jobs.store import Jobs
from hunyuan_runner.machine.host import cpu_name, package_versions
from hunyuan_runner.machine.instructions import WantedKernels
from hunyuan_runner.machine.precision import Precision
from hunyuan_runner.prompts import tokens
from hunyuan_runner.quoting.profile import Profile
from hunyuan_runner.settings import Settings
from tests import double, tiny
from tests.conftest import ROOT, Service, StartService, finish, submit

PROMPTS = [
    "A cat walks on grass",
    "Zwei rote Äpfel, 3 cats & a naïve café — 猫が歩く",
    "  spaces   inside\tand\nlines".strip(),
    "curly {braces} and it's 1234567",
]


@pytest.fixture(scope="module")
def model_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models") / "hunyuanvideo"
    double.save_model(folder)
    return folder


@pytest.fixture(scope="module")
def pipeline(model_dir: Path) -> HunyuanVideoPipeline:
    return load_encoders(model_dir, torch.float32)


def read_by_llama(pipeline: HunyuanVideoPipeline, prompt: str) -> tuple[str, str]:
    """What the encoder got, as text: what is cropped off, and what is left of it."""
    seen: list[torch.Tensor] = []
    hook = pipeline.text_encoder.register_forward_pre_hook(
        lambda _module, _args, given: seen.append(
            given["input_ids"][0, given["attention_mask"][0] > 0]
        ),
        with_kwargs=True,
    )
    encode(pipeline, prompt)
    hook.remove()
    (ids,) = seen
    cropped, kept = ids[: double.CROP_START], ids[double.CROP_START :]
    return pipeline.tokenizer.decode(cropped), pipeline.tokenizer.decode(kept)


def test_the_double_shows_what_the_class_in_the_index_does(model_dir: Path) -> None:
    garbled = LlamaTokenizerFast.from_pretrained(model_dir / "tokenizer")
    assert garbled("red car").input_ids == garbled("redcar").input_ids


def test_the_template_is_the_one_that_diffusers_crops() -> None:
    assert (LLAMA.template, LLAMA.crop_start) == (double.TEMPLATE, double.CROP_START)


@pytest.mark.parametrize("prompt", PROMPTS)
def test_llama_reads_the_prompt_and_nothing_of_it_is_cropped(
    pipeline: HunyuanVideoPipeline, prompt: str
) -> None:
    before, after = double.TEMPLATE.split("{}")
    assert read_by_llama(pipeline, prompt) == (double.BEGIN + before, prompt + after)


def test_words_with_a_space_between_them_are_not_one_word(pipeline: HunyuanVideoPipeline) -> None:
    two, one = encode(pipeline, "red car"), encode(pipeline, "redcar")
    assert two["prompt_embeds"].shape != one["prompt_embeds"].shape
    assert not torch.equal(two["pooled_prompt_embeds"], one["pooled_prompt_embeds"])


def test_what_is_encoded_is_what_the_files_say(
    model_dir: Path, pipeline: HunyuanVideoPipeline
) -> None:
    expected = double.prompt_embeds(model_dir, PROMPTS[0])
    torch.testing.assert_close(encode(pipeline, PROMPTS[0])["prompt_embeds"], expected)


@torch.no_grad()
@pytest.mark.parametrize("prompt", [*PROMPTS, "many words " * 200])
def test_prompts_are_encoded_as_by_diffusers_pipeline_without_its_padding(
    model_dir: Path, pipeline: HunyuanVideoPipeline, prompt: str
) -> None:
    whole = LlamaModel.from_pretrained(model_dir / "text_encoder", dtype=torch.float32)
    assert len(pipeline.text_encoder.layers) == len(whole.layers) - 2
    parts = {name: getattr(pipeline, name) for name in ("tokenizer", "tokenizer_2")}
    reference = HunyuanVideoPipeline(
        text_encoder=whole,
        text_encoder_2=pipeline.text_encoder_2,
        transformer=None,
        vae=None,
        scheduler=None,
        **parts,
    )
    embeds, pooled, mask = reference.encode_prompt(prompt, max_sequence_length=256)
    ours, length = encode(pipeline, prompt), int(mask.sum())
    assert ours["prompt_attention_mask"].shape == (1, length)
    torch.testing.assert_close(ours["prompt_embeds"], embeds[:, :length], rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(ours["pooled_prompt_embeds"], pooled, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("prompt", PROMPTS)
def test_clip_without_a_tokenizer_file_reads_as_its_class_does(
    model_dir: Path, pipeline: HunyuanVideoPipeline, prompt: str
) -> None:
    folder = model_dir / "tokenizer_2"
    ids = CLIPTokenizer.from_pretrained(folder)(prompt).input_ids
    assert pipeline.tokenizer_2(prompt).input_ids == ids
    assert tokens.open_tokenizer(folder).encode(prompt).ids == ids


def test_padding_and_a_cut_that_were_saved_with_a_tokenizer_change_nothing(
    tmp_path: Path, pipeline: HunyuanVideoPipeline
) -> None:
    folder = tmp_path / "model"
    double.save_model(folder)
    tokenizer = double.llama_tokenizer()
    tokenizer.enable_truncation(110)
    tokenizer.enable_padding(direction="left", length=400)
    double.write_llama_tokenizer(folder / "tokenizer", tokenizer)
    saved = load_encoders(folder, torch.float32)
    for prompt in (PROMPTS[0], "many words " * 30):
        assert read_by_llama(saved, prompt) == read_by_llama(pipeline, prompt)
    assert "Llama" in tokens.unread(folder, HUNYUAN.readers, "many words " * 200)


def with_no_first_token(tokenizer: Tokenizer) -> None:
    tokenizer.post_processor = processors.ByteLevel()


def with_one_token_more(tokenizer: Tokenizer) -> None:
    begin = (double.BEGIN, tokenizer.token_to_id(double.BEGIN))
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{double.BEGIN} {double.BEGIN} $A", special_tokens=[begin]
    )


def without_spaces(tokenizer: Tokenizer) -> None:
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()


@pytest.mark.parametrize("spoil", [with_no_first_token, with_one_token_more, without_spaces])
def test_a_model_whose_prompt_is_cut_in_the_wrong_place_is_refused(
    tmp_path: Path, spoil: Callable[[Tokenizer], None]
) -> None:
    folder = tmp_path / "hunyuanvideo"
    double.save_model(folder)
    tokenizer = double.llama_tokenizer()
    spoil(tokenizer)
    double.write_llama_tokenizer(folder / "tokenizer", tokenizer)
    reason = "tokens of the text before the prompt"
    with pytest.raises(tokens.TokenizerUnusable, match=reason) as refused:
        Components(
            folder, Precision.FP32, threads=1, kernels=WantedKernels(tmp_path)
        ).text_encoders(lambda: None)
    for what in ("--verify", "--quantise=int8"):
        command = ["download_models.py", "hunyuanvideo", what, "--models-dir", str(tmp_path)]
        command = [sys.executable, *command]
        result = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
        assert result.returncode == 1
        assert reason in result.stderr
    request = Generate(1, tiny.params(), folder, Precision.FP32, None, None, 0, tmp_path)
    failure = describe_failure(refused.value, request)
    assert failure.code == "model_unavailable"
    assert reason in failure.message


def test_a_tokenizer_that_joins_words_is_refused() -> None:
    llama, joining = double.llama_tokenizer(), double.llama_tokenizer()
    joining.normalizer = normalizers.Replace(" ", "")
    for reader in HUNYUAN.readers:
        tokens.require_usable(reader, llama)
    with pytest.raises(tokens.TokenizerUnusable, match="tokenizer_2 loses the spaces"):
        tokens.require_usable(CLIP, joining)


def test_weights_that_a_text_encoder_lacks_are_not_made_up(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    double.save_model(folder)
    path = folder / "text_encoder_2" / "model.safetensors"
    weights = load_file(path)
    del weights["text_model.final_layer_norm.weight"]
    save_file(weights, path, metadata={"format": "pt"})
    with pytest.raises(ValueError, match=r"text_encoder_2 lacks 1 weights.*final_layer_norm"):
        load_encoders(folder, torch.float32)


def test_padding_comes_after_the_prompt_whatever_the_package_says(
    tmp_path: Path, pipeline: HunyuanVideoPipeline
) -> None:
    folder = tmp_path / "model"
    double.save_model(folder)
    path = folder / "tokenizer" / "tokenizer_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"padding_side": "left"}))
    left = encode(load_encoders(folder, torch.float32), "A cat")["prompt_embeds"]
    assert torch.equal(left, encode(pipeline, "A cat")["prompt_embeds"])


def wrong_conditioning(pipeline: HunyuanVideoPipeline) -> Conditioning:
    """As an earlier version made it of another text."""
    return encode(pipeline, "A cat walk song r ass")


def test_a_prompt_that_an_earlier_version_kept_is_encoded_anew(
    model_dir: Path, pipeline: HunyuanVideoPipeline, tmp_path: Path
) -> None:
    prompt = "A cat walks on grass"
    fingerprint = model_fingerprint(model_dir, "text_encoder*/*", "tokenizer*/*")
    made_by = [fingerprint, torch.get_num_threads(), cpu_name(), package_versions()]
    earlier = hashlib.sha256(json.dumps([*made_by, prompt]).encode()).hexdigest()
    (tmp_path / f"{earlier}.prompt").write_bytes(seal(wrong_conditioning(pipeline), {}))
    cache = PromptCache(tmp_path, model_dir)
    right = cache.conditioning(prompt, lambda prompt: encode(pipeline, prompt))
    assert torch.equal(right["prompt_embeds"], encode(pipeline, prompt)["prompt_embeds"])


@pytest.mark.parametrize("name", ["tokenizer/tokenizer.json", "tokenizer_2/merges.txt"])
def test_prompts_and_checkpoints_are_of_one_way_to_read_prompts(tmp_path: Path, name: str) -> None:
    """Also where a file as large as the real one differs in its midst alone."""
    (tmp_path / name).parent.mkdir()
    digests = set()
    for middle in (b"a", b"b"):
        (tmp_path / name).write_bytes(bytes(4 * 2**20) + middle + bytes(4 * 2**20))
        digests.add(tokens.encoding_digest(tmp_path, HUNYUAN.readers))
    assert len(digests) == 2


@pytest.mark.parametrize(("save", "usable"), [(double.save_model, False), (tiny.save_model, True)])
def test_a_checkpoint_of_an_earlier_version_is_used_if_its_prompt_was_read_right(
    save: Callable[[Path], None], usable: bool, tmp_path: Path
) -> None:
    """Earlier ones fingerprinted the model's files, but not how prompts were read; where the index
    names a tokenizer that goes by its file, that has not changed."""
    folder = tmp_path / "model"
    save(folder)
    params = tiny.params(num_frames=5, prompt="a cat")
    components = Components(folder, Precision.FP32, threads=1, kernels=WantedKernels(tmp_path))
    video = VideoPipeline(components, tmp_path / "prompts")
    request = Generate(1, params, folder, Precision.FP32, None, None, 0, tmp_path / "frames.npy")
    events: list[object] = []
    video.generate(request, events.append)
    second = [event.checkpoint for event in events if isinstance(event, StepFinished)][1]

    tensors, metadata = unseal(second)
    earlier = seal(tensors, metadata | {"model": model_fingerprint(folder)})
    again: list[object] = []
    request = Generate(2, params, folder, Precision.FP32, earlier, None, 0, tmp_path / "again.npy")
    video.generate(request, again.append)
    assert any(isinstance(event, Resumed) for event in again) is usable
    steps = [event.step for event in again if isinstance(event, StepFinished)]
    assert steps == ([3, 4] if usable else [1, 2, 3, 4])


def test_a_checkpoint_is_of_one_way_to_read_prompts() -> None:
    params = tiny.params()
    data = Checkpoint(1, torch.zeros(1), {}).to_bytes(params, "weights reading")
    assert Checkpoint.from_bytes(data, params, {"weights reading"}).step == 1
    with pytest.raises(UnusableCheckpoint, match="how prompts are read"):
        Checkpoint.from_bytes(data, params, {"weights otherwise"})


@pytest.fixture(scope="module")
def service(start_service: StartService, model_dir: Path) -> Service:
    """A service whose hunyuanvideo is the double, and a second worker with a large machine."""
    service = start_service(
        HUNYUAN_MODELS_DIR=str(model_dir.parent),
        HUNYUAN_MODEL="hunyuanvideo",
        HUNYUAN_PRECISION="fp32",
        HUNYUAN_LEASE_SECONDS="3600",
    )
    settings = Settings(data_dir=service.data_dir, models_dir=model_dir.parent)
    jobs = Jobs(settings)
    large = replace(Profile.of_this_machine(settings), memory_bytes=10**12)
    Lease(jobs.database, 3600).renew(large)  # what is refused is what fits into no machine
    jobs.close()
    return service


def forget_what_they_need(service: Service) -> None:
    """The double is small, but the service takes it for the model whose name it has, and leaves its
    jobs to the large machine."""
    opened = Jobs(Settings(data_dir=service.data_dir))
    with writing(opened.database) as connection:
        connection.execute(sa.update(jobs_table).values(peak_bytes={}))
    opened.close()


def test_a_real_package_is_rendered_by_the_service_with_the_prompt_it_was_sent(
    service: Service, model_dir: Path
) -> None:
    prompts = ["A cat walks on grass", "red car", "redcar"]
    with httpx.Client(base_url=service.url, timeout=30) as client:
        submitted = [submit(client, prompt=prompt) for prompt in prompts]
        forget_what_they_need(service)
        ended = [finish(client, job) for job in submitted]
    assert [job["status"] for job in ended] == ["completed"] * 3, ended
    kept = [unseal(path.read_bytes())[0] for path in service.data_dir.glob("prompts/*.prompt")]
    assert len(kept) == len(prompts)
    for prompt in prompts:
        expected = double.prompt_embeds(model_dir, prompt)
        assert any(
            encoded["prompt_embeds"].shape == expected.shape
            and torch.allclose(encoded["prompt_embeds"], expected, atol=1e-4)
            for encoded in kept
        ), prompt

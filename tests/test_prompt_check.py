"""What a model leaves out of a prompt is said before the clip is queued."""

from __future__ import annotations

import contextlib
import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import psutil
import pytest
from tokenizers import Tokenizer
from transformers import CLIPTokenizer

from demo_model.captions import caption, known_words
from demo_model.scenes import random_scene
from hunyuan_runner.prompts.check import PromptCheck
from hunyuan_runner.prompts.words import FILE, KnownWords
from hunyuan_runner.settings import BUNDLED_MODELS
from hunyuan_runner.wire import ClipWarning
from tests import double, tiny
from tests.conftest import SHORT, Service, finish, submit

DEMO = BUNDLED_MODELS / "demo"


@pytest.fixture
def check() -> Iterator[PromptCheck]:
    check = PromptCheck()
    yield check
    check.close()


@pytest.fixture(scope="module")
def model_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models") / "hunyuanvideo"
    double.save_model(folder)
    return folder


def warnings(check: PromptCheck, model_dir: Path, prompt: str, **fields: Any) -> list[ClipWarning]:
    return check.warnings(tiny.params(prompt=prompt, model=model_dir.name, **fields), model_dir)


def test_what_the_demo_model_was_trained_on_is_known() -> None:
    known = KnownWords.of(DEMO)
    assert known is not None
    rng = np.random.default_rng(5)
    captions = [caption(random_scene(rng), rng) for _ in range(1500)]
    for text in captions:
        if "<unk>" not in text:
            assert (known.unknown(text), known.out_of_place(text)[1]) == ([], []), text


def test_what_it_knows_is_what_its_captions_are_written_from() -> None:
    assert json.loads((DEMO / FILE).read_text()) == known_words()


@pytest.mark.parametrize(
    ("prompt", "words"),
    [
        ("a dog running in the park", ["dog"]),
        ("An elephant, a zebra and THE ELEPHANT", ["elephant", "zebra", "ELEPHANT"]),
        ("猫が歩く on grass", ["猫が歩く"]),
        ("the cat's whiskers", ["whiskers"]),
        ("a red car on a road at night", ["night"]),
        ("a blue cat walks on grass", ["blue"]),
        ("snow falls on a bird", ["bird"]),
        ("A red circle", []),
        ("Ocean waves at sunset, cinematic, 4k", []),
    ],
)
def test_what_the_demo_model_leaves_out_is_named(
    check: PromptCheck, prompt: str, words: list[str]
) -> None:
    found = warnings(check, DEMO, prompt)
    assert [warning.code for warning in found] == ["unknown_words"] * bool(words)
    for word in words:
        assert f"“{word}”" in found[0].message


def test_the_warning_lists_what_the_demo_model_knows(check: PromptCheck) -> None:
    (warning,) = warnings(check, DEMO, "a dog")
    for known in ("circle", "red", "bounce", "sunset", "car"):
        assert known in warning.message


def test_a_negative_prompt_is_looked_at_where_it_is_used(check: PromptCheck) -> None:
    prompts = {"prompt": "a cat", "negative_prompt": "a dog"}
    (warning,) = warnings(check, DEMO, **prompts, true_cfg_scale=3.0)
    assert warning.message.startswith("negative_prompt: ")
    assert warnings(check, DEMO, **prompts, true_cfg_scale=1.0) == []


def test_many_unknown_words_make_a_message_of_bounded_length(check: PromptCheck) -> None:
    long = "x" * 3000
    prompt = " ".join([*(f"word{number}" for number in range(60)), long])
    (warning,) = warnings(check, DEMO, prompt)
    assert "and 53 more" in warning.message
    assert len(warning.message) < 600


def readers() -> list[psutil.Process]:
    """The processes that read prompts for this one."""
    children = psutil.Process().children()
    return [child for child in children if "hunyuan_runner.prompts.reader" in child.cmdline()]


def test_the_check_of_a_prompt_that_is_short_starts_no_process(
    check: PromptCheck, model_dir: Path
) -> None:
    of_other_tests = readers()
    assert warnings(check, model_dir, "x" * 75) == []
    assert warnings(check, DEMO, " ".join(["a cat"] * 37)) == []
    assert readers() == of_other_tests


def words_kept_by_llama(model_dir: Path, prompt: str) -> str:
    """By what the pipeline does: 256 tokens from the template's crop on."""
    tokenizer = Tokenizer.from_file(str(model_dir / "tokenizer" / "tokenizer.json"))
    ids = tokenizer.encode(double.TEMPLATE.format(prompt)).ids[double.CROP_START :][:256]
    return tokenizer.decode(ids)


def letters(number: int) -> str:
    """A word of four letters of its own, which both tokenizers of the double spell."""
    return "w" + "".join("fghij"[number // 5**place % 5] for place in (2, 1, 0))


@pytest.mark.parametrize("length", [30, 60, 120])
def test_what_the_encoders_do_not_read_is_quoted(
    check: PromptCheck, model_dir: Path, length: int
) -> None:
    words = [letters(number) for number in range(length)]
    prompt = " ".join(words)
    found = {warning.message.split()[4]: warning for warning in warnings(check, model_dir, prompt)}

    kept = words_kept_by_llama(model_dir, prompt)
    read = sum(word in kept for word in words)
    assert ("Llama" in found) is (read < length)
    if read < length:
        assert f"“{words[read]} " in found["Llama"].message

    clip = CLIPTokenizer.from_pretrained(model_dir / "tokenizer_2")
    kept = clip.decode(clip(prompt, truncation=True, max_length=77).input_ids[1:-1])
    read = sum(word in kept for word in words)
    assert f"“{words[read]} " in found["CLIP"].message
    for warning in found.values():
        assert warning.code == "prompt_cut"
        assert f"{words[-1]}”" in warning.message
        assert len(warning.message) < 300


def test_a_prompt_that_just_fits_is_not_cut(check: PromptCheck, model_dir: Path) -> None:
    """A letter is a token of Llama's double; what is cut first is the end of the template."""
    fits = "f " * 127 + "gh"  # a space and a letter are two tokens
    assert [w.message.split()[4] for w in warnings(check, model_dir, fits)] == ["CLIP"]
    llama, _ = warnings(check, model_dir, f"{fits} j")
    assert "“j”" in llama.message


def test_a_language_without_spaces_is_cut_where_the_tokens_end(
    check: PromptCheck, model_dir: Path
) -> None:
    found = warnings(check, model_dir, "猫が歩く" * 100)
    assert [warning.code for warning in found] == ["prompt_cut"] * 2
    assert all(len(warning.message) < 300 for warning in found)


def test_the_reading_process_is_started_again_if_it_ended(
    check: PromptCheck, model_dir: Path
) -> None:
    prompt = "many words " * 100
    of_other_tests = readers()
    before = warnings(check, model_dir, prompt)
    (child,) = set(readers()) - set(of_other_tests)
    child.send_signal(signal.SIGKILL)
    child.wait()
    assert warnings(check, model_dir, prompt) == before
    assert len(before) == 2


def test_a_model_without_tokenizers_has_nothing_to_warn_of(
    check: PromptCheck, tmp_path: Path
) -> None:
    assert warnings(check, tmp_path / "hunyuanvideo", "many words " * 100) == []


def test_the_reading_process_ends_with_the_one_that_asks(model_dir: Path) -> None:
    program = (
        "import os, sys, psutil; from pathlib import Path;"
        "from hunyuan_runner.prompts.reader import Reader;"
        "Reader().unread(Path(sys.argv[1]), 'x y ' * 99);"
        "print(psutil.Process().children()[0].pid, flush=True); os._exit(0)"
    )
    command = [sys.executable, "-c", program, str(model_dir)]
    pid = int(subprocess.run(command, capture_output=True, check=True).stdout)
    with contextlib.suppress(psutil.NoSuchProcess):
        psutil.Process(pid).wait(30)
    assert not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE


def test_asking_needs_no_heavy_libraries() -> None:
    program = (
        "import sys; import hunyuan_runner.prompts.check; "
        "print(*{'torch', 'numpy', 'transformers', 'tokenizers'} & {*sys.modules})"
    )
    answer = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    assert answer.stdout.split() == []


def test_jobs_and_estimates_carry_what_is_left_out(client: httpx.Client, service: Service) -> None:
    finish(client, submit(client))  # a worker is there: nothing to warn of on that account
    wanted = SHORT | {"prompt": "A zebra on grass"}
    estimated = client.post("/api/estimate", json=wanted).json()["warnings"]
    job = submit(client, **wanted)
    assert job["warnings"] == estimated
    assert [warning["code"] for warning in estimated] == ["unknown_words"]
    assert "zebra" in estimated[0]["message"]
    ended = finish(client, job)
    assert ended["warnings"] == estimated
    assert client.get("/api/jobs").json()["jobs"][0]["warnings"] == estimated

    remix = {"prompt": "An unheard-of okapi"}
    video = client.post(f"/v1/videos/{job['job_id']}/remix", json=remix).json()
    task = client.post("/generate/submit", json=wanted).json()
    created = client.post("/v1/videos", json={"prompt": "A quagga", "size": "64x64"}).json()
    jobs = {video["id"]: "okapi", task["task_id"]: "zebra", created["id"]: "quagga"}
    assert "okapi" in video["warnings"][0]["message"]
    answer = client.get(f"/generate/status?task_id={task['task_id']}").json()
    assert "zebra" in answer["warnings"][0]["message"]
    for job_id, word in jobs.items():
        answer = client.get(f"/api/status/{job_id}").json()["warnings"]
        assert f"“{word}”" in answer[0]["message"]
        client.post(f"/api/jobs/{job_id}/cancel")
    log = service.log.read_text()
    assert not any(word in log for word in ("zebra", "okapi", "quagga"))

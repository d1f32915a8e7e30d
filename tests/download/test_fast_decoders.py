"""The fast decoders, whose files this version knows by their SHA-256."""

from __future__ import annotations

import hashlib
import os
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save

from hunyuan_runner.catalogue import TAEHV, FastDecoder, PinnedFile
from hunyuan_runner.models.hub import DownloadFailed, fetch_fast_decoder
from tests.download.conftest import (
    COMMIT,
    REPO,
    Hub,
    files_in,
    flip_a_byte,
    hunyuan_models,
)


@pytest.fixture
def published(hub: Hub) -> FastDecoder:
    """A double of TAEHV that the hub has."""
    content = save({"decoder.1.bias": np.ones(256, np.float16)})
    hub.files = {"LICENSE": b"MIT License", TAEHV.weights.name: content}

    def pinned(file: PinnedFile) -> PinnedFile:
        content = hub.files[file.name]
        url = f"{os.environ['HF_ENDPOINT']}/{REPO}/resolve/{COMMIT}/{file.name}"
        sha256 = hashlib.sha256(content).hexdigest()
        return PinnedFile(file.name, url, len(content), sha256)

    return replace(TAEHV, weights=pinned(TAEHV.weights), notice=pinned(TAEHV.notice))


def test_a_fast_decoder_is_fetched_with_its_licence_and_nothing_else(
    hub: Hub, models: Path, published: FastDecoder
) -> None:
    folder = models / TAEHV.id
    listing = r"^taehv +not installed +10 M +MIT"
    assert re.search(listing, hunyuan_models("list").stdout, re.M)
    assert "is not installed" in hunyuan_models("verify", "taehv").stderr
    fetch_fast_decoder(published, models / "taehv.partial", folder, print)
    found = files_in(folder)
    assert {name: found[name] for name in hub.files} == hub.files
    assert found.keys() == {*hub.files, "manifest.json"}
    assert [path.name for path in models.iterdir()] == ["taehv"]
    assert not re.search(listing, hunyuan_models("list").stdout, re.M)
    assert hunyuan_models("verify", "taehv").stdout == "taehv is complete\n"
    assert "is installed" in hunyuan_models("download", "taehv").stdout

    flip_a_byte(folder / TAEHV.weights.name)
    shown = hunyuan_models("verify", "taehv")
    assert shown.returncode == 1
    assert "taehv.safetensors differs from the published file" in shown.stderr
    (folder / "manifest.json").unlink()  # as if it had been put there by hand
    shown = hunyuan_models("verify", "taehv")
    assert "taehv.safetensors differs from the published file" in shown.stderr
    fetch_fast_decoder(published, models / "taehv.partial", folder, print)
    assert hunyuan_models("verify", "taehv").returncode == 0


def test_a_file_that_is_not_the_pinned_one_is_not_installed(
    hub: Hub, models: Path, published: FastDecoder
) -> None:
    name = published.weights.name
    hub.altered[name] = bytes(len(hub.files[name]))
    with pytest.raises(DownloadFailed, match=f"{name} differs from the published file"):
        fetch_fast_decoder(published, models / "taehv.partial", models / "taehv", print)
    hub.altered[name] = hub.files[name] * 2
    with pytest.raises(DownloadFailed, match="the server sends more"):
        fetch_fast_decoder(published, models / "taehv.partial", models / "taehv", print)
    assert [path.name for path in models.iterdir()] == ["taehv.partial"]
    hub.altered.clear()
    fetch_fast_decoder(published, models / "taehv.partial", models / "taehv", print)
    assert files_in(models / "taehv")[name] == hub.files[name]


def test_a_fast_decoder_that_has_moved_is_no_matter_of_revisions(
    hub: Hub, models: Path, published: FastDecoder
) -> None:
    gone = replace(published.notice, url=f"{published.notice.url}.txt/gone")
    hub.refusals = [404]
    with pytest.raises(DownloadFailed, match="newer version of hunyuan-runner"):
        fetch_fast_decoder(
            replace(published, notice=gone), models / "taehv.partial", models / "taehv", print
        )


@pytest.mark.parametrize("option", ["--revision", "--quantise"])
def test_options_of_models_are_refused_for_decoders(models: Path, option: str) -> None:
    shown = hunyuan_models("download", "taehv", option, "int8")
    assert shown.returncode == 2
    assert "not for decoders" in shown.stderr
    assert not models.exists()

"""The components of a model: loaded when needed, and kept as long as there is room.

Text encoders, transformer and VAE work one after another. In the 13B models they take half a GB,
13 GB and half a GB. If the machine has room for all of them, all stay loaded. If not, the one that
is needed next replaces those that are not.
"""

from __future__ import annotations

import gc
import json
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import diffusers
import torch
import transformers
from diffusers import FlowMatchEulerDiscreteScheduler
from safetensors import SafetensorError

from hunyuan_runner.catalogue import family_in, unknown_settings
from hunyuan_runner.engine.decoder import dtype_here, kernels_for
from hunyuan_runner.engine.implementation import TextEncoders, Transformer, implementation_of
from hunyuan_runner.engine.int8 import kernels_of
from hunyuan_runner.engine.loading import (
    DTYPES,
    encoder_folders,
    encoders_precision,
    held_parameters,
)
from hunyuan_runner.engine.stored import parameters_in
from hunyuan_runner.engine.taehv import FastDecoder
from hunyuan_runner.engine.vae import Decoder
from hunyuan_runner.families.configuration import (
    QUANTIZED_TRANSFORMER,
    TRANSFORMER,
    UnknownModel,
)
from hunyuan_runner.machine.host import available_memory_bytes, cpu_flags
from hunyuan_runner.machine.instructions import Attention, Instructions, WantedKernels
from hunyuan_runner.machine.kernels import choose_kernels
from hunyuan_runner.machine.precision import BYTES_PER_PARAMETER, Precision
from hunyuan_runner.weights import WeightsAltered, verify_file

logger = logging.getLogger(__name__)

WORKING_BYTES = 2e9  # for a step or an encoder, besides the weights, and for other processes
NOTICED_BYTES = 2e8  # loading more than this takes noticeable time

Loading = Callable[[], None]


class ModelIncomplete(Exception):
    """Files in the model's folder are missing or broken."""


class FastDecoderUnusable(Exception):
    """The fast decoder is missing, broken or of another model."""


class Components:
    """The components of the model in `model_dir`."""

    def __init__(
        self, model_dir: Path, precision: Precision, threads: int, kernels: WantedKernels
    ) -> None:
        """Loads the VAE, and the other components if there is room for them.

        `precision` is the transformer's. Raises ModelIncomplete, TokenizerUnusable, or UnknownModel
        if this version would compute something else than the model was trained for.
        """
        _hush_libraries()
        torch.set_num_threads(threads)
        self.precision = precision
        self.model_dir = model_dir
        self._threads = threads
        self._kernels = kernels
        # The transformer's; until it is loaded, what it is expected to have.
        self.kernels_used: tuple[Instructions, Attention] | None = None
        if precision is Precision.INT8 and (expected := choose_kernels(kernels, cpu_flags())):
            self.kernels_used = expected.instructions, expected.attention
        self._text_encoders: TextEncoders | None = None
        self._transformer: Transformer | None = None
        self._fast_decoder: FastDecoder | None = None
        with reading():
            self.family = family_in(model_dir)
            if problems := unknown_settings(model_dir):
                raise UnknownModel(problems)
            _require_configs(model_dir)
            self.implementation = implementation_of(self.family)
            vae = self.implementation.vae(model_dir)
            self.decoder: Decoder = self.implementation.decoder(vae, threads, kernels)
            self.scheduler = FlowMatchEulerDiscreteScheduler.from_pretrained(
                model_dir / "scheduler", local_files_only=True
            )
            needed = self._encoders_bytes() + self._transformer_bytes()
        if needed + WORKING_BYTES < available_memory_bytes():
            self.text_encoders(_say_nothing)
            self.transformer(_say_nothing)

    def text_encoders(self, on_loading: Loading) -> TextEncoders:
        """`on_loading` is called before a wait. Raises ModelIncomplete or TokenizerUnusable."""
        if self._text_encoders is None:
            self._make_room(self._encoders_bytes(), on_loading)
            with reading():
                self._text_encoders = self.implementation.text_encoders(
                    self.model_dir, self._encoders_dtype()
                )
        return self._text_encoders

    def transformer(self, on_loading: Loading) -> Transformer:
        """`on_loading` is called before a wait. Raises ModelIncomplete."""
        if self._transformer is None:
            self._make_room(self._transformer_bytes(), on_loading)
            with reading():
                self._transformer, self.precision = self.implementation.transformer(
                    self.model_dir, self.precision, self._threads, self._kernels
                )
            self.kernels_used = kernels_of(self._transformer)
        return self._transformer

    def fast_decoder(self, weights: Path | None) -> FastDecoder:
        """With these weights. Raises FastDecoderUnusable."""
        if self._fast_decoder is None:
            if weights is None:
                raise FastDecoderUnusable("it is not installed")
            dtype = dtype_here()
            try:
                verify_file(weights)
                kernels = kernels_for(dtype, self._threads, self._kernels)
                decoder = FastDecoder.load(weights, dtype, kernels)
            except (OSError, ValueError, SafetensorError, WeightsAltered) as error:
                raise FastDecoderUnusable(str(error)) from error
            if decoder.latent_channels != self.decoder.config.latent_channels:
                raise FastDecoderUnusable(f"{weights} is of another model")
            self._fast_decoder = decoder
        return self._fast_decoder

    def make_room_for_decoding(self, wanted: float) -> None:
        """Release the other components if decoding would have fewer than `wanted` bytes."""
        self._release_until(wanted)

    def _make_room(self, needed: float, on_loading: Loading) -> None:
        if needed > NOTICED_BYTES:
            on_loading()
        self._release_until(needed + WORKING_BYTES)

    def _release_until(self, wanted: float) -> None:
        """Release large components until `wanted` bytes of memory are free."""
        sizes = {
            "_text_encoders": self._encoders_bytes(),
            "_transformer": self._transformer_bytes(),
        }
        for name, size in sizes.items():
            if getattr(self, name) is None or size < NOTICED_BYTES:
                continue
            if available_memory_bytes() < wanted:
                logger.info("Releasing the model's %s to free memory", name.strip("_"))
                setattr(self, name, None)
                gc.collect()  # modules refer to each other

    def _encoders_dtype(self) -> torch.dtype:
        return DTYPES[encoders_precision(self.model_dir)]

    def _encoders_bytes(self) -> float:
        held = sum(map(held_parameters, encoder_folders(self.model_dir)))
        return held * self._encoders_dtype().itemsize

    def _transformer_bytes(self) -> float:
        quantized = self.model_dir / QUANTIZED_TRANSFORMER
        if self.precision is Precision.INT8 and quantized.exists():
            # the modulation stays on the disk and is read when it is needed
            files = (path for path in quantized.iterdir() if path.name != "modulation.safetensors")
            return sum(path.stat().st_size for path in files)
        parameters = parameters_in(self.model_dir / TRANSFORMER)
        return parameters * BYTES_PER_PARAMETER[self.precision]


def _say_nothing() -> None:
    pass


@contextmanager
def reading() -> Iterator[None]:
    """Raise errors of reading a model's files as ModelIncomplete."""
    try:
        yield
    except (OSError, ValueError, KeyError, SafetensorError) as error:
        raise ModelIncomplete(str(error)) from error


def _require_configs(model_dir: Path) -> None:
    """Raises FileNotFoundError if a component has no configuration.

    transformers would invent one: a text encoder with billions of random weights.
    """
    index = json.loads((model_dir / "model_index.json").read_text())
    if (model_dir / QUANTIZED_TRANSFORMER).exists():
        del index[TRANSFORMER]  # the original may be gone
    for component, (library, _) in ((k, v) for k, v in index.items() if isinstance(v, list)):
        if library is not None and not any((model_dir / component).glob("*config.json")):
            raise FileNotFoundError(f"{model_dir / component} has no configuration")


def _hush_libraries() -> None:
    for library in (diffusers, transformers):
        library.utils.logging.set_verbosity_error()
        library.utils.logging.disable_progress_bar()

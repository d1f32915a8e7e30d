"""What the engine has to know of a family in order to render its models."""

from __future__ import annotations

import importlib
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any, Protocol

import torch

from hunyuan_runner.engine.checkpoint import Conditioning
from hunyuan_runner.engine.vae import Decoder
from hunyuan_runner.families.family import Family
from hunyuan_runner.machine.instructions import WantedKernels
from hunyuan_runner.machine.precision import Precision
from hunyuan_runner.params import GenerationParams

TextEncoders = Any  # whatever the family makes of them
Transformer = Any  # a torch module
NEGATIVE = "negative_"  # the prefix of what is encoded of a negative prompt


class Guided(Protocol):
    """A transformer with the prompt, and the negative prompt if there is one, of a clip."""

    def prepare(self, timesteps: torch.Tensor) -> None:
        """Get ready for these time steps, which are all of the clip's, also if it is resumed."""

    def velocity(self, latents: torch.Tensor, timestep: torch.Tensor) -> torch.Tensor:
        """The direction (NCTHW float32) in which `latents` (NCTHW float32) lose their noise.

        float32 whatever the transformer computes in: the scheduler gives latents the type of the
        velocity, and they add up many small steps.
        """


class Implementation(ABC):
    """How the models of one family are loaded and computed.

    What loads raises OSError, ValueError, KeyError or SafetensorError if files are missing or
    broken.
    """

    @abstractmethod
    def text_encoders(self, model_dir: Path, dtype: torch.dtype) -> TextEncoders:
        """Load the text encoders with their tokenizers. Raises TokenizerUnusable as well."""

    @abstractmethod
    def encode(self, encoders: TextEncoders, prompt: str) -> Conditioning:
        """A prompt as the transformer needs it. Nothing is padded."""

    @abstractmethod
    def transformer(
        self, model_dir: Path, precision: Precision, threads: int, kernels: WantedKernels
    ) -> tuple[Transformer, Precision]:
        """Load the transformer, and return it with the precision that it really has: fp32 if the
        int8 kernels do not work."""

    @abstractmethod
    def guided(
        self, transformer: Transformer, conditioning: Conditioning, params: GenerationParams
    ) -> Guided:
        """The transformer with what was encoded of a clip's prompts."""

    @abstractmethod
    def vae(self, model_dir: Path) -> Any:
        """Load the decoding half of the VAE, in the precision that suits this CPU."""

    @abstractmethod
    def blank_vae(self, model_dir: Path) -> Any:
        """The same with weights that nobody trained, to measure how fast it is."""

    @abstractmethod
    def decoder(self, vae: Any, threads: int, kernels: WantedKernels) -> Decoder:
        """What decodes latents with the weights of the VAE."""

    def was_encoded_so_before(self, model_dir: Path) -> bool:
        """Whether versions that did not note in checkpoints how prompts become tokens encoded this
        model's prompts as now."""
        return False


def implementation_of(family: Family) -> Implementation:
    """Each family's module in this room has one under the name IMPLEMENTATION."""
    implementation: Implementation = importlib.import_module(family.engine).IMPLEMENTATION
    return implementation

"""How long an engine or a worker may report nothing before it counts as hung."""

from __future__ import annotations

from hunyuan_runner.catalogue import Model
from hunyuan_runner.engine.messages import Event, StageStarted, TileFinished
from hunyuan_runner.params import GenerationParams, Stage
from hunyuan_runner.quoting.estimate import STORED_BYTES, Expectation

# Work may take so many times longer than expected, because machines are busy, and swap.
GENEROSITY = 10
SLOW_DISK_BYTES_PER_SECOND = 5e6


class Patience:
    """For one clip on one machine: depends on the stage and on how long it should take there."""

    def __init__(
        self, expectation: Expectation, params: GenerationParams, model: Model, least_seconds: float
    ) -> None:
        self._expectation = expectation
        self._least_seconds = least_seconds
        self._stage: Stage | None = None
        self._reports = {Stage.DENOISING: len(params.computed_steps)}
        architecture = model.architecture
        weights = model.parameters * STORED_BYTES
        weights += architecture.text_encoder_bytes + architecture.vae_bytes
        modulation = architecture.modulation_parameters * STORED_BYTES
        # Bytes that the stages read from the model's files. Estimates are of a quicker disk.
        self._read_bytes = {
            Stage.LOADING: 2 * weights,  # once to verify them, once to load them
            Stage.ENCODING: 2 * architecture.text_encoder_bytes,  # once for each prompt
            Stage.DENOISING: modulation,
            Stage.PUBLISHING: weights,  # to hash them for the manifest
        }
        self._factor = 1

    def heed(self, event: Event) -> None:
        match event:
            case StageStarted(stage):
                self._stage = stage
            case TileFinished(tiles=tiles):
                self._reports[Stage.DECODING] = tiles

    def publish(self) -> None:
        """The engine is done, and the worker begins to publish."""
        self._stage = Stage.PUBLISHING

    def begin(self) -> None:
        """The engine is about to begin. It may have to load the model first."""
        self._stage = None

    def double(self) -> None:
        """The engine counted as hung. Allow twice the time, in case it was only slow."""
        self._factor *= 2

    @property
    def expected_seconds(self) -> float:
        """What the whole clip should take, without loading the model."""
        return self._expectation.total

    @property
    def expected_step_seconds(self) -> float:
        """What each computed step should take."""
        return self._expectation.seconds[Stage.DENOISING] / self._reports[Stage.DENOISING]

    @property
    def seconds(self) -> float:
        """The longest time until the next report."""
        stage = self._stage or Stage.LOADING
        expected = self._expectation.seconds.get(stage, 0.0) / self._reports.get(stage, 1)
        expected *= self._expectation.high
        reading = self._read_bytes.get(stage, 0.0) / SLOW_DISK_BYTES_PER_SECOND
        return self._factor * (self._least_seconds + GENEROSITY * expected + reading)

"""Every environment variable the service reads, with its default."""

from __future__ import annotations

import base64
import binascii
import re
import resource
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, AliasChoices, BeforeValidator, Field, SecretStr
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

BUNDLED_MODELS = Path(__file__).parent.parent / "models"
LogFormat = Literal["text", "json"]
WantedPrecision = Literal["auto", "fp32", "bf16", "int8"]
SECRET_PREFIX = "whsec_"  # as Standard Webhooks writes secrets: behind it comes base64
SECRET_BYTES = 24
MIN_CONNECTIONS, MAX_CONNECTIONS = 16, 2000  # unless a number is set
SPARE_FILES = 64  # of the front, for all but connections and the files of clips

POSTGRES_URL = re.compile(r"postgres(ql)?(\+psycopg)?://")
# Of a URL's path: no empty part, none that leads upwards, nothing that has to be escaped.
PATH_PREFIX = r"(?:/(?!\.{1,2}(?:/|$))[A-Za-z0-9._~-]+)*"
PUBLIC_URL = re.compile(
    rf"https?://(?:\[[0-9a-f:.]+\]|[a-z0-9.-]+)(?::\d{{1,5}})?{PATH_PREFIX}", re.I
)
API_KEY = re.compile(r"([A-Za-z0-9._-]{1,64}):([0-9a-f]{64})(:admin)?")


@dataclass(frozen=True)
class ApiKey:
    """A key by its SHA-256, in hexadecimal; the key itself is known to its user alone."""

    name: str  # whose it is; several keys may have the same, while one replaces the other
    sha256: str
    admin: bool  # sees everybody's jobs

    @classmethod
    def parse(cls, text: str) -> Self:
        """From name:sha256 or name:sha256:admin. Raises ValueError."""
        match = API_KEY.fullmatch(text)
        if match is None:
            raise ValueError(
                "must be a comma-separated list of name:sha256 or name:sha256:admin; "
                "`hunyuan keys new NAME` makes one"
            )
        return cls(match[1], match[2], admin=match[3] is not None)


def _split(text: object) -> object:
    if not isinstance(text, str):
        return text
    return tuple(part.strip() for part in text.split(",") if part.strip())


def _parse_keys(text: object) -> object:
    if not isinstance(text, str):
        return text
    return tuple(ApiKey.parse(part.strip()) for part in text.split(",") if part.strip())


def _valid_origin(origin: str) -> str:
    if not re.fullmatch(r"\*|https?://[^/\s]+", origin):
        raise ValueError("must be origins such as https://app.example.com, or *")
    return origin


def _valid_rate_limit(limit: str | None) -> str | None:
    if limit is not None:
        from limits import parse_many  # where there is a limit only: it costs 0.15 s

        parse_many(limit)
    return limit


def _valid_webhook_secret(secret: SecretStr | None) -> SecretStr | None:
    if secret is not None:
        text = secret.get_secret_value()
        try:
            key = base64.b64decode(text.removeprefix(SECRET_PREFIX), validate=True)
        except binascii.Error:
            key = b""
        if not text.startswith(SECRET_PREFIX) or len(key) < SECRET_BYTES:
            raise ValueError(
                f"must be {SECRET_PREFIX} and {SECRET_BYTES} random bytes or more in base64"
            )
    return secret


def _valid_database_url(url: SecretStr | None) -> SecretStr | None:
    if url is not None and not POSTGRES_URL.match(url.get_secret_value()):
        raise ValueError("must be postgresql://user:password@host/name")
    return url


def _valid_public_url(url: str | None) -> str | None:
    if url is None:
        return None
    if not PUBLIC_URL.fullmatch(url.rstrip("/")):
        raise ValueError("must be a URL such as https://video.example.com/hunyuan, without a query")
    return url.rstrip("/")


Origin = Annotated[str, AfterValidator(_valid_origin)]


class Settings(BaseSettings):
    """Read from variables with the prefix HUNYUAN_, as in HUNYUAN_DATA_DIR."""

    model_config = SettingsConfigDict(
        env_prefix="HUNYUAN_", frozen=True, hide_input_in_errors=True, validate_by_name=True
    )

    data_dir: Path = Field(Path("data"), description="Where all state lives.")
    models_dir: Path = Field(
        BUNDLED_MODELS, description="Where downloaded models are; the demo model is found anyway."
    )
    model: str = Field("demo", description="The model used where a request names none.")
    database_url: Annotated[SecretStr | None, AfterValidator(_valid_database_url)] = Field(
        None, description="postgresql://… to share the queue; default: SQLite in the data folder."
    )
    storage_url: str | None = Field(
        None, description="s3://bucket/prefix to share the files; default: the data folder."
    )
    local_runner: bool = Field(
        True, description="Whether the front starts a runner beside it on this machine."
    )
    retention_hours: float = Field(
        168, gt=0, description="How long ended jobs and their files are kept."
    )
    threads: int | None = Field(
        None, ge=1, description="Threads of the engine; default: every core this process may use."
    )
    precision: WantedPrecision = Field(
        "auto",
        description="What transformers compute in: fp32, bf16, int8; auto: by CPU and memory.",
    )
    calibrate: bool = Field(
        True, description="Whether a runner measures its machine, once, while no job waits."
    )
    cost_per_hour: float | None = Field(
        None, gt=0, description="What an hour of rendering costs, in any currency, for estimates."
    )
    max_failed_starts: int = Field(
        3,
        ge=1,
        # Versions before 2026-12 knew it as HUNYUAN_MAX_ATTEMPTS.
        validation_alias=AliasChoices("HUNYUAN_MAX_FAILED_STARTS", "HUNYUAN_MAX_ATTEMPTS"),
        description="Failed starts in a row without a new step before a job is given up. "
        "Its former name HUNYUAN_MAX_ATTEMPTS still works.",
    )
    cancel_grace_seconds: float = Field(
        5, ge=0, description="How long a canceled render may take to stop before it is killed."
    )
    stall_seconds: float = Field(
        600,
        gt=0,
        description="An engine that reports nothing for so long, and ten times what is expected, "
        "is ended; its job goes on.",
    )
    publish_patience_seconds: float = Field(
        900,
        ge=0,
        description="How long a job waits for a full disk, or for storage that fails, before it "
        "does.",
    )
    lease_seconds: float = Field(
        10, ge=1, description="A worker silent for so long is taken for dead; its job moves on."
    )
    poll_seconds: float = Field(
        0.2, gt=0, description="How often an idle worker looks for the next job."
    )
    ping_seconds: float = Field(
        15, gt=0, description="How often a silent event stream says that it is alive."
    )
    api_keys: Annotated[tuple[ApiKey, ...], NoDecode, BeforeValidator(_parse_keys)] = Field(
        (), description="name:sha256,… of who may use the service; hunyuan keys new makes one."
    )
    allow_anonymous: bool = Field(
        False, description="Whether anybody may use the service from elsewhere, without a key."
    )
    public_metrics: bool = Field(False, description="Whether /metrics can be read without a key.")
    rate_limit: Annotated[str | None, AfterValidator(_valid_rate_limit)] = Field(
        None, description="Requests per key, such as 120/minute; more are answered 429."
    )
    max_queued: int = Field(
        10_000, ge=1, description="Jobs that may wait per key; more are answered 429."
    )
    public_url: Annotated[str | None, AfterValidator(_valid_public_url)] = Field(
        None,
        description="Address of the service as users see it, path included; default: links are "
        "paths.",
    )
    max_connections: int | None = Field(
        None, ge=1, description="Connections in all; default: as file descriptors allow, to 2,000."
    )
    max_connections_per_address: int | None = Field(
        None,
        ge=1,
        description="From one address; default: a quarter, from private ones (proxies) all.",
    )
    max_head_bytes: int = Field(
        32_768, ge=1024, description="A request's URL and headers; larger ones are answered 431."
    )
    max_headers: int = Field(100, ge=10, description="Headers of a request; more: 431.")
    max_url_bytes: int = Field(8192, ge=256, description="A request's URL; longer ones: 414.")
    head_seconds: float = Field(
        10, gt=0, description="How long a request's head may take to arrive; slower ones: 408."
    )
    idle_seconds: float = Field(
        75, gt=0, description="How long a connection is kept that nothing is asked on."
    )
    stalled_seconds: float = Field(
        60,
        gt=0,
        description="How long a client may take over a megabyte of an answer, or be cut off.",
    )
    cors_origins: Annotated[tuple[Origin, ...], NoDecode, BeforeValidator(_split)] = Field(
        (), description="https://…,… whose pages may use the service; * for all."
    )
    webhook_secret: Annotated[SecretStr | None, AfterValidator(_valid_webhook_secret)] = Field(
        None, description="whsec_… that each user's signing secret comes from; default: its own."
    )
    webhook_retry_seconds: float = Field(
        5, gt=0, description="Pause before a webhook's second attempt; it doubles, over a day."
    )
    webhook_allow_private: bool = Field(
        False, description="Whether webhooks may be on private and loopback addresses."
    )
    log_level: str = Field("INFO", description="DEBUG, INFO, WARNING or ERROR.")
    log_format: LogFormat = Field("text", description="text, or json: an object per line.")
    log_prompts: bool = Field(False, description="Whether prompts may appear in logs.")

    @property
    def connection_limit(self) -> int:
        """How many connections the front holds at once."""
        if self.max_connections is not None:
            return self.max_connections
        files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        if files == resource.RLIM_INFINITY:
            return MAX_CONNECTIONS
        # Each may be for a file that is read.
        return min(max((files - SPARE_FILES) // 2, MIN_CONNECTIONS), MAX_CONNECTIONS)

    def has_model(self, model_id: str) -> bool:
        """Whether the model's weights are on this machine."""
        return (self.model_dir(model_id) / "model_index.json").is_file()

    @property
    def sqlite_path(self) -> Path:
        """Where the job database is, without a `database_url`."""
        return self.data_dir.absolute() / "jobs.sqlite"

    @property
    def scratch_dir(self) -> Path:
        """Where the engine writes frames."""
        return self.data_dir.absolute() / "scratch"

    @property
    def kernels_dir(self) -> Path:
        """Where the engine builds its kernels."""
        return self.data_dir.absolute() / "kernels"

    @property
    def prompts_dir(self) -> Path:
        """Where the engine keeps what text encoders made of prompts."""
        return self.data_dir.absolute() / "prompts"

    @property
    def verified_weights(self) -> Path:
        """The file that remembers which weights the engine has compared with their digests."""
        return self.data_dir.absolute() / "verified-weights.json"

    def model_dir(self, model_id: str) -> Path:
        """The folder of a model: below `models_dir`, or where it came with this project."""
        folder = self.models_dir / model_id
        return folder if folder.exists() else BUNDLED_MODELS / model_id


@cache
def get_settings() -> Settings:
    """This process's settings, read once."""
    return Settings()

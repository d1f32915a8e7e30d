"""Every environment variable the service reads, with its default."""

from __future__ import annotations

import base64
import binascii
import re
from functools import cache
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, AliasChoices, BeforeValidator, Field, SecretStr
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from hunyuan_runner.api_keys import ApiKey

BUNDLED_MODELS = Path(__file__).parent / "bundled"  # comes with the package: the demo model
LogFormat = Literal["text", "json"]
Downloads = Literal["proxy", "redirect"]
WantedPrecision = Literal["auto", "fp32", "bf16", "int8"]
WantedInstructions = Literal[
    "amx", "avx512-bf16", "avx512", "avx-vnni", "avx2", "neon-i8mm", "neon-dotprod"
]
WantedAttention = Literal["bf16", "int16", "int8"]
SECRET_PREFIX = "whsec_"  # as in Standard Webhooks; base64 follows
SECRET_BYTES = 24
MIN_KEY_CHARACTERS = 32  # of a key that is not made by `hunyuan keys new`
MIN_CONNECTIONS, MAX_CONNECTIONS = 16, 2000  # bounds of the default
MIN_TARGET_WAIT = 1  # seconds; to wait less, one would want a runner for each job
SPARE_FILES = 64  # file descriptors that the front needs for other things

POSTGRES_URL = re.compile(r"postgres(ql)?(\+psycopg)?://")
# The path of a URL without empty parts, ".." and characters that need escaping.
PATH_PREFIX = r"(?:/(?!\.{1,2}(?:/|$))[A-Za-z0-9._~-]+)*"
PUBLIC_URL = re.compile(
    rf"https?://(?:\[[0-9a-f:.]+\]|[a-z0-9.-]+)(?::\d{{1,5}})?{PATH_PREFIX}", re.I
)


def _split(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip())


def _names(text: object) -> object:
    return _split(text) if isinstance(text, str) else text


def _networks(text: object) -> object:
    try:
        return tuple(map(ip_network, _split(text))) if isinstance(text, str) else text
    except ValueError:
        raise ValueError("must be addresses or networks such as 127.0.0.1,10.0.0.0/8") from None


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
        from limits import parse_many  # imported only if needed: it takes 0.15 s

        try:
            parse_many(limit)
        except ValueError:
            raise ValueError(
                "must be a rate such as 120/minute, or several, separated by semicolons"
            ) from None
    return limit


def _valid_admin_key(key: SecretStr | None) -> SecretStr | None:
    if key is not None and len(key.get_secret_value().strip()) < MIN_KEY_CHARACTERS:
        raise ValueError(f"must have {MIN_KEY_CHARACTERS} characters or more")
    return key


def _valid_webhook_secret(secret: SecretStr | None) -> SecretStr | None:
    if secret is not None:
        text = secret.get_secret_value()
        try:
            key = base64.b64decode(text.removeprefix(SECRET_PREFIX), validate=True)
        except binascii.Error:
            key = b""
        if not text.startswith(SECRET_PREFIX) or len(key) < SECRET_BYTES:
            raise ValueError(
                f"must be {SECRET_PREFIX} and, in base64, {SECRET_BYTES} bytes or more"
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


def _valid_traces_url(url: str | None) -> str | None:
    if url is not None and not re.match(r"https?://[^/\s]+/\S+", url):
        raise ValueError("must be a URL with a path, such as http://collector:4318/v1/traces")
    return url


Network = IPv4Network | IPv6Network
Origin = Annotated[str, AfterValidator(_valid_origin)]


class Settings(BaseSettings):
    """Read from variables with the prefix HUNYUAN_, as in HUNYUAN_DATA_DIR."""

    model_config = SettingsConfigDict(
        env_prefix="HUNYUAN_",
        env_prefix_target="all",
        frozen=True,
        hide_input_in_errors=True,
    )

    data_dir: Path = Field(Path("data"), description="The folder for all state.")
    models_dir: Path = Field(
        Path("models"),
        description="The folder for downloaded models. The demo model is always found.",
    )
    model: str = Field("demo", description="The model for requests that name none.")
    database_url: Annotated[SecretStr | None, AfterValidator(_valid_database_url)] = Field(
        None,
        description="postgresql://… to share the queue between machines; "
        "default: SQLite in the data folder.",
    )
    storage_url: str | None = Field(
        None,
        description="s3://bucket/prefix to share files between machines; default: the data folder.",
    )
    downloads: Downloads = Field(
        "proxy",
        description="How videos in a bucket reach users: proxy sends them through the front; "
        "redirect sends users to the bucket, with a URL that is valid for five minutes.",
    )
    local_runner: bool = Field(True, description="Start a runner next to the front.")
    retention_hours: float = Field(
        168, gt=0, description="Delete jobs and their files this long after they end."
    )
    disk_reserve_bytes: int | None = Field(
        None,
        ge=0,
        description="Refuse new jobs while the disk of the data folder has fewer bytes left; with "
        "half of them left, workers begin no job from the queue. Default: 1 GB, or 5 % of a disk "
        "smaller than 20 GB.",
    )
    threads: int | None = Field(
        None,
        ge=1,
        description="Threads of the engine; default: every core this process may use, of one NUMA "
        "node.",
    )
    one_node: bool = Field(
        True,
        description="Compute a clip on the cores of one NUMA node, such as a socket, and let a "
        "second runner on the machine take another; false: on all cores.",
    )
    precision: WantedPrecision = Field(
        "auto",
        description="Precision of transformers: fp32, bf16 or int8; auto chooses by CPU and "
        "memory.",
    )
    instructions: WantedInstructions | None = Field(
        None,
        description="Instruction set of the int8 kernels: amx, avx512-bf16, avx512, avx-vnni or "
        "avx2; on Arm neon-i8mm or neon-dotprod; default: the fastest that the CPU has.",
    )
    attention: WantedAttention | None = Field(
        None,
        description="Form of attention of models in int8: bf16, int16, or int8, which is faster "
        "and rougher; default: the fastest form whose error is at most 1 %.",
    )
    calibrate: bool = Field(
        True, description="Let a runner measure its machine once, while no job is waiting."
    )
    cost_per_hour: float | None = Field(
        None, gt=0, description="Price of one hour of rendering, in any currency, for estimates."
    )
    unload_after: float = Field(
        600,
        ge=0,
        # Loading the largest model takes one or two minutes, a small share of a render that comes
        # so long after the last one.
        description="Seconds without a job after which a runner gives back the memory of its "
        "model; 0: never. The next job loads it again.",
    )
    exit_after: float = Field(
        0,
        ge=0,
        description="Seconds without a job after which a runner ends its service, for platforms "
        "that start runners by the queue; 0: never. A front in the same service ends too.",
    )
    max_failed_starts: int = Field(
        3,
        ge=1,
        # The second is the name it had in version 0.1.
        validation_alias=AliasChoices("max_failed_starts", "max_attempts"),
        description="A job fails after this many starts in a row without a new step.",
    )
    cancel_grace_seconds: float = Field(
        5, ge=0, description="How long a canceled render may take to stop before it is killed."
    )
    stall_seconds: float = Field(
        600,
        gt=0,
        description="Restart an engine that reports nothing for this long plus ten times the "
        "expected time. Its job continues.",
    )
    publish_patience_seconds: float = Field(
        900,
        ge=0,
        description="How long a job waits for a full disk or failing storage before it fails.",
    )
    lease_seconds: float = Field(
        10,
        ge=1,
        description="After this long without a sign of life a worker loses its job to another.",
    )
    poll_seconds: float = Field(
        0.2, gt=0, description="How often an idle worker looks for the next job."
    )
    target_wait_seconds: float = Field(
        600,
        ge=MIN_TARGET_WAIT,
        description="The wait in the queue for which /api/capacity counts the runners wanted.",
    )
    ping_seconds: float = Field(
        15, gt=0, description="Send a comment on an event stream after this long without an event."
    )
    api_keys: Annotated[tuple[ApiKey, ...], NoDecode, BeforeValidator(_parse_keys)] = Field(
        (), description="name:sha256,… of the accepted keys. `hunyuan keys new` makes one."
    )
    admin_key: Annotated[SecretStr | None, AfterValidator(_valid_admin_key)] = Field(
        None,
        description="The key, not its hash, of a user `admin` who may control every job. For "
        "platforms that generate secrets.",
    )
    allow_anonymous: bool = Field(
        False, description="Allow requests from other machines without a key."
    )
    public_metrics: bool = Field(False, description="Allow reading /metrics without a key.")
    cors_origins: Annotated[tuple[Origin, ...], NoDecode, BeforeValidator(_names)] = Field(
        (), description="https://…,… whose pages may use the service; * allows all."
    )
    rate_limit: Annotated[str | None, AfterValidator(_valid_rate_limit)] = Field(
        None, description="Requests per key, such as 120/minute. More are refused with 429."
    )
    max_queued: int = Field(
        10_000, ge=1, description="Waiting jobs per key. More are refused with 429."
    )
    public_url: Annotated[str | None, AfterValidator(_valid_public_url)] = Field(
        None,
        description="URL under which users reach the service, with its path; default: links are "
        "paths.",
    )
    trusted_proxies: Annotated[tuple[Network, ...], NoDecode, BeforeValidator(_networks)] = Field(
        (),
        description="Addresses or networks (127.0.0.1,10.0.0.0/8) of the proxies whose "
        "X-Forwarded-For names the client. Without them, a proxy counts as the client.",
    )
    max_connections: int | None = Field(
        None,
        ge=1,
        description=f"Open connections; default: by the limit of open files, at most "
        f"{MAX_CONNECTIONS:,}.",
    )
    max_connections_per_address: int | None = Field(
        None,
        ge=1,
        description="Open connections from one address; default: a quarter of all, or all for a "
        "private address, which may be a proxy.",
    )
    max_head_bytes: int = Field(
        32_768,
        ge=1024,
        description="Bytes of a request's URL and headers. Larger ones are refused with 431.",
    )
    max_headers: int = Field(
        100, ge=10, description="Headers of a request. More are refused with 431."
    )
    max_url_bytes: int = Field(
        8192, ge=256, description="Bytes of a request's URL. Longer ones are refused with 414."
    )
    head_seconds: float = Field(
        10,
        gt=0,
        description="How long a request's headers may take to arrive. Slower ones are refused "
        "with 408.",
    )
    idle_seconds: float = Field(75, gt=0, description="Close a connection idle for this long.")
    stalled_seconds: float = Field(
        60,
        gt=0,
        description="Close a connection whose client takes this long to read one megabyte of an "
        "answer.",
    )
    webhook_secret: Annotated[SecretStr | None, AfterValidator(_valid_webhook_secret)] = Field(
        None,
        description="Root secret (whsec_…) from which each user's signing secret is derived; "
        "generated if unset.",
    )
    webhook_retry_seconds: float = Field(
        5,
        gt=0,
        description="Pause before the second attempt of a webhook. It doubles after each attempt.",
    )
    webhook_allow_private: bool = Field(
        False, description="Allow webhooks to private and loopback addresses."
    )
    log_level: str = Field("INFO", description="DEBUG, INFO, WARNING or ERROR.")
    log_format: LogFormat = Field("text", description="text, or json for one object per line.")
    log_prompts: bool = Field(False, description="Allow prompts in logs.")
    traces_url: Annotated[str | None, AfterValidator(_valid_traces_url)] = Field(
        None,
        description="Send traces of jobs to this OTLP receiver, such as "
        "http://collector:4318/v1/traces; default: none are made.",
    )

    @property
    def accepted_keys(self) -> tuple[ApiKey, ...]:
        """`api_keys`, and the admin's."""
        if self.admin_key is None:
            return self.api_keys
        return (*self.api_keys, ApiKey.of("admin", self.admin_key.get_secret_value(), admin=True))

    @property
    def connection_limit(self) -> int:
        """How many connections the front keeps open at once."""
        if self.max_connections is not None:
            return self.max_connections
        import resource  # only here: Windows does not have it

        files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        if files == resource.RLIM_INFINITY:
            return MAX_CONNECTIONS
        # A connection may need a second descriptor, for the file it serves.
        return min(max((files - SPARE_FILES) // 2, MIN_CONNECTIONS), MAX_CONNECTIONS)

    def has_model(self, model_id: str) -> bool:
        """Whether the model's weights are on this machine."""
        return (self.model_dir(model_id) / "model_index.json").is_file()

    @property
    def sqlite_path(self) -> Path:
        """The job database if there is no `database_url`."""
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
        """Where the engine caches encoded prompts."""
        return self.data_dir.absolute() / "prompts"

    @property
    def verified_weights(self) -> Path:
        """The file that lists the weights whose digests the engine has verified."""
        return self.data_dir.absolute() / "verified-weights.json"

    def model_dir(self, model_id: str) -> Path:
        """The folder of a model: in `models_dir`, or the one bundled with this project."""
        folder = self.models_dir / model_id
        return folder if folder.exists() else BUNDLED_MODELS / model_id


@cache
def get_settings() -> Settings:
    """This process's settings, read once."""
    return Settings()

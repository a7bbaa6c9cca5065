"""Settings of the prediction API; each is an environment variable `LOUPE_GATEWAY_<NAME>`."""

import ipaddress
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import BaseModel, Field, IPvAnyNetwork, SecretStr, ValidationError, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict, SettingsError

from configs.errors import ConfigError

PREFIX = "LOUPE_GATEWAY_"
MEBIBYTE = 1 << 20
REVIEW_SIDE_PIXELS = 1024
PictureKind = Literal["animated", "cmyk", "16-bit", "alpha", "mislabelled"]


class ModelServerSettings(BaseModel):
    """Where the model is served, and how long it may take.

    Attributes:
        grpc_address: `host:port` of a server that speaks TF Serving's gRPC.
        rest_url: URL of the same server's REST port, for the states of versions.
        name: the model.
        label: version label to ask for; empty for the newest version.
        timeout_seconds: time limit of one call.
        max_attempts: calls in all when the server refuses before it computed.
        max_images_per_call: images that are ready at the same moment and share a call; 1 for a
            call of each image. At most the server's `max_batch_size`.
        breaker_failures: failures in a row that open the circuit breaker.
        breaker_seconds: how long it stays open before one call is tried.
    """

    grpc_address: str = "localhost:8500"
    rest_url: str = "http://localhost:8501"
    name: str = "loupe"
    label: str = ""
    timeout_seconds: float = Field(default=1.0, gt=0)
    max_attempts: int = Field(default=2, ge=1, le=5)
    max_images_per_call: int = Field(default=16, ge=1, le=1024)
    breaker_failures: int = Field(default=5, ge=1)
    breaker_seconds: float = Field(default=2.0, gt=0)


class FallbackSettings(BaseModel):
    """What is answered when the model server is gone.

    Attributes:
        policy: `refuse` (503), `default` (the rules' default answer) or `model` (a LiteRT file).
        lite_model_file: the LiteRT file of `policy=model`.
        labels_file: its class names, one a line.
    """

    policy: Literal["refuse", "default", "model"] = "refuse"
    lite_model_file: Path | None = None
    labels_file: Path | None = None

    @model_validator(mode="after")
    def _check_files(self) -> Self:
        if self.policy == "model" and not (self.lite_model_file and self.labels_file):
            raise ValueError(
                "fallback policy 'model' needs lite_model_file and labels_file. Name both."
            )
        return self


class UploadSettings(BaseModel):
    """Which uploads are accepted.

    Attributes:
        max_body_bytes: largest body of one request.
        max_image_bytes: largest image.
        max_pixels: most pixels of an image, width times height.
        max_metadata_bytes: most bytes of an image that are no picture: profiles, EXIF, comments.
        max_batch_images: most images of one batch request.
        body_timeout_seconds: how long a body may take to arrive.
        review_side_pixels: longest side of a picture that is kept for review; larger ones are
            scaled down.
        refused: kinds of picture that are refused though the model could read them; `mislabelled`
            is one whose name or content type says another format than its content.
    """

    max_body_bytes: int = Field(default=32 * MEBIBYTE, ge=1024)
    max_image_bytes: int = Field(default=10 * MEBIBYTE, ge=1024)
    max_pixels: int = Field(default=50_000_000, ge=1)
    max_metadata_bytes: int = Field(default=4 * MEBIBYTE, ge=1024)
    max_batch_images: int = Field(default=32, ge=1)
    body_timeout_seconds: float = Field(default=20.0, gt=0)
    review_side_pixels: int = Field(default=REVIEW_SIDE_PIXELS, ge=64, le=8192)
    refused: frozenset[PictureKind] = frozenset({"animated"})


class ThrottleSettings(BaseModel):
    """How many requests a caller may make, and all of them together; token buckets.

    Attributes:
        key_per_second: tokens a caller's bucket gains; an image costs one.
        key_burst: what a caller's bucket holds.
        total_per_second: tokens the common bucket gains.
        total_burst: what the common bucket holds.
        store: where buckets live: `memory` (one worker), `database` or `redis` (several).
        redis_url: of `store=redis`.
        sign_in_per_minute: wrong keys at the console's sign-in from one address.
        sign_in_total_per_minute: wrong keys at the console's sign-in from all addresses.
    """

    key_per_second: float = Field(default=50.0, gt=0)
    key_burst: int = Field(default=100, ge=1)
    total_per_second: float = Field(default=500.0, gt=0)
    total_burst: int = Field(default=1000, ge=1)
    store: Literal["memory", "database", "redis"] = "memory"
    redis_url: str = ""
    sign_in_per_minute: int = Field(default=10, ge=1)
    sign_in_total_per_minute: int = Field(default=100, ge=1)


class AdmissionSettings(BaseModel):
    """How many requests are worked on at once; the rest waits, and what waits too long is refused.

    Attributes:
        max_concurrent: images with the model server at once.
        max_waiting: images that may wait for their turn; one more is refused with 503.
        max_wait_seconds: how long one waits at most.
    """

    max_concurrent: int = Field(default=64, ge=1)
    max_waiting: int = Field(default=128, ge=0)
    max_wait_seconds: float = Field(default=0.5, gt=0)


class TokenSettings(BaseModel):
    """Which JWT bearer tokens are accepted; off while there is neither key set nor secret.

    Attributes:
        issuer: required value of `iss`.
        audience: required value of `aud`.
        algorithm: the only algorithm that is accepted.
        jwks_file: key set of an asymmetric algorithm.
        shared_secret: secret of an HMAC algorithm.
    """

    issuer: str = ""
    audience: str = ""
    algorithm: Literal["RS256", "ES256", "EdDSA", "HS256"] = "RS256"
    jwks_file: Path | None = None
    shared_secret: SecretStr | None = None

    @property
    def is_enabled(self) -> bool:
        """Tell whether tokens are accepted at all.

        Returns:
            Whether there is something to check signatures with.
        """
        return self.jwks_file is not None or self.shared_secret is not None

    @model_validator(mode="after")
    def _check_pairing(self) -> Self:
        if not self.is_enabled:
            return self
        if not (self.issuer and self.audience):
            raise ValueError("tokens need an issuer and an audience to be checked against.")
        is_hmac = self.algorithm == "HS256"
        if is_hmac != (self.shared_secret is not None) or is_hmac == (self.jwks_file is not None):
            raise ValueError(
                f"algorithm {self.algorithm} needs {'shared_secret' if is_hmac else 'jwks_file'} "
                "and nothing else."
            )
        return self


class GatewaySettings(BaseSettings):
    """Everything the prediction API is told; nested names are joined by two underscores.

    Attributes:
        host: address to listen on.
        port: port to listen on; 0 for any that is free.
        trusted_proxies: addresses and networks of proxies that tell in X-Forwarded-For and
            X-Forwarded-Proto who calls, and how; those headers of others count for nothing.
        workers: processes that share the port.
        state_folder: SQLite file, spool and generated secrets.
        database_url: SQLAlchemy URL; empty for SQLite in the state folder.
        rules_file: business rules; empty for the defaults.
        key_secret: what API keys and console sessions are hashed and signed with; empty for one
            that is generated in the state folder.
        key_copy_hours: how old the keys of an earlier run may be, for a start while the database is
            down; 0 keeps none.
        unsafe_no_auth: everybody may do everything; refused unless `host` is loopback.
        deadline_seconds: time limit of one request, upload excluded.
        secure_cookies: mark the console's cookie as HTTPS only; off only for loopback.
        trace_endpoint: OTLP/HTTP endpoint that traces go to; empty for none.
        drift_report_file: where the drift monitor writes its newest report; the console shows it.
        drain_seconds: how long requests in flight may take after SIGTERM.
        model: the model server.
        fallback: what happens without it.
        upload: limits of uploads.
        throttle: limits of rates.
        admission: limits of concurrency.
        token: bearer tokens.
    """

    model_config = SettingsConfigDict(env_prefix=PREFIX, env_nested_delimiter="__", extra="forbid")

    host: str = "127.0.0.1"
    port: int = Field(default=8080, ge=0, le=65535)
    trusted_proxies: tuple[IPvAnyNetwork, ...] = (
        ipaddress.IPv4Network("127.0.0.1"),
        ipaddress.IPv6Network("::1"),
    )
    workers: int = Field(default=1, ge=1)
    state_folder: Path = Path("gateway-state")
    database_url: str = ""
    rules_file: Path | None = None
    key_secret: SecretStr | None = None
    key_copy_hours: float = Field(default=24.0, ge=0, le=168)
    unsafe_no_auth: bool = False
    deadline_seconds: float = Field(default=5.0, gt=0)
    secure_cookies: bool = True
    trace_endpoint: str = ""
    drift_report_file: Path | None = None
    drain_seconds: float = Field(default=20.0, ge=0)
    model: ModelServerSettings = ModelServerSettings()
    fallback: FallbackSettings = FallbackSettings()
    upload: UploadSettings = UploadSettings()
    throttle: ThrottleSettings = ThrottleSettings()
    admission: AdmissionSettings = AdmissionSettings()
    token: TokenSettings = TokenSettings()

    @model_validator(mode="after")
    def _check_safety(self) -> Self:
        if self.unsafe_no_auth and not is_loopback(self.host):
            raise ValueError(
                f"unsafe_no_auth is set and host is {self.host!r}, expected a loopback address "
                "such as 127.0.0.1. Create keys with `loupe keys create`, or listen on loopback."
            )
        if not self.secure_cookies and not is_loopback(self.host):
            raise ValueError(
                f"secure_cookies is off and host is {self.host!r}, expected a loopback address "
                "such as 127.0.0.1: over plain HTTP anybody on the way reads the console's cookie. "
                "Leave it on, and put TLS in front."
            )
        if any(not network.prefixlen for network in self.trusted_proxies):
            raise ValueError(
                "trusted_proxies holds a network of all addresses, expected those of proxies: "
                "anybody could claim any address. Name the proxies' own."
            )
        if self.workers > 1 and self.throttle.store == "memory":
            raise ValueError(
                f"workers is {self.workers} and throttle.store is 'memory', which is one bucket a "
                "process. Set LOUPE_GATEWAY_THROTTLE__STORE to database or redis."
            )
        return self

    @property
    def sqlalchemy_url(self) -> str:
        """Tell where the database is.

        Returns:
            An async SQLAlchemy URL.
        """
        return self.database_url or f"sqlite+aiosqlite:///{self.state_folder / 'gateway.db'}"


def load_settings(**overrides: Any) -> GatewaySettings:
    """Read the settings from the environment.

    Args:
        overrides: settings that count instead of the environment's.

    Returns:
        The checked settings.

    Raises:
        ConfigError: a bad value; it is not quoted, for it may be a secret.
    """
    try:
        return GatewaySettings(**overrides)
    except ValidationError as error:
        problems = "; ".join(
            f"{PREFIX}{'__'.join(str(part).upper() for part in problem['loc'])}: {problem['msg']}"
            if problem["loc"]
            else problem["msg"]
            for problem in error.errors(include_input=False)
        )
        raise ConfigError(f"settings of the prediction API: {problems}") from error
    except SettingsError as error:
        raise ConfigError(f"settings of the prediction API: {error}. Correct it.") from error


def is_loopback(host: str) -> bool:
    """Tell whether an address can only be reached from this machine.

    Args:
        host: a name or an address.

    Returns:
        Whether it is `localhost` or a loopback address.
    """
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False

"""Every setting of the service, read once by the composition roots and passed on as values."""

import os
from pathlib import Path
from typing import Any, Literal, Self
from zoneinfo import ZoneInfo

from pydantic import Field, SecretStr, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from app.money import exponent

PREFIX = "TESSERA_"
TEST_ONLY = ("TESSERA_TEST_",)


class Settings(BaseSettings):
    """Environment variables named TESSERA_<FIELD>, or the same names in a file called .env."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        env_file=".env",
        frozen=True,
        env_ignore_empty=True,
        # A misspelt TESSERA_ line in .env is refused; lines for other programs are none of our business.
        extra="forbid",
        dotenv_filtering="match_prefix",
    )

    home: Path = Field(Path(".tessera"), description="Folder of the embedded database and the secrets.")
    database_url: SecretStr | None = Field(
        None, description="Any PostgreSQL >= 16; when unset, the embedded one under TESSERA_HOME is used."
    )
    admin_key: SecretStr | None = Field(
        None, min_length=32, description="Optional first admin key, at least 32 characters; stored hashed."
    )
    secret: SecretStr | None = Field(
        None,
        min_length=32,
        description="Signs cursors, artifacts and tombstones. Made in TESSERA_HOME when unset and the "
        "database is embedded; required otherwise.",
    )
    reporting_currency: str = Field("USD", description="Currency that figures are reported in (ISO 4217).")
    reporting_timezone: str = Field("UTC", description="Time zone that days and months are cut in (IANA name).")
    log_format: Literal["json", "text"] = Field("json", description="json for machines, text for people.")
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="Least severity logged.")
    pool_size: int = Field(
        10, ge=1, le=100, description="Database connections of each process; keep the sum below the server's limit."
    )
    statement_timeout_seconds: float = Field(
        30, gt=0, le=3600, description="A request's statement that runs longer is cancelled and answered 503."
    )
    cpu_processes: int = Field(1, ge=1, le=64, description="Processes of the worker for CPU-bound work.")

    @field_validator("reporting_currency")
    @classmethod
    def _known_currency(cls, value: str) -> str:
        exponent(value)
        return value

    @field_validator("reporting_timezone")
    @classmethod
    def _known_timezone(cls, value: str) -> str:
        try:
            ZoneInfo(value)
        except (KeyError, OSError, ValueError) as error:
            raise ValueError(f"{value!r} is not an IANA time zone such as Europe/Berlin") from error
        return value

    @model_validator(mode="before")
    @classmethod
    def _leave_out_what_tests_read(cls, found: dict[str, Any]) -> dict[str, Any]:
        names = tuple(name.removeprefix(PREFIX).lower() for name in TEST_ONLY)
        return {name: value for name, value in found.items() if not name.startswith(names)}

    @model_validator(mode="after")
    def _secret_for_shared_databases(self) -> Self:
        if self.database_url is not None and self.secret is None:
            raise ValueError("TESSERA_SECRET is required when TESSERA_DATABASE_URL is set")
        return self

    @model_validator(mode="after")
    def _refuse_unknown(self) -> Self:
        known = {PREFIX + name.upper() for name in type(self).model_fields}
        unknown = sorted(
            name
            for name in os.environ
            if name.startswith(PREFIX) and name not in known and not name.startswith(TEST_ONLY)
        )
        if unknown:
            raise ValueError(f"unknown settings: {', '.join(unknown)}; known are {', '.join(sorted(known))}")
        return self

    @property
    def timezone(self) -> ZoneInfo:
        return ZoneInfo(self.reporting_timezone)

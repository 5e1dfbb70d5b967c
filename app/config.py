"""Every setting of the service, read once by the composition roots and passed on as values."""

import os
import re
from ipaddress import ip_network
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from zoneinfo import ZoneInfo

from pydantic import Field, SecretStr, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from app.money import exponent

PREFIX = "TESSERA_"
TEST_ONLY = ("TESSERA_TEST_",)
HOST = re.compile(r"[a-z0-9_][a-z0-9_.-]{0,252}")


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
    webhook_allow: Annotated[tuple[str, ...], NoDecode] = Field(
        (), description="Hosts and networks, by commas, that webhooks may reach though they are not public."
    )

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

    @field_validator("webhook_allow", mode="before")
    @classmethod
    def _hosts_and_networks(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        entries = tuple(entry.strip().lower() for entry in value.split(",") if entry.strip())
        for entry in entries:
            try:
                ip_network(entry)
            except ValueError as error:
                # What is spelled in digits or with a slash was meant as a network: it must not become a host's name.
                if HOST.fullmatch(entry) is None or entry.replace(".", "").isdigit():
                    raise ValueError(f"{entry!r} is no host name and no network such as 10.20.0.0/16") from error
        return entries

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

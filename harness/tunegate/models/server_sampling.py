"""The settings of sampling in a request to a server: OpenAI's API has `top_p`; vLLM, SGLang and llama.cpp have more."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from tunegate.exceptions import ConfigError
from tunegate.models.model import GenerationSettings
from tunegate.models.openai_client import OPENAI_HOST

FIELDS = {
    "top_p": ("top_p",),
    "top_k": ("top_k",),
    "min_p": ("min_p",),
    "typical_p": ("typical_p",),
    "repetition_penalty": ("repetition_penalty", "repeat_penalty"),
}
"""Setting to the names of its field; llama.cpp's server reads the second. Servers ignore or refuse unknown fields."""


def sampling_fields(settings: GenerationSettings, base_url: str, name: str) -> dict[str, Any]:
    """The fields of a request for the settings that are set; raises ConfigError for those that OpenAI's API lacks.

    >>> sampling_fields(GenerationSettings(top_k=5), "http://127.0.0.1/v1", "m")
    {'top_k': 5}
    """
    values = {setting: getattr(settings, setting) for setting in FIELDS}
    given = {setting: value for setting, value in values.items() if value is not None}
    lacking = [setting for setting in given if setting != "top_p"]
    if lacking and urlsplit(base_url).hostname == OPENAI_HOST:
        raise ConfigError(f"model {name}: {lacking[0]}: OpenAI's API does not have this setting; leave it out")
    return {field: value for setting, value in given.items() for field in FIELDS[setting]}


def check_not_refused(error: Exception, settings: GenerationSettings, name: str, reply: str) -> None:
    """Raise ConfigError if the server refused a request (400 or 422) because of a setting, which its reply names."""
    if getattr(error, "status_code", None) not in (400, 422):
        return
    for setting, fields in FIELDS.items():
        if getattr(settings, setting) is not None and any(field in reply for field in fields):
            raise ConfigError(
                f"model {name}: {setting}: the server refuses this setting; leave it out: {reply}"
            ) from error

"""Who can be asked: named model servers that speak the OpenAI protocol, and the ``provider/name`` of a model."""

import functools
import re
from collections.abc import Iterable, Mapping
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit

import msgspec

from chatbot_project.lib.egress import BadURL, check_url
from chatbot_project.lib.env import BadSetting

from .errors import LLMRefused

OPENAI_URL = "https://api.openai.com/v1"
NVIDIA_URL = "https://integrate.api.nvidia.com/v1"
OLLAMA_PORT = 11434
LOCAL_MODEL = "local/smollm2"
# What a built-in provider answers with until somebody chooses: small, cheap, and there for every account.
USUAL_MODELS = {"openai": "gpt-4o-mini", "nvidia": "meta/llama-3.1-8b-instruct", "ollama": "llama3.2"}


class Provider(msgspec.Struct, frozen=True):
    """A model server. ``base_url`` has no slash at its end; ``api_key`` is empty where none is needed."""

    name: str
    base_url: str
    api_key: str = ""

    @property
    def is_outside(self) -> bool:
        """Whether what it is sent leaves this installation's own machines and network."""
        return leads_outside(self.base_url)

    def __repr__(self) -> str:
        return f"Provider(name={self.name!r}, base_url={self.base_url!r})"


def providers_from_env(
    *,
    custom: Mapping[str, Any],
    openai_api_key: str = "",
    openai_base_url: str = "",
    ollama_host: str = "",
    nvidia_api_key: str = "",
    local_url: str = "",
) -> dict[str, Provider]:
    """The providers that these values describe, by name: ``openai``, ``nvidia``, ``ollama``, ``local`` and the custom
    ones.

    ``custom`` maps a name to ``{"base_url": …, "api_key": …}`` and wins over a built-in provider of that name. Raises
    ``BadSetting``, which names the variable and never a value.
    """
    found: dict[str, Provider] = {}
    if openai_api_key or openai_base_url:
        url = _checked_url("OPENAI_BASE_URL", openai_base_url or OPENAI_URL)
        found["openai"] = Provider("openai", url, openai_api_key)
    if nvidia_api_key:
        found["nvidia"] = Provider("nvidia", NVIDIA_URL, nvidia_api_key)
    if ollama_host:
        found["ollama"] = Provider("ollama", _ollama_url(ollama_host))
    if local_url:
        found["local"] = Provider("local", _checked_url("LOCAL_LLM_URL", local_url))
    for name, fields in custom.items():
        found[name] = _custom(name, fields)
    return found


def usual_model(registry: Mapping[str, Provider]) -> str:
    """The ``provider/name`` to use where none was chosen; the embedded model's where no built-in provider is set."""
    return next((f"{name}/{model}" for name, model in USUAL_MODELS.items() if name in registry), LOCAL_MODEL)


@functools.lru_cache(maxsize=256)
def leads_outside(url: str) -> bool:
    """Whether ``url`` names a machine beyond this one and its private network; for a name that tells neither, yes. By
    its form alone: nothing is looked up."""
    host = (urlsplit(url).hostname or "").rstrip(".")
    try:
        address = ip_address(host)
    except ValueError:
        return not (
            host == "localhost" or "." not in host or host.endswith((".localhost", ".local", ".internal", ".lan"))
        )
    return not (address.is_loopback or address.is_private or address.is_link_local)


def goes_outside(models: Iterable[str], registry: Mapping[str, Provider]) -> bool:
    """Whether any of ``models`` (``provider/name``) is asked beyond this installation. A provider that is not
    configured is asked nothing."""
    providers = (registry.get(ref.partition("/")[0]) for ref in models)
    return any(provider is not None and provider.is_outside for provider in providers)


def parse_model(ref: str, registry: Mapping[str, Provider]) -> tuple[Provider, str]:
    """``provider/name`` as the provider and the name, which may hold slashes itself. Raises ``LLMRefused``."""
    provider_name, slash, name = ref.partition("/")
    if not slash or not provider_name or not name:
        raise LLMRefused("A model is named provider/name.")
    provider = registry.get(provider_name)
    if provider is None:
        raise LLMRefused(f"No model provider named {provider_name} is configured.")
    return provider, name


def _custom(name: str, fields: Any) -> Provider:
    if not re.fullmatch(r"[a-z0-9][a-z0-9_-]{0,63}", name):
        raise BadSetting("LLM_PROVIDERS: a provider's name is made of a-z, 0-9, - and _.")
    variable = f"LLM_PROVIDERS, provider {name}"
    if not isinstance(fields, Mapping) or not isinstance(fields.get("base_url"), str):
        raise BadSetting(f'{variable}: expected {{"base_url": "https://…", "api_key": "…"}}.')
    unknown = set(fields) - {"base_url", "api_key"}
    if unknown:
        raise BadSetting(f"{variable}: only base_url and api_key are known.")
    key = fields.get("api_key") or ""
    if not isinstance(key, str) or not key.isprintable():
        raise BadSetting(f"{variable}: api_key must be a text.")
    return Provider(name, _checked_url(variable, fields["base_url"]), key)


def _ollama_url(host: str) -> str:
    """OLLAMA_HOST as Ollama's own tools read it: ``host``, ``host:port``, ``:port`` or a URL."""
    if "://" not in host:
        bare = host.rstrip("/")
        if bare.startswith(":"):
            bare = "127.0.0.1" + bare
        has_port = re.search(r":\d+$", bare) and (bare.count(":") == 1 or "]:" in bare)
        host = f"http://{bare}" if has_port else f"http://{bare}:{OLLAMA_PORT}"
    # What a server listens on is no address to call.
    host = re.sub(r"://(0\.0\.0\.0|\[::\])(?=[:/]|$)", "://127.0.0.1", host)
    url = _checked_url("OLLAMA_HOST", host)
    return url if url.endswith("/v1") else url + "/v1"


def _checked_url(variable: str, url: str) -> str:
    """The URL without a slash at its end. Raises ``BadSetting`` for one that nobody should send a key to."""
    try:
        check_url(url)
    except BadURL as error:
        raise BadSetting(f"{variable}: {error}.") from None
    return url.rstrip("/")

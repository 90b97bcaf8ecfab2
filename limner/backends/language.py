"""Language models by name: the rules, the embedded dialogue model, an OpenAI-compatible endpoint, or a local model."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from limner import rules
from limner.protocols import LanguageModel
from limner.types import BadInput, UnknownTask

OPENAI_URL = "https://api.openai.com/v1"
"""Where a bare `openai:` model is asked; OPENAI_BASE_URL names another server."""


def load_language_model(
    name: str,
    *,
    base_url: str | None = None,
    api_key: str | None = None,
    device: str = "cpu",
    timeout_s: float = 60.0,
    categories: Mapping[str, str] = rules.NO_CATEGORIES,
) -> LanguageModel:
    """Return the language model called `name`: `rules`, `embedded`, `openai:MODEL`, or `local:` with a folder,
    a hub id or a GGUF file.

    `base_url` and `api_key` are for the endpoint, `device` for the models on this machine, `categories` (singular
    noun -> broader noun) for the rules; `timeout_s` bounds a whole reply, retries included. No server is asked yet.
    `embedded` clarifies requests by the dialogue model that comes with Limner, and leaves all else to the rules.
    Raises BadInput for any other name and ModelUnavailable when a local model cannot be loaded.
    """
    kind, _, model = name.partition(":")
    if name == "rules":
        return RulesModel(categories)
    if name == "embedded":
        from limner.backends.dialogue import load_dialogue
        from limner.backends.hardware import plan

        return load_dialogue(plan=plan(device, "float32"), fallback=RulesModel(categories))
    if kind == "openai" and model:
        from limner.backends.language_endpoint import EndpointModel

        return EndpointModel(model, base_url or OPENAI_URL, api_key or "", timeout_s)
    if kind == "local" and model:
        from limner.backends.language_local import load_local

        return load_local(model, device=device, timeout_s=timeout_s)
    raise BadInput(
        f"unknown language model {name!r}",
        "rules, embedded, openai:MODEL, or local: with a folder, hub id or GGUF file",
    )


class RulesModel:
    """The rules behind the same door as every other language model: deterministic, no download."""

    name = "rules"

    def __init__(self, categories: Mapping[str, str] = rules.NO_CATEGORIES) -> None:
        self._categories = categories

    def reply(self, system: str, user: str, *, schema: dict[str, object], max_tokens: int = 512) -> str:
        """Answer a request of `writer` ("keywords", "generalise") as JSON.

        The rules cannot read `system`; they go by the request's "task". Raises UnknownTask for another task.
        """
        request: dict[str, Any] = json.loads(user)
        if request.get("task") == "keywords":
            return _answer(rules.extract_keywords(request["prompt"]))
        if request.get("task") == "generalise":
            return _answer([rules.generalise(keyword, self._categories) for keyword in request["keywords"]])
        raise UnknownTask("the rules know no answer to this", "use a language model, such as openai:MODEL")


def _answer(keywords: Sequence[str]) -> str:
    return json.dumps({"keywords": keywords})

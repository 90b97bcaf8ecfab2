"""A causal language model of transformers, on this machine."""

from __future__ import annotations

import time
from typing import Any

import torch

from limner.backends.causal import load_causal
from limner.types import LanguageModelFailed


def load_local(source: str, *, device: str = "cpu", timeout_s: float = 60.0) -> LocalModel:
    """Load `source`, a folder, a hub id or a GGUF file; `timeout_s` bounds a reply.

    Raises ModelUnavailable as `load_causal` does.
    """
    found = load_causal(source)
    return LocalModel(f"local:{source}", found.tokenizer, found.model.to(device).eval(), timeout_s)


class LocalModel:
    """A loaded model and its tokenizer. Greedy, with a key-value cache: the same request has the same reply."""

    def __init__(self, name: str, tokenizer: Any, model: Any, timeout_s: float) -> None:
        self.name = name
        self._tokenizer = tokenizer
        self._model = model
        self._timeout_s = timeout_s

    def reply(self, system: str, user: str, *, schema: dict[str, object], max_tokens: int = 512) -> str:
        """Answer in at most `max_tokens` tokens; `schema` is not enforced, the instructions name the shape.

        Raises LanguageModelFailed when the request leaves no room in the model's window or time runs out.
        """
        inputs = self._encoded(system, user)
        length = int(inputs["input_ids"].shape[1])
        window = int(getattr(self._model.config, "max_position_embeddings", None) or length + max_tokens)
        if length >= window:
            raise LanguageModelFailed(f"{self.name} reads {window} tokens and the request has {length}")
        started = time.monotonic()
        output = self._generate(inputs, min(max_tokens, window - length))
        if time.monotonic() - started > self._timeout_s:
            raise LanguageModelFailed(f"{self.name} did not finish within {self._timeout_s:g} s", "use a smaller model")
        return str(self._tokenizer.decode(output[0, length:], skip_special_tokens=True))

    def _encoded(self, system: str, user: str) -> Any:
        if self._tokenizer.chat_template is None:
            text = f"{system}\n\n{user}\n\n"
            return self._tokenizer(text, return_tensors="pt", verbose=False).to(self._model.device)
        # One message: some models' templates refuse the role «system».
        messages = [{"role": "user", "content": f"{system}\n\n{user}"}]
        return self._tokenizer.apply_chat_template(
            messages, add_generation_prompt=True, return_dict=True, return_tensors="pt"
        ).to(self._model.device)

    @torch.inference_mode()
    def _generate(self, inputs: Any, max_tokens: int) -> Any:
        return self._model.generate(
            input_ids=inputs["input_ids"],
            attention_mask=inputs["attention_mask"],
            max_new_tokens=max_tokens,
            max_time=self._timeout_s,
            do_sample=False,
            num_beams=1,
            use_cache=True,
            pad_token_id=self._tokenizer.pad_token_id or self._tokenizer.eos_token_id,
        )

"""Adapters that do not change weights but add a learned prefix to every prompt (prompt, prefix and P-tuning)."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from tunegate.models.decoding import cache_name
from tunegate.models.loading import hf_import


def prompted(model: Any) -> Any:
    """A model that answers like a PEFT model with a learned prefix, and takes the inputs of a plain model.

    PEFT adds the prefix before every input, even before a token that follows others in a cache. Here the prefix is
    computed once for a batch, as the start of the cache, and all other tokens come after it.
    """
    return _class()(model)


def _class() -> type[Any]:
    """The class, defined only when torch is installed."""
    torch = hf_import("torch")

    class Prompted(torch.nn.Module):
        begins_cache = True
        """Its first cache is its own, since the learned prefix is in it."""

        def __init__(self, adapted: Any) -> None:
            super().__init__()  # pyright: ignore[reportUnknownMemberType]
            self.adapted = adapted
            self.base: Any = adapted.get_base_model()
            self.cache_name = cache_name(self.base)
            self.config = adapted.config
            self.generation_config = adapted.generation_config
            self.virtual_tokens: int = adapted.active_peft_config.num_virtual_tokens

        @property
        def device(self) -> Any:
            return self.adapted.device

        @property
        def dtype(self) -> Any:
            return self.base.dtype

        def forward(
            self,
            input_ids: Any,
            attention_mask: Any,
            position_ids: Any,
            cache: Any = None,
            use_cache: bool = True,
            logits_to_keep: int = 0,
        ) -> Any:
            before = torch.ones(
                (len(input_ids), self.virtual_tokens), dtype=attention_mask.dtype, device=attention_mask.device
            )
            output = self.base(
                input_ids=input_ids,
                attention_mask=torch.cat([before, attention_mask], dim=1),
                position_ids=position_ids + self.virtual_tokens,
                use_cache=use_cache,
                logits_to_keep=logits_to_keep,
                **{self.cache_name: self._beginning(len(input_ids)) if cache is None else cache},
            )
            return SimpleNamespace(logits=output.logits, cache=getattr(output, self.cache_name))

        def _beginning(self, rows: int) -> Any:
            """The cache of the virtual tokens."""
            prompt = self.adapted.get_prompt(batch_size=rows)
            if not isinstance(prompt, torch.Tensor):
                return prompt  # prefix tuning learns the cache itself
            return getattr(self.base(inputs_embeds=prompt.to(self.dtype), use_cache=True), self.cache_name)

    return Prompted

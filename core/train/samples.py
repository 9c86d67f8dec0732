"""Samples of a run: the current model's greedy answers to the run's sample prompts."""

from typing import Any

import torch

from core.models.tokenizer import decode
from core.train.determinism import nondeterministic_allowed


def generate_answers(trainer: Any, questions: list[str], max_new_tokens: int) -> list[str]:
    """Return the current model's greedy answer to each question.

    Args:
        trainer: The StudioTrainer of the run, which has a renderer.
        questions: Prompts of one turn.
        max_new_tokens: Tokens per answer.
    """
    renderer = trainer.renderer
    prompts = [renderer.prompt_ids([{"role": "user", "content": question}]) for question in questions]
    # A layout of one row at a time means that the model reads a padded row differently from the row alone.
    batches = [[prompt] for prompt in prompts] if trainer.layout.kind == "single" else [prompts]
    base = trainer.model.get_base_model()
    used, was_training = base.config._attn_implementation, trainer.model.training
    trainer.model.eval()
    # Packed attention has no key-value cache.
    base.set_attn_implementation(trainer.layout.plain)
    try:
        with torch.no_grad(), trainer.compute_dtype_context(), nondeterministic_allowed():
            return [answer for batch in batches for answer in _generate(trainer, batch, max_new_tokens)]
    finally:
        base.set_attn_implementation(used)
        trainer.model.train(was_training)


def _generate(trainer: Any, prompts: list[list[int]], max_new_tokens: int) -> list[str]:
    """Return the answers to prompts given as token ids, generated as one batch."""
    tokenizer, base = trainer.processing_class, trainer.model.get_base_model()
    longest = max(map(len, prompts))
    # Padded on the left, so that all prompts end where answers begin: (prompts, longest).
    ids = torch.tensor([[trainer.pad_id] * (longest - len(p)) + p for p in prompts], device=trainer.model.device)
    mask = torch.tensor([[0] * (longest - len(p)) + [1] * len(p) for p in prompts], device=trainer.model.device)
    eos, ends = base.generation_config.eos_token_id, trainer.renderer.end_tokens
    model_ends = eos if isinstance(eos, list) else [eos]
    stops = {token for token in [*model_ends, tokenizer.eos_token_id, *ends.ids] if token is not None}
    out = trainer.model.generate(
        input_ids=ids, attention_mask=mask, max_new_tokens=max_new_tokens, do_sample=False,
        pad_token_id=trainer.pad_id, use_cache=True, eos_token_id=sorted(stops) or None,
        **({"stop_strings": list(ends.stop_strings), "tokenizer": tokenizer} if ends.stop_strings else {}),
    )  # fmt: skip
    return [decode_answer(tokenizer, ids, stops, ends.stop_strings) for ids in out[:, longest:].tolist()]


def decode_answer(tokenizer: Any, ids: list[int], ends: set[int], stops: tuple[str, ...]) -> str:
    """Return the text of generated tokens up to the first end token or stop string; what follows is padding."""
    end = next((at for at, token in enumerate(ids) if token in ends), len(ids))
    text = decode(tokenizer, ids[:end], skip_special_tokens=True)
    return text[: min((at for stop in stops if (at := text.find(stop)) >= 0), default=len(text))]

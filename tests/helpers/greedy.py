"""Greedy answers of transformers, one prompt at a time, as the reference for the studio's decoders."""

import torch


@torch.inference_mode()
def greedy_ids(model, prompt_ids: list[int], tokens: int, eos: int, guess: list[int], **forward) -> list[int]:
    """Return the tokens that `generate` answers greedily to a prompt, without the one that ends it.

    One pass over the prompt and a guess shows whether the guess is the answer: then each of its tokens is the model's
    likeliest at its position. A wrong guess costs a call of `generate`, and never changes what is returned.

    Args:
        model: A model of transformers or PEFT.
        prompt_ids: The prompt.
        tokens: The greatest number of new tokens.
        eos: The token that ends an answer.
        guess: The answer of the decoder under test.
        forward: More arguments of the pass over both.
    """
    ids = torch.tensor([[*prompt_ids, *guess]], device=model.device)
    if len(guess) <= tokens and eos not in guess:
        logits = model(input_ids=ids, use_cache=False, **forward).logits[0, -len(guess) - 1 :]
        *likeliest, following = logits.argmax(-1).tolist()
        if likeliest == guess and (len(guess) == tokens or following == eos):
            return guess
    prompt = torch.tensor([prompt_ids], device=model.device)
    out = model.generate(
        input_ids=prompt,
        attention_mask=torch.ones_like(prompt),
        do_sample=False,
        max_new_tokens=tokens,
        eos_token_id=eos,
    )
    new_ids = out[0, len(prompt_ids) :].tolist()
    return new_ids[:-1] if new_ids[-1] == eos else new_ids

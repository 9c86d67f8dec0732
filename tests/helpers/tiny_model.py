"""Llama small enough to train in a test, with random weights, and rows of random tokens."""

import torch
from transformers import LlamaConfig, LlamaForCausalLM

VOCABULARY = 512


def tiny_llama(seed: int = 0, attention: str = "sdpa", dtype: torch.dtype = torch.float32, **over) -> LlamaForCausalLM:
    """Return a Llama of 2 layers with grouped heads; `over` changes fields of its configuration."""
    torch.manual_seed(seed)
    shape = {
        "vocab_size": VOCABULARY,
        "hidden_size": 64,
        "intermediate_size": 128,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 2048,
        "pad_token_id": 0,
        "bos_token_id": 1,
        "eos_token_id": 2,
        "tie_word_embeddings": True,
    }
    config = LlamaConfig(**(shape | over), attn_implementation=attention)
    return LlamaForCausalLM(config).to(dtype)


def random_rows(lengths: list[int], prompt: int = 5, seed: int = 0) -> list[dict]:
    """Return tokenized rows as the trainer takes them; the first `prompt` tokens carry no loss."""
    generator = torch.Generator().manual_seed(seed)
    rows = []
    for number, length in enumerate(lengths):
        ids = torch.randint(3, VOCABULARY, (length,), generator=generator).tolist()
        rows.append({"row": number, "input_ids": ids, "labels": [-100] * prompt + ids[prompt:]})
    return rows


def pack_in_nf4(model, double=True, device="cpu"):
    """Pack the projections of a model in NF4, as bitsandbytes does on a device, and return the model."""
    from bitsandbytes.nn import Linear4bit, Params4bit

    for name, module in list(model.named_modules()):
        if isinstance(module, torch.nn.Linear) and name != "lm_head":
            made = Linear4bit(module.in_features, module.out_features, bias=False, quant_type="nf4")
            weight = Params4bit(module.weight.data, False, quant_type="nf4", compress_statistics=double)
            made.weight = weight._quantize(device)
            model.set_submodule(name, made)
    return model


def make_adapter(model, folder, rank, seed, targets="all-linear", rslora=False, scale=0.2):
    """Write an adapter of random weights, scaled, for a model into a folder, and return the folder."""
    from peft import LoraConfig, get_peft_model

    torch.manual_seed(seed)
    config = LoraConfig(
        r=rank, lora_alpha=2 * rank, target_modules=targets, task_type="CAUSAL_LM", init_lora_weights=False,
        use_rslora=rslora,
    )  # fmt: skip
    tuned = get_peft_model(model, config)
    for name, parameter in tuned.named_parameters():
        if "lora_" in name:
            parameter.data *= scale
    tuned.save_pretrained(folder)
    tuned.unload()
    return folder

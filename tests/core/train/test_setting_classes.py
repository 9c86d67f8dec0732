"""Every setting is classified: by its effect on the speed, on how the held-out loss is computed, and in a dry run.

A new setting needs a line in `CLASSES`, and the tests hold what the line says against the code that depends on it.
"""

from types import SimpleNamespace

from core.runs.comparability import held_out_setup_of
from core.runs.config import QLoRAConfig
from core.runs.time_estimate import _DECISIVE, _SIZES
from core.train.dry_run import _WITHOUT_EXTRAS

# Speed: by kind, so that a run with another value is no measure; by degree; or by the number of steps, rows and passes,
# which the estimate computes. "-" is none, or too little to matter.
KIND, DEGREE, COUNT = "speed by kind", "speed by degree", "computed"
# Held-out loss: a field of `HeldOutSetup`, or compared there by its result: the subset's rows, the number of tokens.
LOSS, RESULT = "other held-out loss", "compared by its result"
# A dry run, which has no held-out rows and no network, leaves it off.
OFF = "off in a dry run"
CLASSES = {
    "model": (KIND, RESULT, "-"),
    "revision": (KIND, RESULT, "-"),
    "quantization": (KIND, "-", "-"),
    "double_quantization": ("-", "-", "-"),
    "compute_dtype": (KIND, "-", "-"),
    "attention": (KIND, "-", "-"),
    "kernels": (KIND, "-", "-"),
    "lora_rank": (DEGREE, "-", "-"),
    "lora_alpha": ("-", "-", "-"),
    "lora_dropout": ("-", "-", "-"),
    "lora_targets": (KIND, "-", "-"),
    "lora_rslora": ("-", "-", "-"),
    "lora_dora": (KIND, "-", "-"),
    # A bias that is trained rules out the fused blocks, as DoRA does.
    "lora_bias": (KIND, "-", "-"),
    "lora_init": ("-", "-", "-"),
    "start_adapter": ("-", "-", "-"),
    "modules_to_save": (KIND, "-", "-"),
    "task": (KIND, LOSS, "-"),
    # Only for a classifier, where it changes the labels: test_comparability.
    "merge_labels": ("-", "-", "-"),
    "subset": (COUNT, RESULT, "-"),
    "held_out_share": (COUNT, LOSS, "-"),
    "chat_template": ("-", LOSS, "-"),
    "answers_only": ("-", LOSS, "-"),
    "neftune_alpha": ("-", "-", "-"),
    "learning_rate": ("-", "-", "-"),
    "scheduler": ("-", "-", "-"),
    "warmup_ratio": ("-", "-", "-"),
    "optimizer": ("-", "-", "-"),
    "adam_beta1": ("-", "-", "-"),
    "adam_beta2": ("-", "-", "-"),
    "weight_decay": ("-", "-", "-"),
    "max_grad_norm": ("-", "-", "-"),
    "loss": ("-", "-", "-"),
    "label_smoothing": ("-", "-", "-"),
    "max_length": (DEGREE, LOSS, "-"),
    "packing": (KIND, "-", "-"),
    "batch_size": (DEGREE, "-", "-"),
    "gradient_accumulation": (COUNT, "-", "-"),
    "gpus": (KIND, "-", "-"),
    "epochs": (COUNT, "-", "-"),
    "max_steps": (COUNT, "-", "-"),
    "gradient_checkpointing": (KIND, "-", "-"),
    "gpu_memory": ("-", "-", "-"),
    "seed": ("-", LOSS, "-"),
    "deterministic": ("-", "-", "-"),
    "eval_steps": (COUNT, "-", "-"),
    "eval_rows": (COUNT, LOSS, OFF),
    "save_steps": ("-", "-", "-"),
    "keep_checkpoints": ("-", "-", "-"),
    "keep_best": ("-", "-", OFF),
    "early_stopping": ("-", "-", "-"),
    "sample_prompts": ("-", "-", OFF),
    "sample_tokens": ("-", "-", "-"),
    "report_to": ("-", "-", OFF),
}


def having(name):
    return {setting for setting, classes in CLASSES.items() if name in classes}


def test_every_setting_is_classified():
    assert set(CLASSES) == set(QLoRAConfig.model_fields)


def test_speed_classes_are_those_of_the_time_estimate():
    assert having(KIND) == set(_DECISIVE)
    assert having(DEGREE) == set(_SIZES)


def test_dry_run_leaves_off_what_needs_rows_or_a_network():
    assert having(OFF) == set(_WITHOUT_EXTRAS)


def changed(name):
    value = getattr(QLoRAConfig(), name)
    other = not value if isinstance(value, bool) else value + 1 if isinstance(value, int | float) else f"not {value}"
    return QLoRAConfig().model_copy(update={name: other})


def test_settings_that_change_the_held_out_loss_make_it_incomparable():
    def measured(config, held_out):
        rows = SimpleNamespace(held_out=held_out, held_out_sha256="ab", sha256="abc")
        return held_out_setup_of(SimpleNamespace(subset=lambda: rows), config, None)

    # With held-out rows of the subset, and with those that the run chooses itself.
    different = {
        name
        for name in CLASSES
        for held_out in (0, 1000)
        if measured(changed(name), held_out) != measured(QLoRAConfig(), held_out)
    }
    assert different == having(LOSS)

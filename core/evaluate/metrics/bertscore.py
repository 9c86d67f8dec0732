"""BERTScore: how similar answer and reference are by the vectors that a model of the BERT family gives their tokens.

The package bert-score is optional (requirements-bert-score.txt), and its model must be on this machine. The model is
loaded by the studio, so only safetensors are read, and the package computes the score from it. Nothing is rescaled with
a baseline. torch is imported only when a scorer is made.
"""

import importlib.util
from collections.abc import Sequence
from typing import TYPE_CHECKING

from core.errors import StudioError
from core.models import catalogue
from core.models.catalogue import Model
from core.settings import Settings

if TYPE_CHECKING:
    import torch

INSTALL = "pip install -r requirements-bert-score.txt"
_BATCH_TEXTS = 32


class BertScorer:
    """A loaded model that scores answers.

    Attributes:
        note: The model, its layer and why it is this one, as a sentence.
    """

    def __init__(self, settings: Settings, name: str):
        """Load the model.

        Args:
            settings: The studio's settings.
            name: Name of a local model.

        Raises:
            StudioError: The package or the model is missing, or the model is not of the BERT family.
        """
        if importlib.util.find_spec("bert_score") is None:
            raise StudioError(f"The package bert-score is not installed. Install it with: {INSTALL}")
        model = catalogue.locate(settings, name)
        if not model.local:
            raise StudioError(
                f"The model {name!r} is not on this machine. Put its folder into {settings.models_dir}, and choose it."
            )
        layers = _count_layers(model)
        layer, why = _choose_layer(model.name, layers)
        self._model, self._tokenizer = _load(model)
        self._encoder = _layer_of(self._model, None if layer == layers else layer)
        self._device = next(self._model.parameters()).device
        self.note = f"BERTScore is computed with {model.name}, layer {layer} of {layers}, {why}."

    def score(self, answers: Sequence[str], references: Sequence[str]) -> list[float]:
        """Return the F-measure of each answer and its reference, times 100; 0 for an empty answer.

        Args:
            answers: The answers.
            references: Their references, none of them blank.
        """
        from bert_score.utils import bert_cos_score_idf

        written = [index for index, answer in enumerate(answers) if answer.strip()]
        scores = [0.0] * len(answers)
        if not written:
            return scores
        tokenizer = self._tokenizer
        # Every token counts the same, except the two that the model itself puts around a text.
        weights = _EqualWeights({tokenizer.cls_token_id: 0.0, tokenizer.sep_token_id: 0.0})
        chosen = [answers[index] for index in written], [references[index] for index in written]
        found = bert_cos_score_idf(
            self._encoder, chosen[1], chosen[0], tokenizer, weights, batch_size=_BATCH_TEXTS, device=self._device
        )
        for index, value in zip(written, found[:, 2].tolist(), strict=True):
            scores[index] = 100 * value
        return scores


class _EqualWeights(dict):
    """Weights of tokens: 1 unless given otherwise."""

    def __missing__(self, token: int) -> float:
        return 1.0


def _count_layers(model: Model) -> int:
    """Return the number of layers of a model of the BERT family.

    Raises:
        StudioError: It is another kind of model.
    """
    from transformers import AutoModelForMaskedLM

    from core.models.loading import read_config

    config = read_config(model)
    if type(config) not in AutoModelForMaskedLM._model_mapping or getattr(config, "is_encoder_decoder", False):
        raise StudioError(
            f"BERTScore needs a model of the BERT family, such as roberta-large; {model.name!r} is {config.model_type}."
        )
    return config.num_hidden_layers


def _choose_layer(name: str, layers: int) -> tuple[int, str]:
    """Return the layer whose vectors are compared, and why."""
    from bert_score.utils import model2layers

    known = {key.rpartition("/")[2]: layer for key, layer in model2layers.items()}
    if name in known and known[name] <= layers:
        return known[name], "which agrees best with people according to bert-score"
    return layers, "the last one, because bert-score knows no best layer of a model of this name"


def _load(model: Model) -> tuple["torch.nn.Module", object]:
    from transformers import AutoModel

    from core.models.loading import Precision, check_missing, read_weights

    base, missing = read_weights(model, Precision("none", compute_dtype="float32"), "auto", AutoModel)
    # The pooler reads the last layer for a classifier; it has no part in the score.
    check_missing(model, [name for name in missing if "pooler" not in name])
    tokenizer = base.tokenizer
    # bert-score truncates at this number, which many tokenizers do not state; RoBERTa keeps two positions for padding.
    positions = getattr(base.model.config, "max_position_embeddings", 512) - 2
    tokenizer.model_max_length = min(tokenizer.model_max_length, positions)
    return base.model.eval(), tokenizer


def _layer_of(model: "torch.nn.Module", layer: int | None) -> "torch.nn.Module":
    """Return a module whose first output is that of a layer of a model; None for the model itself."""
    import torch

    class LayerOutput(torch.nn.Module):
        """The model, up to one of its layers."""

        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, ids: torch.Tensor, attention_mask: torch.Tensor, **_: object) -> tuple[torch.Tensor]:
            """Return the vectors, (batch, tokens, hidden)."""
            found = model(ids, attention_mask=attention_mask, output_hidden_states=layer is not None)
            return (found[0] if layer is None else found.hidden_states[layer],)

    return LayerOutput()

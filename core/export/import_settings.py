"""Settings of an import of an adapter; the form, the command line and the documents are derived from them."""

from pydantic import BaseModel, ConfigDict, Field, SecretStr

from core.runs.config import QLoRAConfig
from core.runs.config.model import ComputeDType, Quantization

_RUN = QLoRAConfig.model_fields


class ImportSettings(BaseModel):
    """Settings of an import; the form and the command line are derived from them."""

    model_config = ConfigDict(extra="forbid")

    source: str = Field(title="Adapter", description="Hub id, owner/name, or a ZIP of an adapter's folder.")
    revision: str = Field("", title="Revision", description="Branch, tag or commit on the Hub. Empty: main.")
    base: str = Field(
        "", title="Base model",
        description="A local model or a Hub id. Empty: the one that the adapter names.",
    )  # fmt: skip
    quantization: Quantization = Field(
        _RUN["quantization"].default, title=_RUN["quantization"].title,
        description="Of the base model. Lanes share one copy of it, so choose that of the runs to compare with.",
    )  # fmt: skip
    compute_dtype: ComputeDType = Field(
        _RUN["compute_dtype"].default, title=_RUN["compute_dtype"].title, description=_RUN["compute_dtype"].description
    )
    token: SecretStr | None = Field(
        None, title="Token", description="With read access; empty: that of this machine. Used once, never saved."
    )

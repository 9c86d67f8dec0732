"""Settings of an export; the form, the command line and the documents are derived from them."""

from dataclasses import dataclass
from typing import Literal, get_args

from pydantic import BaseModel, ConfigDict, Field

Form = Literal["adapter", "merged", "gguf", "ollama"]
BaseWeights = Literal["as trained", "original"]
DType = Literal["bfloat16", "float16", "float32"]
GGUFType = Literal["F16", "BF16", "Q8_0", "Q5_1", "Q5_0", "Q4_0"]
GGUF_TYPES: tuple[GGUFType, ...] = get_args(GGUFType)


@dataclass(frozen=True)
class FormAbout:
    """Description of a form of export.

    Attributes:
        label: Name for the user.
        text: Who reads it, as a sentence.
        settings: Names of the settings that apply to it.
    """

    label: str
    text: str
    settings: tuple[str, ...]


FORMS: dict[Form, FormAbout] = {
    "adapter": FormAbout("Adapter (PEFT)", "A few megabytes, for PEFT beside the base model.", ()),
    "merged": FormAbout(
        "Merged model (safetensors)", "One model for transformers, vLLM, SGLang and TGI.",
        ("base", "dtype", "strength", "check_rows"),
    ),
    "gguf": FormAbout(
        "GGUF", "One file for llama.cpp, LM Studio and others.", ("base", "quantization", "strength", "check_rows")
    ),
    "ollama": FormAbout(
        "Ollama (GGUF and Modelfile)", "A ZIP that `ollama create` takes once it is unpacked.",
        ("base", "quantization", "strength", "check_rows"),
    ),
}  # fmt: skip


class ExportConfig(BaseModel):
    """Settings of an export."""

    model_config = ConfigDict(extra="forbid")

    form: Form = Field("adapter", title="Form", description="What the file holds, and who reads it.")
    base: BaseWeights = Field(
        "as trained", title="Base weights",
        description="The adapter is merged onto the base as the run saw it (quantized and dequantized), or onto the "
        "original weights. The first answers as it did here; the comparison shows how close the other comes.",
    )  # fmt: skip
    dtype: DType = Field(
        "bfloat16", title="Number format", description="Data type of the merged weights. float32 loses nothing."
    )
    quantization: GGUFType = Field(
        "Q8_0", title="GGUF type",
        description="Bits of the matrices: 16 (F16, BF16), 8, 5 or 4. Fewer bits make a smaller and less exact file.",
    )  # fmt: skip
    strength: float = Field(
        1.0, gt=0, le=4, title="Adapter strength", description="Factor of what was trained; 1 exports it as it is."
    )
    check_rows: int = Field(
        16, ge=0, le=256, title="Compared rows",
        description="Held-out rows on which the exported model is compared with the one here; 0 compares nothing.",
    )  # fmt: skip

    def file_name(self, stem: str) -> str:
        """Return the name of the file.

        Args:
            stem: Names the run and the adapter.
        """
        parts = [stem]
        if self.form != "adapter":
            parts.append(self.dtype if self.form == "merged" else self.quantization)
        if self.form == "ollama":
            parts.append("ollama")
        if self.form != "adapter" and self.base == "original":
            parts.append("original")
        if self.form != "adapter" and self.strength != 1:
            parts.append(f"x{self.strength:g}")
        return f"{'-'.join(parts)}.{'gguf' if self.form == 'gguf' else 'zip'}"

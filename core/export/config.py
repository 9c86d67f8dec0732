"""Settings of an export; the form, the command line and the documents are derived from them."""

from dataclasses import dataclass
from typing import Literal, Self, get_args

from pydantic import BaseModel, ConfigDict, Field, model_validator

Form = Literal["adapter", "gguf-adapter", "merged", "gguf", "ollama"]
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
    "gguf-adapter": FormAbout(
        "Adapter (GGUF)", "A few megabytes, for llama.cpp beside a GGUF file of the base model (--lora).", ("strength",)
    ),
    "merged": FormAbout(
        "Merged model (safetensors)", "One model for transformers, vLLM, SGLang and TGI.",
        ("base", "dtype", "strength", "check_rows"),
    ),
    "gguf": FormAbout(
        "GGUF", "One file for llama.cpp, LM Studio and others.", ("base", "quantization", "strength", "check_rows")
    ),
    "ollama": FormAbout(
        "Ollama (GGUF and Modelfile)", "A ZIP with a GGUF file and the Modelfile from which Ollama creates a model.",
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

    @model_validator(mode="after")
    def _agree(self) -> Self:
        """Refuse a setting that the form does not use."""
        for name in SETTINGS:
            field = ExportConfig.model_fields[name]
            if name not in FORMS[self.form].settings and getattr(self, name) != field.default:
                raise ValueError(f"{field.title} does not apply to the form {self.form}: leave it out")
        return self

    def file_name(self, stem: str) -> str:
        """Return the name of the file.

        Args:
            stem: Names the run and the adapter.
        """
        used, parts = FORMS[self.form].settings, [stem]
        parts += [str(getattr(self, name)) for name in ("dtype", "quantization") if name in used]
        if self.form in ("gguf-adapter", "ollama"):
            parts.append(self.form.removeprefix("gguf-"))
        if "base" in used and self.base == "original":
            parts.append("original")
        if "strength" in used and self.strength != 1:
            parts.append(f"x{self.strength:g}")
        return f"{'-'.join(parts)}.{'gguf' if self.is_one_file else 'zip'}"

    @property
    def is_one_file(self) -> bool:
        """Return whether the export is a GGUF file and no zip."""
        return self.form in ("gguf", "gguf-adapter")


# Names of the settings beside the form.
SETTINGS = tuple(name for name in ExportConfig.model_fields if name != "form")

"""Settings of an export; the form, the command line and the documents are derived from them."""

from dataclasses import dataclass
from hashlib import blake2b
from typing import Any, Literal, Self, get_args

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from core.export.parts import parse_parts

Form = Literal["adapter", "combined", "gguf-adapter", "merged", "merged-4bit", "gguf", "ollama", "mlx"]
BaseWeights = Literal["as trained", "original"]
Combination = Literal["cat", "svd", "linear"]
DType = Literal["bfloat16", "float16", "float32"]
# Types that the package `gguf` quantizes, and those that only llama.cpp does (`core.export.llama_quantize`).
_OwnType = Literal["F16", "BF16", "Q8_0", "Q5_1", "Q5_0", "Q4_0"]
_LlamaCppType = Literal[
    "Q6_K", "Q5_K_M", "Q5_K_S", "Q4_K_M", "Q4_K_S", "Q3_K_L", "Q3_K_M", "Q3_K_S", "Q2_K", "IQ4_NL", "IQ4_XS", "IQ3_M",
    "IQ3_S", "IQ3_XS", "IQ3_XXS", "IQ2_M", "IQ2_S", "IQ2_XS", "IQ2_XXS", "IQ1_M", "IQ1_S",
]  # fmt: skip
GGUFType = Literal[_OwnType, _LlamaCppType]
GGUF_TYPES: tuple[GGUFType, ...] = get_args(_OwnType)
LLAMA_CPP_TYPES: tuple[GGUFType, ...] = get_args(_LlamaCppType)
DTYPE_BYTES: dict[DType, int] = {"bfloat16": 2, "float16": 2, "float32": 4}
# Types that llama.cpp refuses to write without an importance matrix: their answers would be useless.
NEED_IMPORTANCE = ("IQ3_XS", "IQ3_XXS", "IQ2_M", "IQ2_S", "IQ2_XS", "IQ2_XXS", "IQ1_M", "IQ1_S")


@dataclass(frozen=True)
class FormAbout:
    """Description of a form of export.

    Attributes:
        label: Name for the user.
        text: What it is for, and which programs read it, as a sentence.
        settings: Names of the settings that apply to it.
    """

    label: str
    text: str
    settings: tuple[str, ...]


# Settings of further adapters that are combined with the exported one.
COMBINED = ("also", "combination", "weight")
_MERGED_SETTINGS = ("base", "dtype", "strength", *COMBINED, "check_rows")
_GGUF_SETTINGS = ("base", "quantization", "importance_rows", "strength", *COMBINED, "check_rows")
FORMS: dict[Form, FormAbout] = {
    "adapter": FormAbout("Adapter (PEFT)", "A few megabytes, for PEFT beside the base model.", ()),
    "combined": FormAbout(
        "Combined adapter (PEFT)", "Several adapters of one base model as one, for PEFT beside the base model.",
        ("strength", *COMBINED, "check_rows"),
    ),
    "gguf-adapter": FormAbout(
        "Adapter (GGUF)", "A few megabytes, for llama.cpp beside a GGUF file of the base model (--lora).",
        ("strength", *COMBINED),
    ),
    "merged": FormAbout(
        "Merged model (safetensors)", "One model for transformers, vLLM, SGLang and TGI.",
        _MERGED_SETTINGS,
    ),
    "merged-4bit": FormAbout(
        "Merged model in 4 bits (bitsandbytes)",
        "One model in NF4 for transformers and vLLM, about a quarter of the size. The merged weights are rounded to 4 "
        "bits once more after the training, so its answers change; the comparison shows how much.",
        _MERGED_SETTINGS,
    ),
    "gguf": FormAbout("GGUF", "One file for llama.cpp, LM Studio and others.", _GGUF_SETTINGS),
    "ollama": FormAbout(
        "Ollama (GGUF and Modelfile)", "A ZIP with a GGUF file and the Modelfile from which Ollama creates a model.",
        _GGUF_SETTINGS,
    ),
    "mlx": FormAbout(
        "Adapter (MLX)", "A few megabytes, for mlx-lm beside the base model, on a Mac. It was not run here.",
        ("strength", *COMBINED),
    ),
}  # fmt: skip

# Parts of file names that tell forms of the same settings apart.
_SUFFIXES: dict[Form, str] = {
    "combined": "combined",
    "gguf-adapter": "adapter",
    "merged-4bit": "nf4",
    "ollama": "ollama",
    "mlx": "mlx",
}


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
        "bfloat16", title="Number format",
        description="Data type of the merged weights. float32 loses nothing. In 4 bits: of what is not rounded, and of "
        "the products.",
    )  # fmt: skip
    quantization: list[GGUFType] = Field(
        ["Q8_0"], min_length=1, title="GGUF type",
        description="Bits of the matrices: 16 (F16, BF16), or the digit in the name. Fewer bits make a smaller and "
        "less exact file. Several types are written one after another and compared.",
    )  # fmt: skip
    importance_rows: int = Field(
        64, ge=0, le=1024, title="Importance rows",
        description="For K-quants and IQ types: rows of the run that show which inputs of each matrix matter, so that "
        "rounding spares them; 0 rounds all alike.",
    )  # fmt: skip
    strength: float = Field(
        1.0, gt=0, le=4, title="Adapter strength", description="Factor of what was trained; 1 exports it as it is."
    )
    also: list[str] = Field(
        [], max_length=16, title="Combine with",
        description="Further adapters of the same base model that are added to this one, as RUN=WEIGHT or "
        "RUN/step 20=WEIGHT; without a weight it is 1.",
    )  # fmt: skip
    combination: Combination = Field(
        "cat", title="Combination",
        description="cat is the exact sum, and its rank the sum of all ranks; svd the closest sum of the largest rank; "
        "linear adds the factors of equal ranks, which is rough.",
    )  # fmt: skip
    weight: float = Field(
        1.0, ge=-4, le=4, title="Own weight", description="Weight of this adapter beside those of Combine with."
    )
    check_rows: int = Field(
        32, ge=0, le=256, title="Compared rows",
        description="Held-out rows on which the exported model is compared with the one here; 0 compares nothing.",
    )  # fmt: skip

    @field_validator("quantization", mode="before")
    @classmethod
    def _as_list(cls, value: Any) -> Any:
        """Accept a single type that is not in a list."""
        return [value] if isinstance(value, str) else value

    @field_validator("also")
    @classmethod
    def _names_adapters(cls, value: list[str]) -> list[str]:
        """Refuse texts that name no adapter, and adapters that are named twice."""
        parse_parts(value)
        return value

    @model_validator(mode="after")
    def _agree(self) -> Self:
        """Refuse a setting that the form does not use, and types that do not go with the others."""
        for name in SETTINGS:
            field = ExportConfig.model_fields[name]
            if name not in FORMS[self.form].settings and getattr(self, name) != field.default:
                instead = ", or choose the form combined" if name in COMBINED and self.form == "adapter" else ""
                raise ValueError(f"{field.title} does not apply to the form {self.form}: leave it out{instead}")
        for name in COMBINED if not self.also else ():
            field = ExportConfig.model_fields[name]
            if getattr(self, name) != field.default:
                raise ValueError(f"{field.title} needs further adapters: name them in Combine with, or leave it out")
        if not self.weight:
            raise ValueError("Own weight is 0, which leaves this adapter out: export one of the others")
        if twice := [kind for kind in self.quantization if self.quantization.count(kind) > 1]:
            raise ValueError(f"GGUF type lists {twice[0]} twice: name it once")
        if needing := [kind for kind in self.quantization if kind in NEED_IMPORTANCE and not self.importance_rows]:
            raise ValueError(f"The GGUF type {needing[0]} needs an importance matrix: set Importance rows to 64")
        return self

    def of_type(self, kind: GGUFType) -> "ExportConfig":
        """Return the settings for one of the types."""
        return self.model_copy(update={"quantization": [kind]})

    @property
    def has_llama_cpp_types(self) -> bool:
        """Return whether llama.cpp must quantize."""
        return "quantization" in FORMS[self.form].settings and bool(set(self.quantization) & set(LLAMA_CPP_TYPES))

    def file_name(self, stem: str) -> str:
        """Return the name of the file; if several types are chosen, the name of the ZIP with their comparison.

        Args:
            stem: Beginning of the name, which names the run and the adapter.
        """
        used, parts = FORMS[self.form].settings, [stem]
        if self.also:
            mix = [self.combination, f"{self.weight:g}", *self.also]
            parts.append(f"mix-{blake2b(repr(mix).encode(), digest_size=3).hexdigest()}")
        is_comparison = "quantization" in used and len(self.quantization) > 1
        if "dtype" in used:
            parts.append(self.dtype)
        if "quantization" in used:
            parts.append("types" if is_comparison else self.quantization[0])
            if self.has_llama_cpp_types and not self.importance_rows:
                parts.append("no-imatrix")
        if suffix := _SUFFIXES.get(self.form):
            parts.append(suffix)
        if "base" in used and self.base == "original":
            parts.append("original")
        if "strength" in used and self.strength != 1:
            parts.append(f"x{self.strength:g}")
        return f"{'-'.join(parts)}.{'gguf' if self.is_one_file and not is_comparison else 'zip'}"

    @property
    def is_compared(self) -> bool:
        """Return whether the export is compared with the model as trained, if there are rows and memory for it."""
        return "check_rows" in FORMS[self.form].settings and self.check_rows > 0

    @property
    def is_adapter(self) -> bool:
        """Return whether the export is a folder that PEFT loads beside the base model."""
        return self.form in ("adapter", "combined")

    @property
    def is_model_folder(self) -> bool:
        """Return whether the export is a model in files of transformers."""
        return self.form in ("merged", "merged-4bit")

    @property
    def is_one_file(self) -> bool:
        """Return whether the export is a GGUF file and no zip."""
        return self.form in ("gguf", "gguf-adapter")


def most_bits(kind: GGUFType) -> int:
    """Return the bits per weight of a type of llama.cpp, at most."""
    # The digit of its name, and up to three for scales, wider blocks, and tensors of a larger type.
    return min(16, int(next(letter for letter in kind if letter.isdecimal())) + 3)


# Names of the settings beside the form.
SETTINGS = tuple(name for name in ExportConfig.model_fields if name != "form")

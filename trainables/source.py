"""Where a study's images come from. Torch-free; `trainables.data.dataset` reads them."""

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema, field_validator

BUILT_IN = ("digits", "cifar10", "cifar100", "parquet", "imagefolder")


def _validation(value: Any) -> Any:
    """Read `0.1`, `"0.1"`, `5000` or `"test"`."""
    valid = "a share such as 0.1, a number of images such as 5000, or test is needed"
    if value == "test":
        return value
    if isinstance(value, bool):
        raise ValueError(valid)
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        raise ValueError(valid) from None
    if 0 < number < 1:
        return number
    if number >= 1 and number.is_integer() and number < 2**53:
        return int(number)
    raise ValueError(valid)


Validation = Annotated[
    Annotated[float, Field(gt=0)] | Annotated[int, Field(gt=0)] | Literal["test"],
    BeforeValidator(_validation),
]
_Splits = Annotated[
    dict[str, Path],
    WithJsonSchema(
        {
            "type": "object",
            "properties": {"train": {"type": "string"}, "test": {"type": "string"}},
            "required": ["train", "test"],
            "additionalProperties": False,
        }
    ),
]


class Source(BaseModel):
    """The `data` block of a study."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    source: str = "digits"
    """digits (embedded), cifar10, cifar100 (torchvision), parquet, imagefolder, or
    package.module:function, which returns ((train_images, train_labels), (test_images,
    test_labels)) as arrays: uint8 N×H×W×3 (or N×H×W) and integers."""
    path: Path | _Splits | None = Field(
        default=None, examples=[{"train": "train.parquet", "test": "test.parquet"}]
    )
    """Folder or files of the data, relative to the study file. parquet: a folder, or {train: …,
    test: …} of a file, a folder or a pattern each."""
    validation: Validation = 0.1
    """Share or number of images carved once from train, class-stratified, before any fraction.
    `test` selects on the test set: only to reproduce studies that did."""

    @field_validator("path", mode="after")
    @classmethod
    def _name_both_splits(cls, path: Any) -> Any:
        if isinstance(path, dict) and set(path) != {"train", "test"}:
            raise ValueError(
                f"a train and a test entry are needed, not {', '.join(path) or 'none'}"
            )
        return path

    @property
    def is_function(self) -> bool:
        """Whether a user's own function returns the data."""
        return ":" in self.source

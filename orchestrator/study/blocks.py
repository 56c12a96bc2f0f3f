"""Experiment trackers that a study may feed beside its own records."""

from importlib.util import find_spec
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from orchestrator.study.refusals import Refused

_LIBRARIES = {"tensorboard": "tensorboardX", "mlflow": "mlflow", "wandb": "wandb"}


class _Settings(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


def _without_secret(uri: str) -> str:
    try:
        has_user = bool(urlsplit(uri).username or urlsplit(uri).password)
    except ValueError:
        raise Refused("no address; such as http://host:5000 or sqlite:///mlflow.db") from None
    if has_user:
        raise Refused(
            "user and password do not belong in a study file, which is kept with the results; "
            "set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD instead",
            value="(not shown)",
        )
    return uri


_Text = Annotated[str, Field(min_length=1)]


class TensorBoard(_Settings):
    """Event files, one folder per trial."""

    folder: _Text
    """Where they go, on the machine where the run works; a relative one starts there."""


class MLflow(_Settings):
    """One run per trial and pass, in one experiment."""

    uri: Annotated[_Text, AfterValidator(_without_secret)]
    """Of the tracking server or data base, such as http://host:5000 or sqlite:///mlflow.db."""
    experiment: _Text | None = None
    """By default the study's name."""


class Wandb(_Settings):
    """One run of Weights & Biases per trial, in one group; the key is taken from WANDB_API_KEY."""

    project: _Text
    """A project's name."""
    entity: _Text | None = None
    """User or team; by default the key's own."""
    mode: Literal["online", "offline"] = "online"
    """offline keeps the runs on disk for `wandb sync`."""


class Trackers(_Settings):
    """Experiment trackers, all off by default; their libraries are optional dependencies."""

    tensorboard: TensorBoard | None = None
    """Event files."""
    mlflow: MLflow | None = None
    """An MLflow server or data base."""
    wandb: Wandb | None = None
    """Weights & Biases."""

    def missing(self) -> dict[str, str]:
        """Return the library of each tracker named here that this Python lacks."""
        return {
            name: _LIBRARIES[name] for name in self.written() if not find_spec(_LIBRARIES[name])
        }

    def written(self) -> dict[str, Any]:
        """Return what a study file says of them."""
        return self.model_dump(mode="json", exclude_none=True)

"""A trained model as one file: its weights, its classes, and how an image is shown to it."""

import json
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path

import safetensors
import safetensors.torch
import torch
from pydantic import BaseModel, ConfigDict
from torch import Tensor, nn

from trainables.data.batches import Preparation
from trainables.data.pictures import decode
from trainables.data.reading import Item
from trainables.errors import WeightsError
from trainables.models.rehearsal import fresh_model
from trainables.recipe import Sides, Stem
from trainables.trial import Channels, Source
from trainables.vision import torchvision

_VERSION = 1
_FOREIGN = "is no model that `scalestudy export` wrote; export it again"


class About(BaseModel):
    """What a file says of the model that it holds."""

    model_config = ConfigDict(frozen=True, extra="ignore", protected_namespaces=())

    scalestudy: int = _VERSION
    model: str
    """torchvision's name, or a user's own as package.module:function."""
    stem: Stem
    classes: tuple[str, ...]
    normalization: Channels
    """Of inputs scaled to 0..1."""
    image_size: Sides
    """Height and width in pixels of what the model sees."""
    decoded_size: Sides
    """Height and width to which an image is decoded first."""
    fit: str = "crop"
    background: str = "white"
    range: tuple[float, float] | None = None
    """How an image gets its shape, its background and its grey levels, as in a study's `data`."""
    bits: int | None = None
    rescaled: bool = False
    """Whether GoogLeNet or Inception scale their inputs, as torchvision's weights expect."""
    accuracy: float | None = None
    """Test accuracy of the final epoch, 0 to 1."""
    trial_id: str = ""
    study: str = ""


class TrainedModel:
    """A trained classifier that names what an image shows.

    `chances` returns class probabilities (n, classes) of decoded images, uint8 (n, height, width,
    3), of the size that `about` says.
    """

    def __init__(self, about: About, chances: Callable[[Tensor], Tensor]) -> None:
        self.about, self._chances = about, chances

    @torch.inference_mode()
    def predict(self, image: str | Path | bytes) -> tuple[str, float]:
        """Return an image's class and its probability, 0 to 1; DataError: no image that is read."""
        about, content = self.about, image if isinstance(image, bytes) else Path(image)
        item = Item(str(image) if isinstance(content, Path) else "the image", content)
        values = [*about.range] if about.range else None
        source = Source(fit=about.fit, background=about.background, range=values)
        picture = decode(item, about.decoded_size, source, about.bits)
        chances = self._chances(torch.tensor(picture.pixels)[None])[0]
        place = int(chances.argmax())
        return about.classes[place], float(chances[place])


class _Network(nn.Module):
    def __init__(self, about: About, tensors: Mapping[str, Tensor]) -> None:
        super().__init__()
        count, sides = len(about.classes), about.image_size
        self.module = fresh_model(about.model, count, about.stem, sides, seed=0)
        if isinstance(self.module, torchvision.models.GoogLeNet | torchvision.models.Inception3):
            self.module.transform_input = about.rescaled
        self.module.load_state_dict(tensors)
        self.eval()
        means = list(about.normalization.mean), list(about.normalization.std)
        size = about.decoded_size, about.image_size
        self._prepared = Preparation(*means, *size, torch.device("cpu"))

    def forward(self, images: Tensor) -> Tensor:
        scores: Tensor = self.module(self._prepared(images).contiguous())
        return scores.softmax(1)


def write_model(file: Path, about: About, tensors: Mapping[str, Tensor]) -> None:
    """Write a model as safetensors or ONNX where the file's name ends so, else as torch.save does.

    Raises WeightsError where the packages of the extra `onnx` are absent.
    """
    said = about.model_dump(mode="json")
    metadata = {name: json.dumps(value) for name, value in said.items()}
    if file.suffix == ".safetensors":
        own = {name: values.contiguous().clone() for name, values in tensors.items()}
        safetensors.torch.save_file(own, file, metadata)
    elif file.suffix == ".onnx":
        images = torch.zeros(2, *about.decoded_size, 3, dtype=torch.uint8)
        try:
            program = torch.onnx.export(
                _Network(about, tensors),
                (images,),
                input_names=["images"],
                output_names=["probabilities"],
                dynamic_shapes=({0: torch.export.Dim("batch")},),
                dynamo=True,
                verbose=False,
            )
        except ImportError as error:
            raise WeightsError(f"{file} takes pip install 'scalestudy[onnx]' ({error})") from error
        if program is not None:
            program.model.metadata_props.update(metadata)
            program.save(file)
    else:
        torch.save({**said, "state_dict": dict(tensors)}, file)


def load_model(file: str | Path) -> TrainedModel:
    """Return the model of a file that `scalestudy export` wrote; no code in it is executed.

    Raises WeightsError where it is none, or not there, or onnxruntime is absent for one in ONNX.
    """
    place = Path(file)
    if not place.is_file():
        raise WeightsError(f"{file} is not there; `scalestudy export RUN --to {file}` writes it")
    if place.suffix == ".onnx":
        return _read_onnx(place)
    about = about_of(place)
    if about is None:
        raise WeightsError(f"{place} {_FOREIGN}")
    if place.suffix == ".safetensors":
        tensors = safetensors.torch.load_file(place)
    else:
        tensors = torch.load(place, "cpu", weights_only=True)["state_dict"]
    return TrainedModel(about, _Network(about, tensors))


def _read_onnx(file: Path) -> TrainedModel:
    try:
        import onnxruntime
    except ImportError as error:
        raise WeightsError(f"{file} takes pip install onnxruntime") from error
    try:
        session = onnxruntime.InferenceSession(file)
        said = session.get_modelmeta().custom_metadata_map
        about = About.model_validate({name: json.loads(value) for name, value in said.items()})
    except Exception as error:  # of a damaged file, or of another program's
        raise WeightsError(f"{file} {_FOREIGN}") from error
    return TrainedModel(
        about, lambda images: torch.from_numpy(session.run(None, {"images": images.numpy()})[0])
    )


def about_of(file: Path) -> About | None:
    """Return what a file says of its model; None of files that `export` did not write."""
    try:
        if not zipfile.is_zipfile(file):
            with safetensors.safe_open(file, "pt") as held:
                found = {name: json.loads(v) for name, v in (held.metadata() or {}).items()}
        else:
            with zipfile.ZipFile(file) as archive:
                names = [name for name in archive.namelist() if name.endswith("/data.pkl")]
                if not any(b"scalestudy" in archive.read(name) for name in names):
                    return None
            found = torch.load(file, "cpu", weights_only=True, mmap=True)
        return About.model_validate(found) if found.get("scalestudy") == _VERSION else None
    except Exception:
        # Whatever foreign or damaged bytes make of a reader; who reads the weights says it.
        return None

"""What was read rightly stays as it is: fingerprints, pixels and names of trials, pinned."""

import hashlib
import json
import shutil
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from trainables.data.dataset import decode_size, inspect, open_dataset
from trainables.recipe import Recipe
from trainables.trial import Source, Trial

PICTURES = Path(__file__).parent / "pictures"


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SCALESTUDY_CACHE", str(tmp_path / "cache"))


def photos(root: Path) -> Source:
    """PNG and JPEG of two shapes in two classes, as a folder."""
    for part, letters in (("train", "ab"), ("test", "ba")):
        for name, letter in zip(("cat", "dog"), letters, strict=True):
            (root / part / name).mkdir(parents=True)
            for kind in ("png", "jpg"):
                shutil.copy(PICTURES / f"{letter}.{kind}", root / part / name)
    return Source(source="imagefolder", path=root)


def table(root: Path) -> Source:
    """Squares of one size, as CIFAR lies in Parquet."""
    features = {"label": {"names": ["cat", "dog"], "_type": "ClassLabel"}}
    metadata = {"huggingface": json.dumps({"info": {"features": features}})}
    root.mkdir()
    for part, letters in (("train", "abab"), ("test", "ba")):
        images = [{"bytes": (PICTURES / f"{x}.png").read_bytes(), "path": None} for x in letters]
        values = {"img": images, "label": ["ab".index(x) for x in letters]}
        written = pa.table(values).replace_schema_metadata(metadata)
        pq.write_table(written, root / f"{part}-00000-of-00001.parquet")
    return Source(source="parquet", path=root)


@pytest.mark.parametrize(
    ("make", "side", "fingerprint", "pixels", "trial_id"),
    [
        (photos, 10, "e5dc10843d312aa75b4e6cd2eab9bb8c", "82133004a314d7c0", "70cb03dbdc25c586"),
        (table, None, "f16d592b8976305af805ff3a14804f8e", "61565124587af16c", "45ca50d8d9265966"),
        (table, 8, "f16d592b8976305af805ff3a14804f8e", "e9f08370cce4a49a", "64200cc6a7bdcb43"),
        (table, 16, "f16d592b8976305af805ff3a14804f8e", "61565124587af16c", "d74fb647dcf76e98"),
    ],
)
def test_reading_is_as_before(
    tmp_path: Path, make, side: int | None, fingerprint: str, pixels: str, trial_id: str
) -> None:
    source = make(tmp_path / "images")
    info, recipe = inspect(source), Recipe(epochs=2, image_size=side)
    data = open_dataset(source, info.fingerprint, decode_size(source, recipe.sides))
    content = data.train.images.tobytes() + data.test.images.tobytes()
    sizes = {"n_pool": 3, "n_classes": 2, "n_train": 3, "fraction": 1.0, "seed": 1}
    same = {"model": "resnet18", "weights": {}, "data": source, "recipe": recipe, **sizes}
    trial = Trial(fingerprint=info.fingerprint, **same)
    found = (info.fingerprint, hashlib.sha256(content).hexdigest()[:16], trial.trial_id)
    assert found == (fingerprint, pixels, trial_id)

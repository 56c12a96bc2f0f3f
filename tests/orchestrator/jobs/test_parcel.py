"""What is shipped with a study, and where its paths lead then."""

import hashlib
import json
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest
import yaml

from orchestrator.errors import StudyError
from orchestrator.jobs.parcel import LARGEST, Parcel, pack
from orchestrator.study.file import load_study
from orchestrator.study.inputs import find_inputs
from orchestrator.study.study import Study, study_from

DIGITS: dict[str, Any] = {"name": "tiny", "factors": {"model": ["resnet18", "resnet50"]}}


def put(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(name.encode())


def declared(**values: Any) -> Study:
    return study_from({**DIGITS, **values})


def rewritten(parcel: Parcel) -> Any:
    content = parcel.code["study.yaml"]
    assert isinstance(content, bytes)
    return yaml.safe_load(content)


@pytest.mark.parametrize("named", ["m.safetensors.index.json", "m-00001-of-00002.safetensors"])
def test_weights_in_parts_come_along_with_their_index(named: str, tmp_path: Path) -> None:
    files = [f"w/m-0000{part}-of-00002.safetensors" for part in (1, 2)]
    put(tmp_path, *files, "w/other.safetensors")
    index = {"weight_map": {"a": Path(files[0]).name, "b": Path(files[1]).name}}
    (tmp_path / "w/m.safetensors.index.json").write_text(json.dumps(index))
    weights = [{"mine": f"w/{named}"}]
    parcel = pack(declared(factors={"model": ["resnet18"], "weights": weights}), tmp_path)
    whole = sorted(f"files/0/{name}" for name in [*files, "w/m.safetensors.index.json"])
    assert sorted(parcel.files) == whole
    (tmp_path / "w/m.safetensors.index.json").write_text("{}")
    with pytest.raises(StudyError, match=r"weights mine: .* is no index of weights in parts"):
        pack(declared(factors={"model": ["resnet18"], "weights": weights}), tmp_path)


def test_weights_by_model_and_by_name(tmp_path: Path) -> None:
    put(tmp_path, "study/w/resnet18-c.pth", "study/w/resnet50-c.pth", "study/w/other.pth", "up.pth")
    weights = ["none", {"c": "w/{model}-c.pth"}, "../up.pth", "IMAGENET1K_V1", {"best": "DEFAULT"}]
    parcel = pack(
        declared(factors={"model": ["resnet18", "resnet50"], "weights": weights}),
        tmp_path / "study",
    )
    assert rewritten(parcel)["factors"]["weights"] == [
        "none",
        {"c": "files/0/w/{model}-c.pth"},
        # Its label, which tables and charts show, is still the path that the study names.
        {"../up.pth": "files/1/up.pth"},
        "IMAGENET1K_V1",
        {"best": "DEFAULT"},
    ]
    assert sorted(parcel.files) == [
        "files/0/w/resnet18-c.pth",
        "files/0/w/resnet50-c.pth",
        "files/1/up.pth",
    ]
    assert parcel.elsewhere == []


def test_weights_beside_a_module_come_along(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    put(tmp_path, "beside_m-faces.safetensors", "net-faces.safetensors", "net-other.safetensors")
    (tmp_path / "beside_m.py").write_text("def net(n): ...\n")
    study = declared(factors={"model": ["beside_m:net"], "weights": ["none", "faces"]})
    shipped = set(pack(study, tmp_path).code)
    assert {"beside_m.py", "net-faces.safetensors"} <= shipped
    assert not any("other" in name or "m-faces" in name for name in shipped)


def test_folders_and_patterns_of_data(tmp_path: Path) -> None:
    put(tmp_path, "d/train/a/1.png", "d/train/a/.gitignore", "d/test/a/2.png", "d/.git/x")
    folder = pack(declared(data={"source": "imagefolder", "path": "d"}), tmp_path)
    assert rewritten(folder)["data"]["path"] == "files/0/d"
    assert sorted(folder.files) == ["files/0/d/test/a/2.png", "files/0/d/train/a/1.png"]

    put(tmp_path, "p/train-1.parquet", "p/train-2.parquet", "p/test.parquet", "p/notes.txt")
    path = {"train": "p/train-*.parquet", "test": "p/test.parquet"}
    pattern = pack(declared(data={"source": "parquet", "path": path}), tmp_path)
    assert rewritten(pattern)["data"]["path"] == {
        "train": "files/0/p/train-*.parquet",
        "test": "files/0/p/test.parquet",
    }
    assert sorted(pattern.files) == [
        "files/0/p/test.parquet",
        "files/0/p/train-1.parquet",
        "files/0/p/train-2.parquet",
    ]


def test_absolute_paths_are_the_clusters(tmp_path: Path) -> None:
    put(tmp_path, "here.pth")
    weights = [{"x": "/shared/{model}.pth"}, {"here": str(tmp_path / "here.pth")}]
    parcel = pack(
        declared(
            data={"source": "cifar10", "path": "/shared/cifar"},
            factors={"model": ["resnet18"], "weights": weights},
        ),
        tmp_path,
    )
    assert parcel.files == {}
    assert parcel.elsewhere == ["/shared/cifar", "/shared/resnet18.pth", str(tmp_path / "here.pth")]
    assert rewritten(parcel)["data"]["path"] == "/shared/cifar"
    assert rewritten(parcel)["factors"]["weights"][0] == {"x": "/shared/{model}.pth"}


def test_what_is_not_there(tmp_path: Path) -> None:
    put(tmp_path, "w/resnet18.pth")
    weights = [{"mine": "w/{model}.pth"}]
    with pytest.raises(StudyError, match=r"factors.weights: mine: w/resnet50.pth is not there"):
        pack(declared(factors={"model": ["resnet18", "resnet50"], "weights": weights}), tmp_path)
    with pytest.raises(StudyError, match=r"data.path: gone is not there"):
        pack(declared(data={"source": "imagefolder", "path": "gone"}), tmp_path)


def test_a_simulation_takes_no_files(tmp_path: Path) -> None:
    simulated = declared(
        trainable="simulated",
        data={"source": "imagefolder", "path": "gone"},
        factors={"weights": ["none", "gone.pth"]},
    )
    assert pack(simulated, tmp_path).files == {}


def test_too_large(tmp_path: Path) -> None:
    put(tmp_path, "big.pth", "small.pth")
    with (tmp_path / "big.pth").open("wb") as file:
        file.truncate(LARGEST - 2**19)
    (tmp_path / "small.pth").write_bytes(bytes(2**21))
    parcel = pack(declared(factors={"weights": ["big.pth", "small.pth"]}), tmp_path)
    with pytest.raises(StudyError) as refused:
        parcel.check_size()
    message = str(refused.value)
    assert "\n" not in message
    assert f"{len(parcel.code) + 2} files of 10" in message
    assert "largest: big.pth (99.5 MiB), small.pth (2.0 MiB), " in message
    assert "by absolute path" in message
    pack(declared(factors={"weights": ["small.pth"]}), tmp_path).check_size()


def test_the_archive_is_no_larger_than_was_counted_and_always_the_same(tmp_path: Path) -> None:
    put(tmp_path, "w.pth")
    parcel = pack(declared(factors={"weights": ["w.pth"]}), tmp_path)
    digests = set()
    for name in ("1.zip", "2.zip"):
        parcel.write(tmp_path / name)
        digests.add(hashlib.sha256((tmp_path / name).read_bytes()).hexdigest())
        (tmp_path / "w.pth").touch()
    assert len(digests) == 1
    assert (tmp_path / "1.zip").stat().st_size <= parcel.size


def test_an_unpacked_parcel_runs_by_itself(tmp_path: Path) -> None:
    parcel = pack(declared(), tmp_path)
    parcel.write(tmp_path / "parcel.zip")
    with zipfile.ZipFile(tmp_path / "parcel.zip") as archive:
        archive.extractall(tmp_path / "there")
    asked = (
        "import orchestrator, trainables, results, importlib.metadata as m; "
        "print(orchestrator.__file__, m.version('scalestudy'), len(m.requires('scalestudy')) > 9)"
    )
    done = subprocess.run(
        [sys.executable, "-c", asked],
        capture_output=True,
        text=True,
        check=True,
        cwd=tmp_path / "there",
        env={"PATH": "", "PYTHONPATH": ""},
    )
    file, version, knows_needs = done.stdout.split()
    assert file == str(tmp_path / "there" / "orchestrator" / "__init__.py")
    assert (version, knows_needs) == ("0.1.0", "True")


def test_the_shipped_study_is_the_same_study(tmp_path: Path) -> None:
    """Trials keep their names: a submitted study goes on from what was recorded elsewhere."""
    values = {
        "name": "tiny",
        "trainable": "simulated",
        "factors": {"weights": ["none", "w.pth"], "fraction": [0.25, 100], "stem": ["standard"]},
        "recipe": {"steps": 40, "evaluations": 4},
        "search": {"lr": [1e-3, 1e-2]},
        "seeds": [3],
        "resources": {"gpu": "1/3"},
    }
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(values))
    parcel = pack(study_from(values), tmp_path)
    (tmp_path / "shipped.yaml").write_bytes(parcel.code["study.yaml"])  # type: ignore[arg-type]
    ours, theirs = load_study(tmp_path / "study.yaml"), load_study(tmp_path / "shipped.yaml")
    names = [
        [
            find_inputs(study).trial(study, cell, study.recipe_of(cell), seed=3).trial_id
            for cell in study.cells()
        ]
        for study in (ours, theirs)
    ]
    assert names[0] == names[1]
    assert len(set(names[0])) == 4

"""The command: exit codes, one document on standard output, one message on standard error."""

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import forks
import pytest
from studies import PLAIN, SEARCHED, write

from orchestrator.commands import app as cli
from orchestrator.study.file import load_study
from orchestrator.study.presets import preset_names
from results.store.store import Store

ROOT = Path(__file__).parents[3]


@dataclass
class Ended:
    """What a command came to."""

    code: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        """The one JSON document on standard output; NaN is none."""

        def refuse(constant: str) -> Any:
            raise AssertionError(f"{constant} is no JSON")

        return json.loads(self.out, parse_constant=refuse)


class Command:
    """The command, in this process and in a folder of its own."""

    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.folder, self._capsys = folder, capsys

    def study(self, values: Any, name: str = "s.yaml") -> str:
        return str(write(self.folder / name, values))

    def __call__(self, *words: str) -> Ended:
        self._capsys.readouterr()
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(sys, "argv", ["scalestudy", *words])
            patch.chdir(self.folder)
            with pytest.raises(SystemExit) as ended:
                cli.main()
        printed = self._capsys.readouterr()
        assert "Traceback" not in printed.err
        return Ended(int(ended.value.code or 0), printed.out, printed.err)


@pytest.fixture
def scalestudy(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Command:
    return Command(tmp_path, capsys)


def here(*words: str) -> tuple[str, ...]:
    return ("run", *words, "--address", "none", "--no-report")


# Sound studies.


def test_from_plan_to_status(scalestudy: Command) -> None:
    file = scalestudy.study(SEARCHED)
    planned = scalestudy("plan", file, "--json")
    assert planned.code == 0
    assert planned.document["trials"]["new"] == 40
    assert not (scalestudy.folder / "runs").exists()

    ran = scalestudy(*here(file, "--json"))
    assert (ran.code, ran.document["exit_code"], ran.document["out"]) == (0, 0, "runs/small")
    assert sum(ran.document["counts"].values()) == 40
    assert "trials" not in ran.out.splitlines()[0]
    assert "100 %" in ran.err

    status = scalestudy("status", "runs/small", "--json")
    assert status.code == 0
    assert (status.document["share_done"], status.document["running"]) == (1.0, False)
    assert status.document["trials"] == ran.document["counts"]
    assert [cell["state"] for cell in status.document["cells"]] == ["completed"] * 4
    assert "small · weights none" in scalestudy("status", "runs/small").out

    again = scalestudy("plan", file, "--json")
    assert (again.document["trials"]["new"], again.document["trials"]["reused"]) == (0, 40)
    assert "complete: runs/small" in scalestudy(*here(file)).out


def test_out_and_settings(scalestudy: Command) -> None:
    file = scalestudy.study(PLAIN)
    words = (file, "--out", "elsewhere", "--set", "recipe.epochs=1", "--set", "seeds=[5]")
    assert scalestudy(*here(*words)).code == 0
    store = Store(scalestudy.folder / "elsewhere")
    assert store.study()["recipe"]["epochs"] == 1
    assert set(store.read("trials")["seed"].to_pylist()) == {5}
    # What a run leaves as study.yaml is a study file that asks for the same.
    resolved = str(store.study_file)
    assert scalestudy("plan", resolved, "--out", "elsewhere", "--json").document["trials"] == {
        "wanted": 4,
        "wanted_at_most": 4,
        "recorded": 4,
        "new": 0,
        "reused": 4,
        "continued": 0,
        "borrowed": 0,
        "orphaned": 0,
    }


def test_the_report_is_written_also_of_a_study_that_failed_wholly(scalestudy: Command) -> None:
    factors = {"model": ["a"], "fraction": [1]}
    file = scalestudy.study({**PLAIN, "factors": factors, "recipe": {"epochs": 3, "lr": 0.5}})
    ran = scalestudy("run", file, "--address", "none", "--json")
    assert ran.code == 3
    assert Path(scalestudy.folder / ran.document["report"]).is_file()
    assert len(ran.document["failed"]) == 2
    assert ran.document["incomplete"] == ["a × none × 1"]


def test_failed_trials_are_named_and_how_to_go_on(scalestudy: Command) -> None:
    values = {**PLAIN, "factors": {"model": ["a"], "lr": [1e-3, 0.5]}, "seeds": [0]}
    ran = scalestudy(*here(scalestudy.study(values)))
    assert ran.code == 3
    words = " ".join(ran.out.split())
    assert "failed: a × none × 1 × lr 0.5, seed 0 (" in words
    assert "diverged: the loss is not finite at epoch 2, step 1" in words
    assert "1 incomplete cell: a × none × 1 × lr 0.5" in words
    assert "trains only what is missing" in words
    status = scalestudy("status", "runs/small")
    assert "failed: a × none × 1 × lr 0.5: diverged" in " ".join(status.out.split())


def test_init_writes_studies_that_load(scalestudy: Command) -> None:
    assert "demo" in preset_names()
    for name in preset_names():
        file = scalestudy.folder / f"{name}.yaml"
        written = scalestudy("init", str(file), "--preset", name)
        assert (written.code, f"scalestudy plan {file}" in written.out) == (0, True)
        assert load_study(file).name
    again = scalestudy("init", str(scalestudy.folder / "demo.yaml"))
    assert (again.code, "there already" in again.err) == (2, True)
    other = scalestudy("init", "new.yaml", "--preset", "imagenet")
    assert (other.code, "valid are demo" in other.err) == (2, True)


# What cannot be done.


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("plan", "absent.yaml"), 2, "absent.yaml: cannot be read"),
        (("run", "absent.yaml"), 2, "absent.yaml: cannot be read"),
        (("status", "absent"), 1, "absent: no study has run here"),
        (("report", "absent"), 1, "absent: no study has run here"),
        (("clean", "absent"), 1, "absent: no"),
        (("plan", "s.yaml", "--set", "recipe.epochs=x"), 2, "s.yaml: recipe.epochs: 'x'"),
        (("plan", "s.yaml", "--set", "nonsense"), 2, "--set nonsense: key=value is needed"),
        (("plan", "s.yaml", "--out", "s.yaml"), 2, "--out s.yaml: a file is there"),
        (("plan", "s.yaml", "--set", "factors.fraction=[3]"), 2, "s.yaml: factors.fraction: 3"),
        (("plan",), 2, "Missing argument"),
        (("plan", "s.yaml", "--frob"), 2, "No such option: --frob"),
        (("run", "s.yaml", "--max-parallel", "0"), 2, "--max-parallel"),
        (("frobnicate",), 2, "No such command"),
    ],
)
def test_refusals(scalestudy: Command, words: tuple[str, ...], code: int, said: str) -> None:
    scalestudy.study(PLAIN)
    plain = scalestudy(*words)
    assert (plain.code, plain.out) == (code, "")
    assert said in " ".join(plain.err.split())
    document = scalestudy(*words, "--json")
    assert document.code == code
    assert document.document["exit_code"] == code
    assert said in " ".join(document.document["error"].split()) or code == 2
    assert [*scalestudy.folder.iterdir()] == [scalestudy.folder / "s.yaml"]


def test_errors_are_told_apart_by_their_type(monkeypatch: pytest.MonkeyPatch) -> None:
    class Lookalike(Exception):
        """A bug of some library, with the methods of bad usage."""

        def format_message(self) -> str:
            raise AssertionError

        def show(self) -> None:
            raise AssertionError

    def broken(**_: object) -> None:
        raise Lookalike

    monkeypatch.setattr(cli, "app", broken)
    with pytest.raises(Lookalike):
        cli.main()


def test_a_directory_of_another_study_is_not_touched(scalestudy: Command) -> None:
    assert scalestudy(*here(scalestudy.study(PLAIN), "--out", "out")).code == 0
    out = scalestudy.folder / "out"
    before = kept(out)
    other = scalestudy.study({**PLAIN, "name": "other"}, "other.yaml")
    for command in ("plan", "run"):
        refused = scalestudy(command, other, "--out", "out")
        assert refused.code == 2
        assert "belongs to another study (name small, not other)" in refused.err
    assert kept(out) == before


def kept(out: Path) -> dict[Path, tuple[bytes, int]]:
    """Return content and time of every file, but for what a merge replaced, which is soon gone."""
    files = [file for file in out.rglob("*.*") if ".old" not in str(file) and file.is_file()]
    return {file: (file.read_bytes(), file.stat().st_mtime_ns) for file in files}


def test_a_damaged_study_file_of_a_run(scalestudy: Command) -> None:
    assert scalestudy(*here(scalestudy.study(PLAIN))).code == 0
    store = Store(scalestudy.folder / "runs" / "small")
    for content in (b"\xff\xfe", b"- a list", b"name: [", b""):
        store.study_file.write_bytes(content)
        ended = scalestudy("status", "runs/small", "--json")
        assert (ended.code, "study.yaml" in ended.document["error"]) == (1, True)
    # Odd, but a study: shown as far as it goes.
    store.study_file.write_text("note: not much\n")
    assert scalestudy("status", "runs/small", "--json").document["name"] == "small"


@pytest.mark.parametrize(
    ("change", "parts"),
    [
        ({"factors": {"model": ["resnet81"]}}, ["resnet81", "resnet18"]),
        ({"factors": {"weights": ["IMAGENET1K_V7"]}}, ["IMAGENET1K_V7", "IMAGENET1K_V1"]),
        ({"factors": {"weights": [{"mine": "absent.pth"}]}}, ["mine", "absent.pth"]),
        ({"factors": {"model": ["absent.module:net"]}}, ["absent.module"]),
        ({"trainable": "absent.module:Net"}, ["trainable", "absent.module"]),
        ({"trainable": "json:Nett"}, ["trainable", "json"]),
        ({"data": {"source": "imagefolder", "path": "absent"}}, ["absent"]),
        ({"data": {"source": "parquet"}}, ["path"]),
        ({"data": {"source": "absent.module:load"}}, ["absent.module"]),
        ({"recipe": {"stem": "cifar"}, "factors": {"model": ["vgg11"]}}, ["stem", "vgg11"]),
    ],
)
def test_what_a_study_names_and_cannot_be_had(
    scalestudy: Command, change: dict[str, Any], parts: list[str]
) -> None:
    file = scalestudy.study({"name": "s", **change})
    for command in ("plan", "run"):
        refused = scalestudy(command, file, "--json")
        assert refused.code == 2
        message = refused.document["error"]
        assert message.startswith(f"{file}: ")
        for part in parts:
            assert part in message
    assert [entry.name for entry in scalestudy.folder.iterdir()] == ["s.yaml"]


def test_what_nothing_needs_is_told_and_removed(scalestudy: Command) -> None:
    scalestudy(*here(scalestudy.study(PLAIN)))
    store = Store(scalestudy.folder / "runs" / "small")
    # A slow run writes many parts, and leaves what merging them replaced.
    for replaced in store.root.glob(".*.old"):
        shutil.rmtree(replaced)
    for folder in (store.checkpoints / "unknown", store.damaged):
        folder.mkdir(parents=True)
        (folder / "x").write_bytes(bytes(2048))
    told = scalestudy("clean", "runs/small")
    assert (told.code, "2 items, 4.0 KiB in all" in told.out, "add --yes" in told.err) == (
        2,
        True,
        True,
    )
    items = scalestudy("clean", "runs/small", "--json").document["items"]
    assert [(item["bytes"], item["reason"][:20]) for item in items] == [
        (2048, "the study as last ru"),
        (2048, "a damaged part that "),
    ]
    assert scalestudy("clean", "runs/small", "--yes", "--json").document["removed"]
    assert scalestudy("clean", "runs/small", "--json").document["items"] == []


def test_a_copied_part_is_said_counts_once_and_is_set_aside(scalestudy: Command) -> None:
    study = scalestudy.study(PLAIN)
    scalestudy(*here(study))
    store = Store(scalestudy.folder / "runs" / "small")
    before = scalestudy("status", "runs/small", "--json").document
    assert before["problems"] == []
    for table in ("trials", "epochs"):
        part = store.parts(table)[0]
        shutil.copy(part, part.with_name(f"{part.stem} (copy).parquet"))
    for command in ("status", "report"):
        told = scalestudy(command, "runs/small")
        assert told.code == 0
        assert told.err.count("there twice") == 2
        assert told.err.count("`scalestudy run` sets aside") == 1
    after = scalestudy("status", "runs/small", "--json").document
    assert len(after.pop("problems")) == 2
    assert after == {key: value for key, value in before.items() if key != "problems"}
    ran = scalestudy(*here(study))
    assert ran.code == 0
    assert len([*store.damaged.iterdir()]) == 2
    assert scalestudy("status", "runs/small", "--json").document["problems"] == []


# In processes of their own.


def process(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "orchestrator", *words],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
        env={**os.environ, **environment},
    )


def imported(done: subprocess.CompletedProcess[str]) -> set[str]:
    """Return the top-level packages that a process imported."""
    lines = [line for line in done.stderr.splitlines() if line.startswith("import time:")]
    return {line.rpartition("|")[2].strip().partition(".")[0] for line in lines}


def test_help_loads_nothing_heavy() -> None:
    done = process("--help")
    assert done.returncode == 0
    for command in ("init", "plan", "run", "status", "report", "clean"):
        assert f"  {command} " in done.stdout
    heavy = {"torch", "ray", "pyarrow", "pandas", "numpy", "pydantic", "matplotlib", "trainables"}
    assert not imported(done) & heavy


def test_status_and_report_need_neither_torch_nor_ray(scalestudy: Command) -> None:
    one_cell = {**PLAIN, "factors": {"model": ["a"], "fraction": [1]}}
    assert scalestudy(*here(scalestudy.study(one_cell))).code == 0
    out = str(scalestudy.folder / "runs" / "small")
    for command in ("status", "report"):
        done = process(command, out)
        assert done.returncode == 0
        assert not imported(done) & {"torch", "torchvision", "ray"}


def test_planning_a_simulation_needs_neither(scalestudy: Command) -> None:
    done = process("plan", scalestudy.study(PLAIN), "--json")
    assert done.returncode == 0
    assert json.loads(done.stdout)["trials"]["new"] == 8
    assert not imported(done) & {"torch", "torchvision", "ray"}


def test_planning_again_needs_neither_where_no_gpu_is(scalestudy: Command) -> None:
    study = {
        "name": "real",
        "factors": {"model": ["resnet18"], "fraction": ["1/8"]},
        "recipe": {"epochs": 1},
    }
    words = ("plan", scalestudy.study(study), "--json")
    first = forks.run(["-m", "orchestrator", *words], cwd=ROOT, check=True)
    again = process(*words)
    assert again.returncode == 0
    assert json.loads(again.stdout) == json.loads(first.stdout)
    if not list(Path("/dev").glob("nvidia*")):
        assert not imported(again) & {"torch", "torchvision", "ray"}


def test_a_refusal_of_the_real_command(scalestudy: Command) -> None:
    done = process("plan", scalestudy.study({**PLAIN, "nmae": 1}), "--json")
    assert done.returncode == 2
    assert json.loads(done.stdout)["exit_code"] == 2
    said = [line for line in done.stderr.splitlines() if not line.startswith("import time:")]
    assert len(said) == 1
    assert "did you mean name?" in said[0]


def test_status_wants_a_run_directory(scalestudy: Command) -> None:
    ended = scalestudy("status", scalestudy.study(PLAIN))
    assert (ended.code, "no study has run here" in ended.err) == (1, True)
    both = scalestudy("status", "runs/small", "--watch", "--json")
    assert both.code == 2
    assert "do not go together" in both.out + both.err


def test_watching_a_run_that_has_ended_shows_it_once(scalestudy: Command) -> None:
    scalestudy(*here(scalestudy.study(PLAIN)))
    watched = scalestudy("status", "runs/small", "--watch")
    assert (watched.code, "no run is at work here" in watched.out) == (0, True)
    assert "8 completed" in watched.out


def test_the_version(scalestudy: Command) -> None:
    shown = scalestudy("--version")
    assert (shown.code, shown.out) == (0, f"scalestudy {metadata.version('scalestudy')}\n")


def test_the_shell_completes_commands_and_options(scalestudy: Command) -> None:
    asked = (
        "import sys; sys.argv = ['scalestudy']; from orchestrator.commands.app import main; main()"
    )
    for typed, place, found in (
        ("scalestudy re", "1", {"report", "replay"}),
        ("scalestudy report --price-per-h", "2", {"--price-per-hour"}),
    ):
        shell = {"_SCALESTUDY_COMPLETE": "complete_bash", "COMP_WORDS": typed, "COMP_CWORD": place}
        done = forks.run(["-c", asked], env={**os.environ, **shell})
        assert {*done.stdout.split()} == found


def test_windows_is_refused_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    content = Path(cli.__file__).with_name("__init__.py").read_text()
    monkeypatch.setattr("os.name", "nt")
    with pytest.raises(SystemExit, match="run it under WSL 2"):
        exec(content, {})

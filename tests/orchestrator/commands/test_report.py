"""`report --watch` and `compare`, as commands."""

import json
import shutil
import signal
import time
from pathlib import Path

import forks
import pytest
import yaml

STUDY = {
    "name": "watched",
    "prices": {"label": 0.05, "hour": 2.2},
    "trainable": "simulated",
    "factors": {"model": ["resnet18"], "fraction": ["1/4", 1]},
    "recipe": {"epochs": 2},
    "seeds": [0, 1],
}


def command(*words: object) -> list[str]:
    return ["-m", "orchestrator", *map(str, words)]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("reporting")
    (folder / "study.yaml").write_text(yaml.safe_dump(STUDY))
    words = ("run", folder / "study.yaml", "--out", folder / "run", "--address", "none")
    forks.run(command(*words, "--no-report"), check=True)
    return folder / "run"


def test_a_complete_study_is_watched_once(run: Path) -> None:
    done = forks.run(command("report", run, "--watch"), check=True)
    assert "2 complete" in done.stdout
    page = (run / "report/index.html").read_text()
    assert 'id="age"' not in page
    assert "<noscript>" not in page


def test_levers_have_the_prices_of_the_study_or_of_the_command(run: Path) -> None:
    import results

    done = forks.run(command("report", run, "--price-per-label", 1, "--json"), check=True)
    (lever,) = json.loads(done.stdout)["levers"]
    assert lever["lever"] == "data"
    assert lever["price"] == pytest.approx(lever["images"] + 2.2 * lever["hours"])
    own = results.open(run).levers().iloc[0]
    assert own["price"] == pytest.approx(0.05 * own["images"] + 2.2 * own["hours"])
    assert (run / "report/levers.csv").is_file()
    said, _ = forks.run(command("report", run, "--price-per-label", 1), check=True).stdout.split(
        "\n", 1
    )
    assert f"at a price of {lever['price']:,.2f}" in said


def test_a_target_is_answered_with_images(run: Path) -> None:
    done = forks.run(command("report", run, "--target", "0.9"), check=True)
    said, page = done.stdout.splitlines()
    assert said.startswith("watched: ")
    assert "images" in said
    assert "Images needed for a test accuracy of 90 %" in Path(page).read_text()
    row = json.loads(forks.run(command("report", run, "--target", "0.9", "--json")).stdout)
    assert row["labels"][0]["text"] == said.removeprefix("watched: ")
    assert forks.run(command("report", run, "--target", "90")).returncode == 2


def test_a_report_goes_elsewhere_where_the_run_directory_is_read_only(
    run: Path, tmp_path: Path
) -> None:
    other = tmp_path / "run"
    shutil.copytree(run, other, ignore=shutil.ignore_patterns("report"))
    # Whoever runs this may well be root: a file where a folder is needed refuses everybody.
    (other / "report").write_text("mine")
    refused = forks.run(command("report", other))
    assert refused.returncode == 1
    assert refused.stderr.count("\n") == 1
    assert "its report cannot be written there" in refused.stderr
    assert "--to FOLDER writes it elsewhere" in refused.stderr
    done = forks.run(command("report", other, "--to", tmp_path / "pages"), check=True)
    assert done.stdout.strip() == str(tmp_path / "pages/index.html")
    assert (other / "report").read_text() == "mine"
    own = forks.run(command("report", other, "--to", other / "pages"))
    assert "belongs to the run directory" in own.stderr


def test_an_unfinished_study_is_watched_until_it_is_interrupted(run: Path, tmp_path: Path) -> None:
    from results.records import TRIAL_SCHEMA
    from results.store.parts import read_parts
    from results.store.store import Store
    from results.store.tables import table_of

    other = tmp_path / "run"
    shutil.copytree(run, other, ignore=shutil.ignore_patterns("report"))
    store = Store(other)
    part = store.parts("trials")[-1]
    *rows, last = read_parts([part], "trials", TRIAL_SCHEMA.names).to_pylist()
    rows.append({**last, "status": "planned"})
    store.replace_part("trials", part.stem, table_of("trials", rows))
    process = forks.start(command("report", other, "--watch"))
    page = other / "report/index.html"
    until = time.monotonic() + 60
    while not page.exists() and time.monotonic() < until:
        time.sleep(0.2)
    text = page.read_text()
    assert "The study is not finished" in text
    assert 'data-refresh="10.0"' in text
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "no longer watching" in errors
    assert "Traceback" not in errors


def test_compare_prints_one_document(run: Path) -> None:
    done = forks.run(command("compare", run, run, "--json"), check=True)
    document = json.loads(done.stdout)
    assert [cell["basis"] for cell in document["cells"]] == ["same trials"] * 2
    assert document["page"] is None

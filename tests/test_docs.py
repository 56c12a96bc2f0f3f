"""Every command of the documentation is run, or at least one that the program would take."""

import os
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import forks
import pytest
import typer
import yaml

from orchestrator.commands.app import app

ROOT = Path(__file__).parents[1]
WALKS = ("docs/tutorial.md", "docs/extending.md")
"""Followed from top to bottom."""
PAGES = sorted(
    str(file.relative_to(ROOT)) for file in (*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"))
)


def commands(page: str) -> Iterator[str]:
    """Yield the commands of a page's console blocks, without prompt, host and comment."""
    for block in re.findall(r"```console\n(.*?)```", (ROOT / page).read_text(), flags=re.DOTALL):
        for line in block.replace("\\\n", " ").splitlines():
            prompt = re.match(r"\w*\$ (.*)", line)
            if prompt:
                yield re.sub(r"\s{2,}#.*", "", prompt[1]).strip()


def files(page: str) -> dict[str, str]:
    """Return the files that a page shows: blocks that begin with their name as a comment."""
    blocks = re.findall(
        r"```(?:python|yaml)\n# ([\w.-]+)\n(.*?)```", (ROOT / page).read_text(), flags=re.DOTALL
    )
    return dict(blocks)


def test_pages_have_commands() -> None:
    assert {page for page in PAGES if any(commands(page))} >= {*WALKS, "README.md"}


@pytest.mark.ray
@pytest.mark.long  # README's walk is not
@pytest.mark.parametrize("page", WALKS)
def test_walk(page: str, tmp_path: Path) -> None:
    for name, content in files(page).items():
        (tmp_path / name).write_text(content)
    for command in commands(page):
        follow(command, tmp_path)


ELSEWHERE = {
    "make demo": "installs everything anew",
    "make test": "is what this test is part of",
    "scalestudy submit study.yaml --address http://head:8265 --fetch": "takes a cluster: "
    "tests/orchestrator/test_submission.py",
}
"""Commands of README.md that its walk leaves out, and why."""


@pytest.mark.ray
def test_readme(ray_address: None, tmp_path: Path) -> None:
    """In the order in which they stand, with a study that is made small."""
    (tmp_path / "make_images.py").write_text(files("docs/tutorial.md")["make_images.py"])
    follow("python make_images.py", tmp_path)
    (tmp_path / "search.yaml").write_text(SEARCH)
    for out, seed in (("search", 0), ("a", 1), ("b", 2)):
        own = f"--set seeds=[{seed}] --out runs/{out}"
        follow(f"scalestudy run search.yaml {own} --address none --no-report", tmp_path)
    followed = [command for command in commands("README.md") if command not in ELSEWHERE]
    assert len(followed) == len([*commands("README.md")]) - len(ELSEWHERE)
    for command in followed:
        follow(command, tmp_path)
        if command == "scalestudy init study.yaml":
            study = yaml.safe_load((tmp_path / "study.yaml").read_text())
            study["factors"] |= {"weights": ["none"], "fraction": ["1/8"]}
            study["recipe"] |= {"steps": 10, "evaluations": 1, "schedule": "constant"}
            del study["recipe"]["step_size"], study["search"]
            study["seeds"] = [0]
            (tmp_path / "study.yaml").write_text(yaml.safe_dump(study))
            longer = "--set recipe.steps=20 --out runs/longer --address none --no-report"
            kept = "--set keep_checkpoints=last --out runs/kept --address none --no-report"
            for more in (longer, kept):
                follow(f"scalestudy run study.yaml {more}", tmp_path)
    for left in ("mine.yaml", "events.jsonl", "runs/demo/report", "pages/longer"):
        assert (tmp_path / left).exists(), left


SEARCH = """
name: search
trainable: simulated
factors: {model: [resnet18], fraction: [1/4, 1]}
recipe: {epochs: 4}
search: {lr: [1e-2, 1e-3, 1e-4]}
early_stopping: none
"""


def follow(command: str, folder: Path) -> None:
    """Carry out a command of ours in a folder."""
    words = shlex.split(command)
    programs = {"scalestudy": ["-m", "orchestrator"], "python": []}
    assert words[0] in programs, f"{command}: a walk is made of our commands"
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = forks.run([*programs[words[0]], *words[1:]], cwd=folder, env=environment, timeout=600)
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"


OURS = [
    (page, command)
    for page in PAGES
    for command in commands(page)
    if command.startswith("scalestudy ")
]


@pytest.mark.parametrize(("page", "command"), OURS)
def test_command_is_one(page: str, command: str) -> None:
    """Its name, its options and the number of its arguments are right."""
    group = typer.main.get_command(app)
    name, *words = shlex.split(command)[1:]
    if name.startswith("-"):
        words, known = [name, *words], group
    else:
        known = group.commands[name]  # type: ignore[attr-defined]
    if not {"--help", "--version", "--install-completion"}.intersection(words):
        known.make_context(name, words)


def test_links_between_pages_lead_somewhere() -> None:
    for page in PAGES:
        text = (ROOT / page).read_text()
        for link in re.findall(r"\]\(([^)#:]+)\)", text):
            assert (ROOT / page).parent.joinpath(link).exists(), f"{page}: {link}"
        for named in re.findall(r"`((?:docs|examples|benchmarks|tests|docker)/[\w./-]+\w)`", text):
            assert (ROOT / named).exists(), f"{page}: {named}"


def test_the_tree_names_every_room() -> None:
    tree = (ROOT / "README.md").read_text().partition("## How it is built")[2]
    tree = tree.split("```")[1]
    for package in ("orchestrator", "trainables", "results"):
        part = tree[tree.index(f"{package}/") :]
        part = part[: next((end.start() for end in re.finditer(r"\n\w+/ ", part)), None)]
        rooms = {
            path.name for path in (ROOT / package).iterdir() if (path / "__init__.py").exists()
        }
        assert set(re.findall(r"^  (\w+)/", part, re.MULTILINE)) == rooms, package

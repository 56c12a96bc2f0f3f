"""Every command of the documentation is run, or at least one that the program would take."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer

from orchestrator.cli import app

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
@pytest.mark.parametrize(
    "page", [pytest.param("docs/tutorial.md", marks=pytest.mark.long), "docs/extending.md"]
)
def test_walk(page: str, tmp_path: Path) -> None:
    shutil.copytree(ROOT / "examples", tmp_path / "examples")
    for name, content in files(page).items():
        (tmp_path / name).write_text(content)
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    environment.pop("RAY_ADDRESS", None)
    for command in commands(page):
        words = shlex.split(command)
        programs = {
            "scalestudy": [sys.executable, "-m", "orchestrator"],
            "python": [sys.executable],
        }
        assert words[0] in programs, f"{command}: a walk is made of our commands"
        done = subprocess.run(
            [*programs[words[0]], *words[1:]],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            timeout=600,
        )
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

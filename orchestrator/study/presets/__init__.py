"""Commented study files that `scalestudy init` writes."""

from importlib import resources


def preset_names() -> list[str]:
    """Return the presets, sorted."""
    files = resources.files(__name__).iterdir()
    return sorted(file.name.removesuffix(".yaml") for file in files if file.name.endswith(".yaml"))


def preset_text(name: str, file: str | None = None) -> str:
    """Return a preset's text; its commands name the file that it is written to."""
    text = resources.files(__name__).joinpath(f"{name}.yaml").read_text()
    return text.replace(f"scalestudy run {name}.yaml", f"scalestudy run {file or f'{name}.yaml'}")

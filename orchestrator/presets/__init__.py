"""Commented study files that `scalestudy init` writes."""

from importlib import resources


def preset_names() -> list[str]:
    """Return the presets, sorted."""
    files = resources.files(__name__).iterdir()
    return sorted(file.name.removesuffix(".yaml") for file in files if file.name.endswith(".yaml"))


def preset_text(name: str) -> str:
    """Return a preset's text."""
    return resources.files(__name__).joinpath(f"{name}.yaml").read_text()

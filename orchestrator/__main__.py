"""`python -m orchestrator`: the same as `scalestudy`, where that is not installed."""

from orchestrator.commands.app import command

if __name__ == "__main__":
    command()

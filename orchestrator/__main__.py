"""`python -m orchestrator`: the same as `scalestudy`, where that is not installed."""

from orchestrator.commands.app import main

if __name__ == "__main__":
    main()

"""The command `scalestudy`, one module per command or family."""

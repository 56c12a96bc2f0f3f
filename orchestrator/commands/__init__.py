"""The command `scalestudy`, one module per command or family."""

import os

if os.name == "nt":
    raise SystemExit("scalestudy: Windows lacks what it locks files by; run it under WSL 2.")

"""Run a study from the head of a cluster, which is where `ray submit` copies this script.

ray rsync-up docker/cluster.yaml study.yaml study.yaml
ray submit docker/cluster.yaml docker/run_study.py -- study.yaml

What follows `--` are the arguments of `scalestudy run`; paths start from the head's home folder.
scalestudy must be installed there (`scalestudy submit` does without).
"""

import os
import sys
from pathlib import Path


def main() -> None:
    """Run `scalestudy run` on the cluster that this machine heads."""
    # Where the script was copied to: a container's own folder is another.
    os.chdir(Path(__file__).parent)
    words = sys.argv[1:]
    if not words:
        sys.exit("run_study: which study? ray submit … docker/run_study.py -- study.yaml")
    if not Path(words[0]).exists():
        sys.exit(
            f"run_study: {words[0]}: not on the head, in {Path.cwd()}; bring it there first: "
            f"ray rsync-up docker/cluster.yaml {words[0]} {words[0]}"
        )
    try:
        from orchestrator.commands import app as cli
    except ImportError as error:
        sys.exit(
            f"run_study: scalestudy is not installed on the head ({error}); install it there, or "
            "use scalestudy submit, which takes it along."
        )
    os.environ.setdefault("RAY_ADDRESS", "auto")
    sys.argv = ["scalestudy", "run", *words]
    cli.main()


if __name__ == "__main__":
    main()

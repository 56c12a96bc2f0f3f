"""What each trial is given, on the nodes there are."""

from fractions import Fraction

from orchestrator.errors import RunError
from orchestrator.passes import Share
from orchestrator.placement import Node, larger, remedy
from orchestrator.study import Study
from trainables.trial import Trial


class Placer:
    """The shares of a study's trials: as declared, as measured, or larger after a shortage."""

    def __init__(self, study: Study) -> None:
        self._study = study
        self._enlarged: dict[str, Share] = {}
        self.nodes: list[Node] = []
        self._has_gpu = False

    def share(self, trial: Trial) -> Share:
        """Return a trial's CPUs and GPUs."""
        return self._enlarged.get(trial.trial_id) or self.declared()

    def enlarge(self, trial: Trial, shortage: str) -> str | None:
        """Give a trial more from now on.

        Parameters
        ----------
        shortage
            Of what memory, as of `trainables.job`.

        Returns
        -------
        str or None
            None where it gets more; else why it cannot, and what would help.
        """
        now = self.share(trial)
        share = larger(now, self.nodes, shortage)
        if share is None:
            return remedy(now, shortage)
        self._enlarged[trial.trial_id] = share
        return None

    def declared(self) -> Share:
        """Return the share that every trial begins with.

        Raises
        ------
        RunError
            GPUs are asked for and there are none.
        """
        resources = self._study.resources
        gpu = resources.gpu
        if gpu == "auto":
            gpu = 1 if self._has_gpu and self._study.trainable != "simulated" else 0
        elif gpu and not any(node.gpu for node in self.nodes) and self.nodes:
            raise RunError(
                f"resources.gpu: {gpu} asks for GPUs, and Ray counts none; "
                "gpu: auto uses them where there are any."
            )
        return Share(float(resources.cpu), float(Fraction(gpu)))

    def meet(self, nodes: list[Node]) -> list[str]:
        """Take note of the nodes there are; return what is odd about them."""
        self.nodes = nodes
        self._has_gpu = any(node.gpu for node in nodes)
        if self._study.resources.gpu != "auto" or not self._has_gpu or len(nodes) > 1:
            # On other nodes than this one it is Ray's word that counts.
            return []
        import torch

        # Ray's count may be declared; only a device that torch sees trains anything.
        self._has_gpu = torch.cuda.is_available()
        if self._has_gpu:
            return []
        return [
            "resources.gpu: auto: Ray counts GPUs here and torch sees none, so trials run on the "
            "CPU; a torch built for CUDA uses them."
        ]

"""Which trial starts next: every cell in turn, and nothing that would outlast all the rest."""

import heapq


class Queue:
    """Trials that can start, in rounds; within a round the longest first.

    A trial starts out of turn once it is as long as all that waits would take together, spread
    over the slots: started any later, it would run on alone at the end (the rule of longest
    processing time first, Graham, *SIAM J. Appl. Math.* 17, 1969, where it matters).
    """

    def __init__(self) -> None:
        self._in_turn: list[tuple[int, float, tuple[int, ...], str]] = []
        self._by_length: list[tuple[float, tuple[int, ...], str]] = []
        self._waiting: dict[str, float] = {}
        self._work = 0.0

    def __len__(self) -> int:
        return len(self._waiting)

    def push(self, trial_id: str, turn: int, cost: float, place: tuple[int, ...]) -> None:
        """Add a trial that does not wait already.

        Parameters
        ----------
        turn
            Its round.
        cost
            Work that is left of it, in any unit.
        place
            Among trials that are alike in both.
        """
        self._waiting[trial_id] = cost
        self._work += cost
        heapq.heappush(self._in_turn, (turn, -cost, place, trial_id))
        heapq.heappush(self._by_length, (-cost, place, trial_id))

    def pop(self, slots: int) -> str:
        """Remove and return the next trial, given how many run at a time.

        Raises
        ------
        IndexError
            None waits.
        """
        while self._by_length and self._by_length[0][-1] not in self._waiting:
            heapq.heappop(self._by_length)
        while self._in_turn and self._in_turn[0][-1] not in self._waiting:
            heapq.heappop(self._in_turn)
        is_overdue = slots > 1 and -self._by_length[0][0] * slots >= self._work
        trial_id = (self._by_length if is_overdue else self._in_turn)[0][-1]
        self._work -= self._waiting.pop(trial_id)
        return trial_id

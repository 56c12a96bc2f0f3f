"""The study that a run directory holds, and what of it a study goes on with."""

from typing import Any

from orchestrator.study.study import Study, study_from
from results.store.store import Store


def recorded_study(store: Store) -> Study:
    """Return the study of a run directory as last run; StoreError or StudyError without one."""
    values = store.study()
    seed = _searched_with(values)
    if seed is not None:
        values = values | {"search": values["search"] | {"seed": seed}}
    return study_from(values, file=str(store.study_file))


def continued(study: Study, store: Store) -> Study:
    """Return the study with its validation share, its search seed and `test` resolved.

    A study that states none goes on with those that its run directory began with, so that nothing
    is trained or searched twice, and curves go on alike; raises StoreError where that cannot be
    read.
    """
    recorded = store.study() if store.study_file.exists() else {}
    if study.test is None:
        # Before the key was there, every interval was tested.
        rule = recorded.get("test", "every") if recorded else "auto"
        study = study.model_copy(update={"test": rule})
    validation = (recorded.get("data") or {}).get("validation")
    if study.data.validation is None and validation is not None:
        data = study.data.model_copy(update={"validation": validation})
        study = study.model_copy(update={"data": data})
    if study.search is None or study.search.seed is not None:
        return study
    seed = _searched_with(recorded) if recorded else None
    search = study.search.model_copy(update={"seed": study.search_seed if seed is None else seed})
    return study.model_copy(update={"search": search})


def _searched_with(values: dict[str, Any]) -> int | None:
    """Return the search seed of a recorded study; None where it has no search."""
    search, seeds = values.get("search"), values.get("seeds")
    if not isinstance(search, dict):
        return None
    # Before there was a seed of its own, the first of the study's was searched with.
    seed = search.get("seed", seeds[0] if isinstance(seeds, list) and seeds else None)
    return seed if isinstance(seed, int) else None

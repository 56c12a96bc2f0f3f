"""Images named in CSV files, a path and a label in each row."""

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from trainables.data.arrangement import Parts, Readable
from trainables.data.doors.columns import LABEL_NAMES, PATH_NAMES, numbered
from trainables.data.doors.folders import usual_parts
from trainables.data.reading import Split
from trainables.errors import DataError


@dataclass(frozen=True)
class Csv(Readable):
    """CSV files with a header: one column of paths, from the file's folder, and one of labels."""

    path: Path | dict[str, Path]
    """A file for each part, a folder that holds train.csv and test.csv, or one file of train."""
    image: str | None = None
    """Column of the paths, where its name does not tell."""
    label: str | None = None
    """Column of the labels, where its name does not tell."""

    def evidence(self) -> None:
        """Return None: images change without the file that names them."""

    def parts(self) -> Parts:
        """Return the data set: its labels are read, its images when asked for."""
        files = self._files()
        rows = {part: self._rows(file) for part, file in files.items()}
        labels = numbered({part: [own[1] for own in read] for part, read in rows.items()}, ())
        splits = {}
        for part, file in files.items():
            images = [path for path, _ in rows[part]]
            places = [f"{path} ({file.name}, row {row})" for row, path in enumerate(images, 2)]
            splits[part] = Split(
                str(file),
                labels.parts[part],
                partial(iter, images),
                partial(iter, places),
            )
        return Parts(
            splits,
            labels.class_names,
            tuple(map(str, files.values())),
            lack=f"{self.path}: no test.csv; name one with data.path: {{train: …, test: …}}",
        )

    def _files(self) -> dict[str, Path]:
        if isinstance(self.path, dict):
            return self.path
        if self.path.is_file():
            return {"train": self.path}
        if not self.path.is_dir():
            raise DataError(f"data.path: {self.path} is no CSV file and no folder of some")
        named = {file.with_suffix(""): file for file in sorted(self.path.glob("*.csv"))}
        found = usual_parts([*named], lambda name: True)
        if "train" not in found:
            raise DataError(
                f"data.path: {self.path} holds no train.csv; add it, or name the files with "
                "{train: …, test: …}"
            )
        return {part: named[name] for part, name in found.items()}

    def _rows(self, file: Path) -> list[tuple[Path, str]]:
        try:
            with file.open(newline="", encoding="utf-8-sig") as handle:
                head = handle.read(4096)
                handle.seek(0)
                first = head.partition("\n")[0]
                separator = max(",;\t", key=first.count)
                read = list(csv.DictReader(handle, delimiter=separator))
        except (OSError, UnicodeDecodeError, csv.Error) as problem:
            raise DataError(f"{file}: cannot be read as CSV ({problem})") from problem
        if not read:
            raise DataError(f"{file}: no rows; a header such as path,label and a row per image")
        names = [name for name in read[0] if name]
        image = _column(file, names, self.image, PATH_NAMES, "image")
        label = _column(file, names, self.label, LABEL_NAMES, "label")
        return [*_pairs(file, read, image, label)]


def _column(
    file: Path, names: list[str], named: str | None, usual: tuple[str, ...], key: str
) -> str:
    fitting = [name for name in names if (name == named if named else name.lower() in usual)]
    if len(fitting) == 1:
        return fitting[0]
    found = " and ".join(fitting) or named or "no usual name"
    raise DataError(
        f"{file}: which column is the {key}? {found}; its columns are {', '.join(names)}. Say it "
        f"with data.{key}"
    )


def _pairs(
    file: Path, read: list[dict[str, str]], image: str, label: str
) -> Iterator[tuple[Path, str]]:
    for row, values in enumerate(read, 2):
        path, name = values.get(image), values.get(label)
        if not path or not name:
            empty = image if not path else label
            raise DataError(f"{file}, row {row}: {empty} is empty; every image needs both")
        yield file.parent / path, name

"""Files that are whole or absent, and refusals in one sentence."""

import errno
import os
from pathlib import Path

import pytest

from results.errors import StoreError
from results.store.files import explained, write_whole


def test_old_content_or_new_and_no_scrap(tmp_path: Path) -> None:
    file = tmp_path / "deep" / "file"
    for content in (b"one", b"two", b""):
        write_whole(file, content)
        assert file.read_bytes() == content
        assert [*file.parent.iterdir()] == [file]


@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_a_refusal_leaves_the_old_content(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    file = tmp_path / "file"
    write_whole(file, b"old")

    def refuse(*arguments: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(*((os, "fsync") if step == "fsync" else (Path, "replace")), refuse)
        with pytest.raises(StoreError, match="the disk is full; make room, then run again"):
            write_whole(file, b"new")
    assert file.read_bytes() == b"old"
    assert [*tmp_path.iterdir()] == [file]


@pytest.mark.parametrize(
    ("number", "said"),
    [
        (errno.ENOSPC, "the disk is full"),
        (errno.EDQUOT, "quota"),
        (errno.EROFS, "read-only; choose another --out"),
        (errno.EACCES, "permission is denied"),
        (errno.EPERM, "permission is denied"),
        (errno.ENOTDIR, "a file stands where a folder is needed"),
        (errno.EEXIST, "a file stands where a folder is needed"),
        (errno.EIO, "Input/output error"),
    ],
)
def test_reasons(number: int, said: str) -> None:
    with pytest.raises(StoreError, match=said) as refused, explained(Path("runs/x")):
        raise OSError(number, os.strerror(number))
    assert str(refused.value).startswith("runs/x cannot be written: ")
    assert isinstance(refused.value.__cause__, OSError)


def test_other_errors_are_not_explained_away() -> None:
    with pytest.raises(ZeroDivisionError), explained(Path("x")):
        raise ZeroDivisionError


def test_a_file_where_a_folder_is_needed(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match="a file stands where a folder is needed"):
        write_whole(tmp_path / "file" / "part", b"x")

import errno
import os
import stat
import tempfile
import threading
import time
from pathlib import Path

import forks
import pytest

from trainables.data import cache
from trainables.data.cache import (
    cache_folder,
    evidence_key,
    locked,
    recall,
    remember,
    replacing,
)
from trainables.errors import DataError
from trainables.machine import free_disk


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("SCALESTUDY_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def names_in(folder):
    return sorted(entry.name for entry in folder.iterdir())


class TestFolder:
    def test_named_for_this_program(self, folder):
        assert cache_folder() == folder

    def test_named_for_all_programs(self, monkeypatch, tmp_path):
        monkeypatch.delenv("SCALESTUDY_CACHE")
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
        assert cache_folder() == tmp_path / "scalestudy"

    def test_by_default(self, monkeypatch, tmp_path):
        monkeypatch.setenv("SCALESTUDY_CACHE", "")
        monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
        monkeypatch.setenv("HOME", str(tmp_path))
        assert cache_folder() == tmp_path / ".cache" / "scalestudy"

    def test_of_a_user_without_a_home_to_write_to(self, monkeypatch, tmp_path):
        monkeypatch.delenv("SCALESTUDY_CACHE")
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "home"))
        monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
        # Tests run as root too, who may write everywhere.
        there = {tmp_path, Path("/")}
        monkeypatch.setattr(os, "access", lambda place, mode: place in there and mode == os.F_OK)
        spare = tmp_path / f"scalestudy-{os.getuid()}"
        assert cache_folder() == spare
        assert stat.S_IMODE(spare.stat().st_mode) == 0o700
        monkeypatch.delenv("XDG_CACHE_HOME")
        monkeypatch.setattr(os.path, "expanduser", lambda path: path)
        assert cache_folder() == spare
        other = os.getuid() + 1
        # What another user has put there is not read.
        monkeypatch.setattr(os, "getuid", lambda: other)
        spare.rename(tmp_path / f"scalestudy-{os.getuid()}")
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "home"))
        assert cache_folder() == tmp_path / "home" / "scalestudy"

    def test_that_may_not_be_looked_into(self, monkeypatch, tmp_path):
        def refuse(*_):
            raise PermissionError

        monkeypatch.setattr(Path, "exists", refuse)
        assert free_disk(tmp_path / "locked" / "cache") > 0


class TestLock:
    def test_keeps_others_out(self):
        inside, most = 0, 0

        def enter():
            nonlocal inside, most
            for _ in range(20):
                with locked("a"):
                    inside += 1
                    most = max(most, inside)
                    time.sleep(0.001)
                    inside -= 1

        threads = [threading.Thread(target=enter) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert most == 1

    def test_a_killed_process_leaves_none(self):
        code = (
            "import os, signal\nfrom trainables.data.cache import locked\n"
            "with locked('a'):\n    os.kill(os.getpid(), signal.SIGKILL)"
        )
        assert forks.run(["-c", code]).returncode == -9
        with locked("a"):
            pass

    def test_no_place_for_it(self, monkeypatch, tmp_path):
        (tmp_path / "file").write_text("")
        monkeypatch.setenv("SCALESTUDY_CACHE", str(tmp_path / "file"))
        message = r"cache folder .*file: .*; free some room there or set SCALESTUDY_CACHE"
        with pytest.raises(DataError, match=message), locked("a"):
            pass

    def test_a_file_system_without_locks(self, monkeypatch):
        def refused(*_):
            raise OSError(errno.ENOLCK, "No locks available")

        monkeypatch.setattr(cache.fcntl, "flock", refused)
        message = "No locks available; free some room there or set SCALESTUDY_CACHE to another"
        with pytest.raises(DataError, match=message), locked("a"):
            pass


class TestReplacing:
    def test_appears_whole(self, tmp_path):
        entry = tmp_path / "entries" / "one"
        with replacing(entry) as fresh:
            (fresh / "a").write_text("new")
            assert not entry.exists()
        assert (entry / "a").read_text() == "new"
        assert names_in(entry.parent) == ["one"]

    def test_takes_the_place_of_an_earlier_one(self, tmp_path):
        entry = tmp_path / "one"
        for text in ("old", "new"):
            with replacing(entry) as fresh:
                (fresh / text).write_text(text)
        assert names_in(entry) == ["new"]
        assert names_in(tmp_path) == ["one"]

    def test_vanishes_on_failure(self, tmp_path):
        entry = tmp_path / "one"
        with replacing(entry) as fresh:
            (fresh / "a").write_text("old")

        def fail():
            with replacing(entry) as fresh:
                (fresh / "a").write_text("half")
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            fail()
        assert (entry / "a").read_text() == "old"
        assert names_in(tmp_path) == ["one"]

    def test_clears_what_a_killed_process_left(self, tmp_path):
        entry = tmp_path / "one"
        (tmp_path / ".one.abc").mkdir()
        (tmp_path / ".one.abc" / "half").write_text("")
        with replacing(entry):
            pass
        assert names_in(tmp_path) == ["one"]


class TestMemory:
    def test_keeps_facts(self):
        assert recall("key") is None
        remember("key", {"a": [1, 2], "b": None})
        assert recall("key") == {"a": [1, 2], "b": None}
        remember("key", {"a": 3})
        assert recall("key") == {"a": 3}

    @pytest.mark.parametrize("content", [b"", b"{", b"[1]", b"\xff\xfe"])
    def test_damage_is_forgotten(self, folder, content):
        remember("key", {"a": 1})
        (file,) = (folder / "inspected").iterdir()
        file.write_bytes(content)
        assert recall("key") is None

    def test_without_a_place_nothing_happens(self, monkeypatch, tmp_path):
        (tmp_path / "file").write_text("")
        monkeypatch.setenv("SCALESTUDY_CACHE", str(tmp_path / "file"))
        remember("key", {"a": 1})
        assert recall("key") is None


class TestEvidence:
    def test_old_files_have_a_key_of_their_own(self):
        first, second = Path(os.__file__), Path(threading.__file__)
        key = evidence_key([first], 1)
        assert key is not None
        assert key == evidence_key([first], 1)
        assert len({key, evidence_key([first], 2), evidence_key([second], 1)}) == 3

    def test_fresh_missing_or_no_files_have_none(self, tmp_path):
        (tmp_path / "a").write_text("fresh")
        assert evidence_key([tmp_path / "a"]) is None
        assert evidence_key([tmp_path / "gone"]) is None
        assert evidence_key([]) is None

    def test_a_change_shows_even_where_size_and_date_are_kept(self, tmp_path, monkeypatch):
        monkeypatch.setattr(cache, "SETTLED_SECONDS", 0.1)
        file = tmp_path / "a"
        file.write_text("one")
        time.sleep(0.2)
        key, times = evidence_key([file]), file.stat()
        file.write_text("two")
        os.utime(file, ns=(times.st_atime_ns, times.st_mtime_ns))
        assert evidence_key([file]) is None
        time.sleep(0.2)
        assert key is not None
        assert evidence_key([file]) not in {key, None}

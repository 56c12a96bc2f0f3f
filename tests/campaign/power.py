"""Power cuts: what a disk may hold of a recorded trace of calls when the power goes.

After "All File Systems Are Not Created Equal" (Pillai et al., OSDI 2014). What a call changed is
certain once the file, or the folder that names it, is synced after it. Until then each change may
be there or not, whatever came before or after it, and a write may be there in half.
"""

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from campaign.calls import Event


@dataclass
class _Node:
    """A file, with its writes, or a folder, with its names; each with the number of its event."""

    is_folder: bool
    writes: list[tuple[int, int, bytes]] = field(default_factory=list)
    names: list[tuple[int, str, "_Node | None"]] = field(default_factory=list)
    synced: int = 0
    """Number of the event at which all before was certain."""


class Disk:
    """What a trace below a root did, event by event, to what a folder held before."""

    def __init__(self, root: str, before: Path) -> None:
        self._root = root
        self._tree = _Node(True)
        self._now: dict[str, _Node] = {"": self._tree}
        self._count = 0
        for place in sorted(before.rglob("*")):
            node = self._now[str(place.relative_to(before))] = _Node(place.is_dir())
            self._name(str(place.relative_to(before)), node, 0)
            if place.is_file():
                node.writes.append((0, 0, place.read_bytes()))

    def _relative(self, path: str) -> str | None:
        inside = path == self._root or path.startswith(f"{self._root}/")
        return path[len(self._root) :].strip("/") if inside else None

    def _name(self, path: str, node: _Node | None, number: int) -> None:
        place = PurePosixPath(path)
        parent = self._now["" if str(place.parent) == "." else str(place.parent)]
        parent.names.append((number, place.name, node))

    def take(self, event: Event) -> None:
        """Let an event happen."""
        self._count += 1
        number, path = self._count, self._relative(event.path)
        if not path:
            self._now[""].synced = number if event.name == "fsync" else self._tree.synced
            return
        name = event.name
        if name == "mkdir":
            self._now[path] = _Node(True)
            self._name(path, self._now[path], number)
        elif name in ("create", "open"):
            node = self._now.get(path)
            if node is None:
                node = self._now[path] = _Node(False)
                self._name(path, node, number)
            elif name == "create":
                node.writes.append((number, -1, b""))
        elif name == "write":
            self._now[path].writes.append((number, int(event.other), event.content))
        elif name == "fsync":
            self._now[path].synced = number
        elif name in ("unlink", "remove", "rmdir"):
            self._now.pop(path, None)
            self._name(path, None, number)
        elif name in ("rename", "replace"):
            self._rename(path, self._relative(event.other) or "", number)
        elif name == "link":
            target = self._relative(event.other) or ""
            self._now[target] = self._now[path]
            self._name(target, self._now[path], number)
        elif name == "exchange":
            other = self._relative(event.other) or ""
            one, two = self._subtree(path), self._subtree(other)
            self._move(one, path, other)
            self._move(two, other, path)
            self._name(path, self._now[path], number)
            self._name(other, self._now[other], number)

    def _subtree(self, path: str) -> dict[str, _Node]:
        found = {
            name: node
            for name, node in self._now.items()
            if name == path or name.startswith(f"{path}/")
        }
        for name in found:
            del self._now[name]
        return found

    def _move(self, nodes: dict[str, _Node], path: str, target: str) -> None:
        self._now |= {target + name[len(path) :]: node for name, node in nodes.items()}

    def _rename(self, path: str, target: str, number: int) -> None:
        nodes = self._subtree(path)
        self._subtree(target)
        self._move(nodes, path, target)
        self._name(path, None, number)
        self._name(target, self._now[target], number)

    def after_a_cut(self, generator: random.Random | None) -> dict[str, bytes | None]:
        """Return what is there after a cut now: files with their content, folders with None.

        Without a generator all that is not certain is lost; else each change is, by a coin's fall.
        """
        kept: dict[int, bool] = {}

        def is_kept(number: int, synced: int) -> bool:
            if number not in kept:
                kept[number] = generator is not None and generator.random() < 0.5
            # What a folder's sync made certain is so in both folders that a rename touched.
            kept[number] |= number <= synced
            return kept[number]

        nodes = [self._tree]
        for node in nodes:
            nodes += [child for _, _, child in node.names if child and child not in nodes]
        for node in nodes:
            for number, *_ in node.names:
                is_kept(number, node.synced)
        found: dict[str, bytes | None] = {}
        self._fill("", self._tree, is_kept, generator, found)
        return found

    def _fill(
        self,
        path: str,
        node: _Node,
        is_kept: Callable[[int, int], bool],
        generator: random.Random | None,
        found: dict[str, bytes | None],
    ) -> None:
        if not node.is_folder:
            content = bytearray()
            for number, place, written in node.writes:
                if number > node.synced:
                    if not is_kept(number, node.synced):
                        continue
                    if generator is not None and generator.random() < 0.3:
                        written = written[: len(written) // 2]
                if place < 0:
                    content.clear()
                    continue
                content.extend(bytes(max(0, place - len(content))))
                content[place : place + len(written)] = written
            found[path] = bytes(content)
            return
        found[path] = None
        names: dict[str, _Node] = {}
        for number, name, child in node.names:
            if is_kept(number, node.synced):
                names.pop(name, None)
                if child:
                    names[name] = child
        for name, child in names.items():
            self._fill(f"{path}/{name}".strip("/"), child, is_kept, generator, found)


def cuts(
    root: str, before: Path, events: Sequence[Event], each: int, generator: random.Random
) -> Iterator[tuple[int, bytes, dict[str, bytes | None]]]:
    """Yield what may be there after a cut behind each event, with its number and the last mark."""
    disk, mark = Disk(root, before), b""
    for number, event in enumerate(events, start=1):
        if event.name == "mark":
            mark = event.content
            continue
        disk.take(event)
        yield number, mark, disk.after_a_cut(None)
        for _ in range(each):
            yield number, mark, disk.after_a_cut(generator)

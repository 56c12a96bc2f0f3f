"""Places in an object store, with those verbs of `pathlib.Path` that a run directory needs.

A put is whole or absent by itself, and a listing shows it at once; nothing is ever renamed in
place, since an object store has no such thing.
"""

import fnmatch
import mimetypes
import re
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import Self
from urllib.parse import parse_qs

import pyarrow as pa
from pyarrow import fs

from results.errors import AddressError, StoreError, Unreachable

SCHEMES = ("s3", "gs")
_ADDRESS = re.compile(r"(?P<scheme>[A-Za-z][\w+.-]*):/(?P<rest>.*)", re.DOTALL)
_CREDENTIALS = {
    "s3": "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, AWS_PROFILE, or the machine's role",
    "gs": "GOOGLE_APPLICATION_CREDENTIALS, or the machine's service account",
}
_DEFAULTS = {
    # Since pyarrow 21: a put in one request, not in three.
    "s3": {"allow_delayed_open": "true"} if int(pa.__version__.partition(".")[0]) >= 21 else {},
    # Not a quarter of an hour of attempts before it is said that the store cannot be reached.
    "gs": {"retry_limit_seconds": "20"},
}
"""Options that hold where the address says nothing else."""
_PIECE = 2**24
"""Bytes of a file that are held in memory while it goes to the store or comes from there."""


def is_address(text: str | Path) -> bool:
    """Return whether a run directory's name is meant as an address, and not as a folder."""
    # One letter is a drive.
    return re.match(r"[A-Za-z][\w+.-]+:/", str(text)) is not None


@dataclass(frozen=True, order=True)
class ObjectPath:
    """An object in a bucket, or a folder: all objects whose keys begin with its own and a slash."""

    root: str
    """Beginning of the address: `s3://`, `gs://` or `gs://anonymous@`."""
    key: str
    """Bucket and key, as pyarrow takes them: `bucket/runs/digits`."""
    query: str
    """Options of the address, such as `region=eu-west-1`; they hold no secret."""
    filesystem: fs.FileSystem = field(repr=False, compare=False)

    @classmethod
    def named(cls, address: str) -> Self:
        """Return the place of an address, without asking the store whether the bucket is there.

        Options follow as pyarrow knows them: `?region=…`, `?endpoint_override=…&scheme=http`.
        Raises AddressError where it is no such address, or holds credentials.
        """
        root, path, query = check_address(address)
        with _explained(f"{root}{path}", query):
            try:
                given = parse_qs(query, keep_blank_values=True)
                defaults = _DEFAULTS[root.partition(":")[0]].items()
                options = [f"{key}={value}" for key, value in defaults if key not in given]
                joined = "&".join(filter(None, [query, *options]))
                return cls(root, path, query, fs.FileSystem.from_uri(f"{root}{path}?{joined}")[0])
            except pa.ArrowInvalid as error:
                reason = str(error).partition(". Detail:")[0]
                raise AddressError(
                    f"{root}{path}: the address is not understood: {reason}."
                ) from None

    def __str__(self) -> str:
        return self.shown + (f"?{self.query}" if self.query else "")

    def __truediv__(self, name: str) -> Self:
        return replace(self, key=f"{self.key}/{name}")

    @property
    def shown(self) -> str:
        """The address without its options, as messages name it."""
        return f"{self.root}{self.key}"

    @property
    def name(self) -> str:
        """The last part of the key."""
        return PurePosixPath(self.key).name

    @property
    def stem(self) -> str:
        """The last part of the key without its ending."""
        return PurePosixPath(self.key).stem

    @property
    def parent(self) -> Self:
        """The place that holds this one."""
        return replace(self, key=str(PurePosixPath(self.key).parent))

    def absolute(self) -> Self:
        """Return itself: an address is the same wherever it is used."""
        return self

    def exists(self) -> bool:
        """Return whether there is an object of this key, or one below it."""
        return self.info().type is not fs.FileType.NotFound

    def is_dir(self) -> bool:
        """Return whether anything lies below this key."""
        return self.info().type is fs.FileType.Directory

    def iterdir(self) -> Iterator[Self]:
        """Yield what lies directly below this key, in the order of names."""
        # Google's listing leaves folders out that no object of their own stands for.
        infos = self.below(recursive=not self.root.startswith("s3"))
        names = {info.path[len(self.key) + 1 :].partition("/")[0] for info in infos}
        return (self / name for name in sorted(names - {""}))

    def glob(self, pattern: str) -> Iterator[Self]:
        """Yield what lies directly below this key and whose name fits the pattern."""
        return (entry for entry in self.iterdir() if fnmatch.fnmatchcase(entry.name, pattern))

    def read_bytes(self) -> bytes:
        """Return the content; FileNotFoundError without an object, StoreError if refused."""
        with self.explained(), self.filesystem.open_input_stream(self.key) as stream:
            return bytes(stream.read())

    def write_bytes(self, content: bytes) -> None:
        """Put the object: readers meet the old content or the new; StoreError where refused."""
        kind = mimetypes.guess_type(self.name)[0] or "application/octet-stream"

        def put() -> None:
            metadata = {"Content-Type": kind}
            with self.filesystem.open_output_stream(self.key, metadata=metadata) as stream:
                stream.write(content)

        # In a thread, where no signal raises between opening and writing: a stream that is closed
        # early leaves an empty object.
        with self.explained(), ThreadPoolExecutor(1) as thread:
            thread.submit(put).result()

    def upload(self, file: Path) -> None:
        """Put a file of any size as this object, without holding all of it in memory."""
        with (
            self.explained(),
            file.open("rb") as source,
            self.filesystem.open_output_stream(self.key) as stream,
        ):
            shutil.copyfileobj(source, stream, _PIECE)

    def download(self, file: Path) -> None:
        """Write the object to a file, never whole in memory; FileNotFoundError without one."""
        with (
            self.explained(),
            file.open("wb") as target,
            self.filesystem.open_input_stream(self.key) as stream,
        ):
            shutil.copyfileobj(stream, target, _PIECE)

    def move(self, target: Self) -> None:
        """Copy the object to another key and delete it here."""
        with self.explained():
            self.filesystem.copy_file(self.key, target.key)
            self.filesystem.delete_file(self.key)

    def unlink(self, missing_ok: bool = False) -> None:
        """Delete the object."""
        with self.explained(), suppress(FileNotFoundError) if missing_ok else nullcontext():
            self.filesystem.delete_file(self.key)

    def remove(self) -> None:
        """Delete all objects below this key."""
        # Google's folders need no object of their own, and pyarrow misses that one.
        with self.explained(), suppress(FileNotFoundError):
            self.filesystem.delete_dir(self.key)

    def info(self) -> fs.FileInfo:
        """Return what the store says of this key."""
        with self.explained():
            return self.filesystem.get_file_info(self.key)

    def below(self, *, recursive: bool) -> list[fs.FileInfo]:
        """Return what the store says of all that lies below this key, or directly below it."""
        selector = fs.FileSelector(self.key, allow_not_found=True, recursive=recursive)
        with self.explained():
            return [*self.filesystem.get_file_info(selector)]

    def explained(self) -> AbstractContextManager[None]:
        """Turn what the store or the network answers within the block into one sentence."""
        return _explained(self.shown, self.query)


def check_address(address: str) -> tuple[str, str, str]:
    """Return root, bucket with key, and options of an address, asking nothing of the store.

    Raises AddressError where it is no such address, or holds credentials.
    """
    match = _ADDRESS.fullmatch(address)
    scheme = match["scheme"].lower() if match else ""
    if match is None or scheme not in SCHEMES:
        known = " and ".join(f"{known}://bucket/folder" for known in SCHEMES)
        raise AddressError(f"{scheme}://: no such store is known; valid are {known}, or a folder.")
    if not match["rest"].startswith("/"):
        raise AddressError(
            f"{scheme}:/: an address has two slashes, {scheme}://bucket/folder; from Python, give "
            "it as a string and not as a Path."
        )
    rest, _, query = match["rest"][1:].partition("?")
    owner, at, _ = rest.partition("/")[0].rpartition("@")
    if at and (scheme, owner) != ("gs", "anonymous"):
        # The address is not shown: it holds the secret.
        raise AddressError(
            f"{scheme}://…@…: credentials do not belong in an address, which is shown and "
            f"recorded; set {_CREDENTIALS[scheme]} instead."
        )
    parts = rest.removeprefix(f"{owner}{at}").split("/")
    if not parts[0]:
        raise AddressError(f"{scheme}://: the bucket is missing; write {scheme}://bucket/folder.")
    return f"{scheme}://{owner}{at}", "/".join(filter(None, parts)), query


_REASONS = {
    r"configured region is|HTTP status 301|PermanentRedirect|AuthorizationHeaderMalformed": (
        "the bucket is in another region than was asked for; leave ?region= out, or correct it"
    ),
    r"NO_SUCH_BUCKET|bucket does not exist|Bucket '[^']*' not found": (
        "there is no such bucket; create it, or correct the address"
    ),
    r"ACCESS_DENIED|HTTP status 40[013]|INVALID_ACCESS_KEY_ID|SIGNATURE_DOES_NOT_MATCH"
    r"|INVALID_CLIENT_TOKEN|EXPIRED|PERMISSION_DENIED|UNAUTHENTICATED|[Cc]redential": (
        "access is denied: no credentials were found, or they may not use this bucket; set {keys}"
    ),
}
_SILENCE = (
    r"NETWORK_CONNECTION|curlCode|CURL error|UNAVAILABLE|SLOW_DOWN|INTERNAL_FAILURE"
    r"|REQUEST_TIMEOUT|HTTP status 5\d\d|DEADLINE|[Tt]imed? ?out"
)


@contextmanager
def _explained(shown: str, query: str) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError:
        raise
    except OSError as error:
        text = str(error)
        if re.search(_SILENCE, text):
            host = parse_qs(query).get("endpoint_override", ["the store"])[0]
            raise Unreachable(
                f"{shown}: {host} cannot be reached; look at the network and the address, "
                "then run again (all rows so far are kept)."
            ) from error
        keys = _CREDENTIALS[shown.partition(":")[0]]
        for pattern, reason in _REASONS.items():
            if re.search(pattern, text):
                raise StoreError(f"{shown}: {reason.format(keys=keys)}.") from error
        raise StoreError(f"{shown}: the store refuses: {text.splitlines()[0]}") from error


Location = Path | ObjectPath
"""Where a run directory lies, or a file in it: on a file system, or in an object store."""


def located(place: str | Location) -> Location:
    """Return the place of a run directory, as `--out` names it: `s3://bucket/runs/digits`, say.

    Raises AddressError where it is no such address, or holds credentials; StoreError where the
    bucket is not there, or may not be used; Unreachable where the store does not answer.
    """
    if isinstance(place, ObjectPath):
        return place
    if not is_address(place):
        return Path(place)
    found = ObjectPath.named(str(place))
    bucket = found.key.partition("/")[0]
    if not replace(found, key=bucket).exists():
        raise StoreError(
            f"{found.shown}: there is no bucket {bucket!r}; create it, or correct the address."
        )
    return found

"""The parts of a table as they are read: whole, as they were written, with the table's columns."""

from collections.abc import Iterable, Sequence

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
import pyarrow.parquet as pq

from results.errors import StoreError
from results.records import SCHEMAS
from results.store.checksums import is_intact
from results.store.files import source
from results.store.objects import Location, ObjectPath


def read_parts(
    parts: Sequence[Location],
    table: str,
    columns: Iterable[str],
    where: pc.Expression | None = None,
) -> pa.Table:
    """Return the rows of parts; raises whatever damage makes of a reader."""
    ours = SCHEMAS[table]
    if not parts:
        return ours.empty_table().select([*columns])
    first = parts[0]
    if isinstance(first, ObjectPath):
        # A store keeps checksums of its own.
        keys = [part.key for part in parts if isinstance(part, ObjectPath)]
        found = ds.dataset(keys, ours, "parquet", first.filesystem)
    else:
        for part in parts:
            if not is_intact(part):
                raise pa.ArrowInvalid(f"{part.name} is not as it was written")
        found = ds.dataset(parts, schema=ours, format="parquet")
    return found.to_table([*columns], filter=where)


def is_sound(part: Location, table: str) -> bool:
    """Return whether every row can be read as it was written, with this table's columns.

    Raises StoreError where the part cannot be had, whatever it holds.
    """
    try:
        if not is_intact(part):
            return False
        file = pq.ParquetFile(source(part))
        ours = SCHEMAS[table]
        known = [field for field in file.schema_arrow if field.name in ours.names]
        if ours.names[0] not in file.schema_arrow.names or any(
            _kind(field.type) != _kind(ours.field(field.name).type) for field in known
        ):
            return False
        types = pa.schema([ours.field(field.name) for field in known])
        # Only a full read finds damage between the magic bytes.
        for batch in file.iter_batches(columns=types.names):
            pa.Table.from_batches([batch]).select(types.names).cast(types)
    except Exception as error:
        # Damaged bytes make anything of a reader: also names that are no text.
        if isinstance(error, StoreError):
            raise
        if isinstance(error, OSError) and error.errno:
            raise StoreError(f"{part} cannot be read: {error.strerror}.") from error
        return False
    return True


def _kind(kind: pa.DataType) -> str:
    """Return what a type's values are, however wide they are stored by other tools."""
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    for name in ("string", "integer", "floating", "boolean", "timestamp"):
        if getattr(pa.types, f"is_{name}")(kind):
            return name
    return str(kind).removeprefix("large_").removesuffix("_view")

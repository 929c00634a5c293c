"""Replace ICU's data in a bundle by a small library: Qt's is 32 MB, and the program uses the collation rules at most.

Locale names, currencies, transliteration and character sets of ICU are never asked for: Qt formats numbers and dates by
its own tables. Needs `as` and `ld` of binutils, which PyInstaller needs too.
"""

from __future__ import annotations

import re
import struct
import subprocess
import tempfile
from pathlib import Path

_KEPT = re.compile(rb"[^/]+/(coll/.*|root\.res|pool\.res|res_index\.res|(?!unames)[^/]*\.(nrm|icu))")
"""Items that remain: collation, the root locale, normalization and character properties."""


def shrink(library: Path) -> int:
    """Replace libicudata.so.N by one with the kept items only. Returns its size in bytes."""
    table, header = _items(library.read_bytes())
    kept = {name: data for name, data in table.items() if _KEPT.fullmatch(name)}
    if not kept:
        raise ValueError(f"{library.name}: no known item in its data")
    version = library.name.rpartition(".")[2]
    with tempfile.TemporaryDirectory() as folder:
        data, source, compiled = (Path(folder, name) for name in ("icu.dat", "icu.s", "icu.o"))
        data.write_bytes(header + _table(kept))
        symbol = f"icudt{version}_dat"
        source.write_text(
            f'.section .note.GNU-stack,"",%progbits\n.section .rodata\n.balign 16\n.globl {symbol}\n'
            f'.type {symbol}, %object\n{symbol}:\n.incbin "{data}"\n.size {symbol}, .-{symbol}\n'
        )
        subprocess.run(["as", source, "-o", compiled], check=True)
        library.unlink()
        subprocess.run(["ld", "-s", "-shared", "-soname", library.name, "-o", library, compiled], check=True)
    return library.stat().st_size


def _items(library: bytes) -> tuple[dict[bytes, bytes], bytes]:
    """Return the items of the common data ("CmnD") in a library, and the header before its table."""
    start = library.index(b"\xda\x27\x14\0\0\0\0\0\x02\0CmnD") - 2
    header = library[start : start + struct.unpack_from("<H", library, start)[0]]
    base = start + len(header)
    (count,) = struct.unpack_from("<I", library, base)
    places = [struct.unpack_from("<II", library, base + 4 + 8 * number) for number in range(count)]
    ends = [place[1] for place in places[1:]]
    found = {}
    for (name_at, data_at), end in zip(places, [*ends, None], strict=True):
        name = library[base + name_at : library.index(b"\0", base + name_at)]
        # The last item ends with the library's data; what follows it does no harm.
        found[name] = library[base + data_at : base + end if end else base + data_at + 1_000_000]
    return found, header


def _table(items: dict[bytes, bytes]) -> bytes:
    names, data = b"", b""
    table_bytes = 4 + 8 * len(items)
    names_bytes = -(table_bytes + sum(len(name) + 1 for name in items)) % 16 + sum(len(name) + 1 for name in items)
    table = struct.pack("<I", len(items))
    for name in sorted(items):
        table += struct.pack("<II", table_bytes + len(names), table_bytes + names_bytes + len(data))
        names += name + b"\0"
        data += items[name] + b"\0" * (-len(items[name]) % 16)
    return table + names.ljust(names_bytes, b"\0") + data

"""VTK's XML image data (.vti), as ParaView opens it: fields on a regular grid, and series of them in time (.pvd).

Reads what VTK writes - ascii, base64 inline, appended base64 or raw, with zlib or without, any byte order - and writes
base64 inline with zlib. Layout: x varies fastest, so that an array (x, y, z) is in Fortran order.
"""

from __future__ import annotations

import base64
import re
import struct
import xml.etree.ElementTree as ET
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from xml.sax.saxutils import quoteattr

import numpy as np
from numpy.typing import NDArray

from phasemill.core.errors import InputError
from phasemill.core.files import write_text

TYPES = {
    "Int8": "i1", "UInt8": "u1", "Int16": "i2", "UInt16": "u2", "Int32": "i4", "UInt32": "u4", "Int64": "i8",
    "UInt64": "u8", "Float32": "f4", "Float64": "f8",
}  # fmt: skip
BLOCK = 1 << 20
"""Bytes that are compressed at a time."""
APPENDED = re.compile(rb"<AppendedData\b([^>]*)>\s*_", re.DOTALL)


def read_vti(path: Path | str) -> tuple[dict[str, NDArray[Any]], tuple[float, ...]]:
    """The scalar arrays of the image by name, each (x, y[, z]), and the spacing along each of their axes.

    Axes of one cell are dropped: a 2-D image is a 3-D one of a single layer.

    Raises InputError for what is no such file, is cut short, or has several pieces.
    """
    path = Path(path)
    content = path.read_bytes()
    appended = APPENDED.search(content)
    raw = b""
    if appended:
        raw = content[appended.end() :]
        content = content[: appended.start()] + b"</VTKFile>"
    try:
        root = ET.fromstring(content)
    except ET.ParseError as error:
        raise InputError(f"{path} is not a VTK XML file ({error}): write it anew") from None
    image = root.find("ImageData")
    if root.tag != "VTKFile" or image is None:
        kind = root.get("type", root.tag)
        raise InputError(
            f"{path} holds {kind}, not ImageData: resample it to a regular grid (ParaView: ResampleToImage)"
        )
    pieces = image.findall("Piece")
    if len(pieces) != 1:
        raise InputError(f"{path} has {len(pieces)} pieces: save it as one, from one process")
    piece = pieces[0]
    try:
        ends = [int(word) for word in (piece.get("Extent") or image.get("WholeExtent") or "").split()]
        spacing = [float(word) for word in image.get("Spacing", "1 1 1").split()]
        points = [last - first + 1 for first, last in zip(ends[::2], ends[1::2], strict=True)]
        decoder = _Decoder(root, raw, appended is not None and b"base64" in appended[1])
        found: dict[str, NDArray[Any]] = {}
        for place in ("CellData", "PointData"):
            cells = points if place == "PointData" else [max(1, n - 1) for n in points]
            for array in piece.findall(f"{place}/DataArray"):
                values = decoder.values(array)
                if values.size == np.prod(cells):  # scalars; a vector is no field that can be used here
                    found[array.get("Name", place)] = values.reshape(cells, order="F").squeeze()
        used = tuple(d for d, n in zip(spacing, cells, strict=True) if n > 1)
    except (KeyError, ValueError, struct.error, zlib.error) as error:
        raise InputError(
            f"{path} cannot be read, it is cut short or of another version ({error}): write it anew"
        ) from None
    return found, used


class _Decoder:
    """From the text or bytes of a DataArray to numbers, in the encodings that the head of the file declares."""

    def __init__(self, root: ET.Element, raw: bytes, appended_base64: bool) -> None:
        self.raw, self.appended_base64 = raw, appended_base64
        self.order = "<" if root.get("byte_order", "LittleEndian") == "LittleEndian" else ">"
        self.word = np.dtype(self.order + TYPES[root.get("header_type", "UInt32")])
        compressor = root.get("compressor")
        if compressor not in (None, "vtkZLibDataCompressor"):
            raise ValueError(f"compressor {compressor} is not supported, use zlib or none")
        self.compressed = compressor is not None

    def values(self, array: ET.Element) -> NDArray[Any]:
        """The numbers of one array, in the byte order of this machine."""
        kind = np.dtype(self.order + TYPES[array.attrib["type"]])
        form = array.get("format", "ascii")
        if form == "ascii":
            return np.array((array.text or "").split(), dtype=kind.newbyteorder("="))
        if form == "appended":
            source = self.raw[int(array.attrib["offset"]) :]
            encoded = self.appended_base64
        else:
            source, encoded = "".join((array.text or "").split()).encode(), True
        content = self._inflated(source, encoded) if self.compressed else self._plain(source, encoded)
        return np.frombuffer(content, dtype=kind).astype(kind.newbyteorder("="))

    def _plain(self, source: bytes, encoded: bool) -> bytes:
        """Length, then the data; in base64 as one text or two."""
        head = self.word.itemsize
        length = int(self._words(source, 1, encoded)[0])
        if not encoded:
            return _whole(source[head : head + length], length)
        alone = _base64_length(head)
        if source[alone - 1 : alone] == b"=":  # the head was encoded alone
            return _whole(base64.b64decode(source[alone : alone + _base64_length(length)]), length)
        return _whole(base64.b64decode(source[: _base64_length(head + length)])[head:], length)

    def _inflated(self, source: bytes, encoded: bool) -> bytes:
        """Number of blocks, size of a block, size of the last, compressed sizes; then the blocks."""
        count = int(self._words(source, 1, encoded)[0])
        head = (3 + count) * self.word.itemsize
        sizes = [int(n) for n in self._words(source, 3 + count, encoded)[3:]]
        body = source[_base64_length(head) if encoded else head :]
        if encoded:
            body = base64.b64decode(body[: _base64_length(sum(sizes))])
        blocks, start = [], 0
        for size in sizes:
            blocks.append(zlib.decompress(body[start : start + size]))
            start += size
        return b"".join(blocks)

    def _words(self, source: bytes, count: int, encoded: bool) -> NDArray[Any]:
        length = count * self.word.itemsize
        if encoded:
            source = base64.b64decode(source[: _base64_length(length)])
        return np.frombuffer(_whole(source[:length], length), self.word)


def _base64_length(count: int) -> int:
    return -(-count // 3) * 4


def _whole(content: bytes, length: int) -> bytes:
    if len(content) != length:
        raise ValueError(f"{length} bytes announced, {len(content)} found")
    return content


def write_vti(path: Path | str, fields: Mapping[str, NDArray[Any]], dx: float) -> Path:
    """Write fields (x, y[, z]) of one shape on cells of size `dx`, values at the points, atomically."""
    (shape,) = {field.shape for field in fields.values()}
    extent = " ".join(f"0 {n - 1}" for n in (*shape, *[1] * (3 - len(shape))))
    arrays = []
    for name, field in fields.items():
        kind = "Float32" if field.dtype == np.float32 else "Float64"
        data = np.asarray(field, "<" + TYPES[kind]).tobytes(order="F")
        arrays.append(f'<DataArray type="{kind}" Name={quoteattr(name)} format="binary">{_deflated(data)}</DataArray>')
    text = (
        '<?xml version="1.0"?>\n'
        '<VTKFile type="ImageData" version="1.0" byte_order="LittleEndian" header_type="UInt64"'
        ' compressor="vtkZLibDataCompressor">\n'
        f'<ImageData WholeExtent="{extent}" Origin="0 0 0" Spacing="{dx!r} {dx!r} {dx!r}">\n'
        f'<Piece Extent="{extent}">\n<PointData Scalars={quoteattr(next(iter(fields)))}>\n'
        + "\n".join(arrays)
        + "\n</PointData>\n</Piece>\n</ImageData>\n</VTKFile>\n"
    )
    return write_text(path, text)


def _deflated(data: bytes) -> str:
    blocks = [zlib.compress(data[start : start + BLOCK]) for start in range(0, len(data), BLOCK)]
    head = struct.pack(f"<{3 + len(blocks)}Q", len(blocks), BLOCK, len(data) % BLOCK, *map(len, blocks))
    return (base64.b64encode(head) + base64.b64encode(b"".join(blocks))).decode()


def write_pvd(path: Path | str, times: Sequence[float], files: Sequence[Path]) -> Path:
    """Write the list of a series, one file per time, that ParaView opens as an animation."""
    path = Path(path)
    rows = "\n".join(
        f'<DataSet timestep="{float(time)!r}" file="{file.relative_to(path.parent).as_posix()}"/>'
        for time, file in zip(times, files, strict=True)
    )
    head = '<?xml version="1.0"?>\n<VTKFile type="Collection" version="1.0">\n<Collection>\n'
    return write_text(path, f"{head}{rows}\n</Collection>\n</VTKFile>\n")

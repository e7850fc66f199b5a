"""Writes seeds/: small valid files to mutate.

Of weights, made from the tiny model in fixtures/: of its 168 kB a fuzzer would learn little. Each has entries
of a few tensors and the first elements of their data: f32 as they are, and the same numbers as f16 and bf16;
and one with a type that the engine does not read. And of indices of shards.
"""

import json
import pathlib
import struct
from collections.abc import Iterator, Sequence

HERE = pathlib.Path(__file__).resolve().parent
MODEL = HERE.parent / "fixtures" / "tiny-bert" / "model.safetensors"
MOST_ROWS, MOST_COLUMNS = 3, 4

Shape = list[int]
Values = Sequence[float]
# A tensor of a file: name, type, shape and bytes.
Entry = tuple[str, str, Shape, bytes]


def tensors() -> Iterator[tuple[str, Shape, Values]]:
    data = MODEL.read_bytes()
    (length,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8 : 8 + length])
    header.pop("__metadata__", None)
    for name, info in sorted(header.items()):
        if info["dtype"] != "F32":
            continue
        start, end = info["data_offsets"]
        values = struct.unpack(f"<{(end - start) // 4}f", data[8 + length + start : 8 + length + end])
        yield name, info["shape"], values


def corner(shape: Shape, values: Values) -> tuple[Shape, Values]:
    """The first rows and columns."""
    if len(shape) == 1:
        return [min(shape[0], MOST_COLUMNS)], values[:MOST_COLUMNS]
    rows, columns = min(shape[0], MOST_ROWS), min(shape[1], MOST_COLUMNS)
    kept = [values[r * shape[1] + c] for r in range(rows) for c in range(columns)]
    return [rows, columns], kept


def encode(dtype: str, values: Values) -> bytes:
    if dtype == "F16":
        return struct.pack(f"<{len(values)}e", *values)
    single = struct.pack(f"<{len(values)}f", *values)
    if dtype == "BF16":
        return b"".join(single[i + 2 : i + 4] for i in range(0, len(single), 4))
    return single


def file_of(entries: list[Entry], metadata: dict[str, str] | None = None) -> bytes:
    header, data = ({"__metadata__": metadata} if metadata else {}), b""
    for name, dtype, shape, content in entries:
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [len(data), len(data) + len(content)]}
        data += content
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text + data


def write_indices() -> None:
    """Beside the shards of fuzz_targets/shard_index.rs."""
    target = HERE / "seeds" / "shard_index"
    target.mkdir(parents=True, exist_ok=True)
    first, second = "model-00001-of-00002.safetensors", "x.safetensors"
    maps = {
        "both": {"a": first, "b": first, "c": second, "d.e": second},
        "one": {"c": second},
        "absent": {"a": first, "z": "model-00002-of-00002.safetensors"},
        "elsewhere": {"a": "../x.safetensors", "c": "X.safetensors"},
    }
    for name, weight_map in maps.items():
        index = {"metadata": {"total_size": 4 * len(weight_map)}, "weight_map": weight_map}
        (target / f"{name}.json").write_text(json.dumps(index), encoding="ascii")


def main() -> None:
    write_indices()
    target = HERE / "seeds" / "safetensors"
    target.mkdir(parents=True, exist_ok=True)
    some = list(tensors())[:4]
    for dtype in ("F32", "F16", "BF16"):
        entries = []
        for name, shape, values in some:
            shape, values = corner(shape, values)
            entries.append((name, dtype, shape, encode(dtype, values)))
        (target / f"{dtype.lower()}.safetensors").write_bytes(file_of(entries, {"format": "pt"}))
    single = file_of([("x", "F32", [1], struct.pack("<f", 1.5))])
    (target / "one.safetensors").write_bytes(single)
    mixed = [("ids", "I64", [1, 2], bytes(16)), ("none", "F32", [0, 3], b""), ("x", "F32", [], bytes(4))]
    (target / "mixed.safetensors").write_bytes(file_of(mixed))


if __name__ == "__main__":
    main()

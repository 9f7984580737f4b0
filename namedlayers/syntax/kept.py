"""What is slow to compute and the same in every process, kept beside the bytecode.

In: a name, what the content is made from, the content. Out: the content again, in a later process, or None. What always
holds: files lie where Python keeps the bytecode of this package and under the same rules (`-B`, `PYTHONPYCACHEPREFIX`),
so whoever could forge one could as well replace the program; an old or a torn file is as good as none; nothing fails
for want of a place to write.
"""

from __future__ import annotations

import hashlib
import os
import sys
from importlib.util import cache_from_source
from pathlib import Path

_DIGEST = hashlib.sha256
_LENGTH = _DIGEST().digest_size


def read(name: str, made_from: bytes) -> bytes | None:
    """The content of this name that was made from just that."""
    try:
        found = _path(name).read_bytes()
    except (OSError, NotImplementedError):
        return None
    content = found[_LENGTH:]
    return content if found[:_LENGTH] == _seal(made_from, content) else None


def write(name: str, made_from: bytes, content: bytes) -> None:
    """Keeps a content, if there is a place for it."""
    if sys.dont_write_bytecode:
        return
    try:
        path = _path(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        beside = path.with_name(f"{path.name}.{os.getpid()}")
        beside.write_bytes(_seal(made_from, content) + content)
        os.replace(beside, path)  # other processes see all of it or nothing
    except (OSError, NotImplementedError):
        return


def _path(name: str) -> Path:
    """Beside this module's bytecode. Raises NotImplementedError for a Python that keeps none."""
    beside = Path(cache_from_source(__file__))
    return beside.with_name(beside.name.replace(Path(__file__).stem, name, 1)).with_suffix(".kept")


def _seal(made_from: bytes, content: bytes) -> bytes:
    return _DIGEST(_DIGEST(made_from).digest() + content).digest()

"""What torch.compile makes of a side, so that two sides of which it makes the same are known to be the same.

In: a call that has something compiled. Out: a digest of the kernels and of the order in which they are called, or
nothing where nothing was compiled. What always holds: equal digests mean equal kernels on tensors of equal sizes in
equal order; names, comments and the order of the arguments do not count.
"""

from __future__ import annotations

import hashlib
import io
import keyword
import re
import tokenize
from collections.abc import Callable, Iterable, Iterator
from unittest import mock

from torch._inductor.graph import GraphLowering

CODE = "_code"
"""What a digest is called among the figures of a side, after the measure."""


def generated(call: Callable[[], object]) -> str | None:
    """The digest of what is compiled when this is called."""
    found: list[str] = []
    with mock.patch.object(GraphLowering, "save_output_code", found.append):
        call()
    return digest(found)


def digest(codes: Iterable[str]) -> str | None:
    """Of modules as the inductor writes them; nothing, if one has no calls that can be read.

    >>> code = '''
    ... cpp_1 = async_compile.cpp_pybinding([], r\\'\\'\\'{kernel}\\'\\'\\')
    ...     def call(self, args):
    ...         {x}, {y} = args
    ...         assert_size_stride({x}, (2, ), (1, ), 'input')
    ...         cpp_1({x}, {y})
    ...         return ({y}, )
    ... '''
    >>> one, other = (digest([code.format(kernel="add", x=x, y=y)]) for x, y in ("ab", "ba"))
    >>> one == other, one == digest([code.format(kernel="sub", x="a", y="b")])
    (True, False)
    """
    calls = [list(_calls(code)) for code in codes]
    return hashlib.sha256(repr(calls).encode()).hexdigest()[:16] if calls and all(calls) else None


# --- helpers ----------------------------------------------------------------------------------------------------------

_KERNEL = re.compile(r"^(\w+) = async_compile\.\w+\(.*?'''(.*?)'''", re.DOTALL | re.MULTILINE)
_CALL = re.compile(r"^    def call\(self, args\):\n(.*?)^        return ", re.DOTALL | re.MULTILINE)
_CHECK = re.compile(r"^ *assert_size_stride\((\w+), (.*), '", re.MULTILINE)
_BESIDE = ("assert_size_stride(", "args.clear()", "del ")
_SET = re.compile(r"^([\w, ]+?),? = ")


def _calls(code: str) -> Iterator[str]:
    """The statements between arguments and results; for a kernel's name its text, for a tensor's a number, and its
    sizes if it is given."""
    kernels = {name: re.sub(rf"\b{name}\b", "kernel", text) for name, text in _KERNEL.findall(code)}
    for body in _CALL.findall(code):
        lines = [re.split(r"; del |\s+# ", line.strip())[0] for line in body.splitlines()]
        lines = [line for line in lines if line and not line.startswith(("#", *_BESIDE))]
        own = {name.strip() for line in lines if (set_ := _SET.match(line)) for name in set_[1].split(",")}
        sizes = dict(_CHECK.findall(body))
        numbers: dict[str, str] = {}
        for line in lines:
            if not line.endswith(" = args"):
                words = _words(line)
                for name in filter(own.__contains__, words):
                    numbers.setdefault(name, f"_{len(numbers)} {sizes.get(name, '')}")
                yield " ".join(kernels.get(word) or numbers.get(word, word) for word in words)


def _words(line: str) -> list[str]:
    tokens = tokenize.generate_tokens(io.StringIO(line).readline)
    return [token.string for token in tokens if token.string.strip() and not keyword.iskeyword(token.string)]

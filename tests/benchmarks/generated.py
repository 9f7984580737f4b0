"""What torch.compile makes of a side, so that two sides of which it makes the same are known to be the same.

In: a call that has something compiled. Out: a digest of the kernels and of the order in which they are called, or
nothing where nothing was compiled. What always holds: equal digests mean equal kernels on tensors of equal sizes in
equal order; names, comments, the order of the arguments, dimensions of size 1, and another name for the same memory do
not count.
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
_SHAPE = re.compile(r"\(([\d, ]+)\), \(([\d, ]+)\)")
_MADE = re.compile(r"^(\w+) = empty_strided_\w+\((\(.*?\), \(.*?\)),")
_SAME = re.compile(r"^(\w+) = (?:(\w+)|reinterpret_tensor\((\w+), (\(.*?\), \(.*?\)), 0\))$")


def _calls(code: str) -> Iterator[str]:
    """The statements between arguments and results; for a kernel's name its text, for a tensor's a number, and its
    sizes if it is given."""
    kernels = {name: re.sub(rf"\b{name}\b", "kernel", text) for name, text in _KERNEL.findall(code)}
    for body in _CALL.findall(code):
        lines = [re.split(r"; del |\s+# ", line.strip())[0] for line in body.splitlines()]
        lines = [_squeezed(line) for line in lines if line and not line.startswith(("#", *_BESIDE))]
        lines = list(_without_aliases(lines))
        own = {name.strip() for line in lines if (set_ := _SET.match(line)) for name in set_[1].split(",")}
        sizes = dict(_CHECK.findall(_squeezed(body)))
        numbers: dict[str, str] = {}
        for line in lines:
            if not line.endswith(" = args"):
                words = _words(line)
                for name in filter(own.__contains__, words):
                    numbers.setdefault(name, f"_{len(numbers)} {sizes.get(name, '')}")
                yield " ".join(kernels.get(word) or numbers.get(word, word) for word in words)


def _squeezed(text: str) -> str:
    """Sizes and strides without those of size 1.

    >>> _squeezed("empty_strided_cpu((8, 64, 1, 1), (64, 1, 512, 512), torch.float32)")
    'empty_strided_cpu((8, 64, ), (64, 1, ), torch.float32)'
    """

    def squeezed(found: re.Match[str]) -> str:
        sizes, strides = (group.strip(", ").split(", ") for group in found.groups())
        if len(sizes) != len(strides):
            return found[0]
        kept = [pair for pair in zip(sizes, strides, strict=True) if pair[0] != "1"]
        return (
            ", ".join(f"({''.join(f'{number}, ' for number in side)})" for side in zip(*kept, strict=True)) or "(), ()"
        )

    return _SHAPE.sub(squeezed, text)


def _without_aliases(lines: Iterable[str]) -> Iterator[str]:
    """A tensor that is another one, of the same sizes, has its name.

    >>> made = "a = empty_strided_cpu((2, ), (1, ), int)"
    >>> list(_without_aliases([made, "b = reinterpret_tensor(a, (2, ), (1, ), 0)", "f(b)"]))
    ['a = empty_strided_cpu((2, ), (1, ), int)', 'f(a)']
    """
    shapes: dict[str, str] = {}
    names: dict[str, str] = {}
    for line in lines:
        line = re.sub(r"\w+", lambda word: names.get(word[0], word[0]), line) if names else line
        made, same = _MADE.match(line), _SAME.match(line)
        if made:
            shapes[made[1]] = made[2]
        if same and (same[2] in shapes or same[3] in shapes and shapes[same[3]] == same[4]):
            names[same[1]] = same[2] or same[3]
        else:
            yield line


def _words(line: str) -> list[str]:
    tokens = tokenize.generate_tokens(io.StringIO(line).readline)
    return [token.string for token in tokens if token.string.strip() and not keyword.iskeyword(token.string)]

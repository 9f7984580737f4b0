"""How messages about a call speak of arguments.

In: forms and names. Out: pieces of sentences.
"""

from __future__ import annotations

from collections.abc import Iterable

from namedlayers.call.forms import Bare, Constant, Form, Listed, Named


def described(form: Form) -> str:
    """An argument with its article.

    >>> from namedlayers.call.forms import form, read
    >>> described(read(form(1))), described(read(form("same")))
    ('an int', "the string 'same'")
    """
    if isinstance(form, Bare):
        return f"{_with_article(dtype_name(form.dtype))} tensor with {axes_count(form.ndim)}"
    if isinstance(form, Named):
        return f"a tensor with the axes {listed(form.axes)}"
    if isinstance(form, Listed):
        return "a list"
    if isinstance(form, Constant):
        noun = "the string " if isinstance(form.value, str) else "the tuple " if isinstance(form.value, tuple) else ""
        return f"{noun}{form.value!r}"
    return _with_article(form.type)


def axes_count(count: int) -> str:
    """`1 axis`, `2 axes`."""
    return "no axes" if count == 0 else "1 axis" if count == 1 else f"{count} axes"


def listed(names: Iterable[str]) -> str:
    """Names between backquotes.

    >>> listed(["seq", "key"])
    '`seq`, `key`'
    """
    return ", ".join(f"`{name}`" for name in names)


def dtype_name(dtype: object) -> str:
    return str(dtype).removeprefix("torch.")


def _with_article(noun: str) -> str:
    return f"{'an' if noun[:1].lower() in 'aeio' else 'a'} {noun}"

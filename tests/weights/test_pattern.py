"""Names with placeholders: what they match, and that filling in gives the name back."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from namedlayers.errors import ArgumentError
from namedlayers.weights.pattern import pattern

MATCHES = [
    ("fc.weight", "fc.weight", {}),
    ("fc.weight", "fc_weight", None),
    ("layer.{l}.weight", "layer.11.weight", {"l": "11"}),
    ("layer.{l}.weight", "layer.1.1.weight", None),
    ("layer{l}/{name}", "layer1/kernel", {"l": "1", "name": "kernel"}),
    ("layer.{l + 1}", "layer.3", {"l": "2"}),
    ("layer.{l + 1}", "layer.0", None),
    ("layer.{l - 1}", "layer.0", {"l": "1"}),
    ("layer.{l + 1}", "layer.x", None),
    ("{a}.{a}", "x.x", {"a": "x"}),
    ("{a}.{a}", "x.y", None),
    ("{a}.{a + 1}", "1.2", {"a": "1"}),
    ("{a}.{a + 1}", "1.3", None),
    ("{*rest}.weight", "a.b.weight", {"rest": "a.b"}),
    ("{*rest}.{name}", "a.b.weight", {"rest": "a.b", "name": "weight"}),
    ("{ l }.(x)", "0.(x)", {"l": "0"}),
]


@pytest.mark.parametrize(("text", "name", "bindings"), MATCHES)
def test_matches(text: str, name: str, bindings: dict[str, str] | None) -> None:
    assert pattern(text).match(name) == bindings
    if bindings is not None:
        assert pattern(text).fill(bindings) == name


@pytest.mark.parametrize(("text", "name"), [("{a}{b}", "abc"), ("{*a}.{*b}", "x.y.z"), ("{a}_{b}", "x_y_z")])
def test_what_matches_in_two_ways_is_an_error(text: str, name: str) -> None:
    with pytest.raises(ArgumentError, match="NL0555: .* in more than one way"):
        pattern(text).match(name)


def test_what_could_match_in_two_ways_is_none_where_it_does_not() -> None:
    assert pattern("{a}_{b}").match("x_y") == {"a": "x", "b": "y"}


WORDS = st.from_regex(r"[a-z]{1,3}|[0-9]{1,2}", fullmatch=True)


@given(st.lists(WORDS, min_size=1, max_size=5), st.data())
def test_any_piece_may_be_a_placeholder(words: list[str], data: st.DataObject) -> None:
    named = data.draw(st.sets(st.integers(0, len(words) - 1)))
    text = ".".join(f"{{p{k}}}" if k in named else word for k, word in enumerate(words))
    found = pattern(text).match(".".join(words))
    assert found == {f"p{k}": words[k] for k in named}
    assert re.sub(r"\{(\w+)\}", lambda m: found[m[1]], text) == ".".join(words)

"""The page of a definition: one file that loads nothing, in which everything says which piece of the text it is of."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
import torch

import namedlayers as nl

ATTENTION = """
# <b>not bold</b>
def attention(Q[query, key], K[seq, key], V[seq, val]; M[query, seq] = 0) -> [query, val]:
    scores = Q @[key] K / sqrt(|key|) + M
    return softmax[seq](scores) @[seq] V
"""


class Read(HTMLParser):
    """Elements by the panels in which they stand, with the spans that they are of; what is not closed in its order."""

    ALONE = ("meta", "!doctype")

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.panel = ""
        self.spans: dict[str, list[str]] = {}
        self.texts: dict[str, str] = {}
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        assert not {"src", "href"} & given.keys()
        if tag == "section":
            self.panel = given["id"] or ""
        if given.get("data-spans"):
            self.spans.setdefault(self.panel, []).append(given["data-spans"] or "")
        if tag not in self.ALONE:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts[self.panel] = self.texts.get(self.panel, "") + data


def test_every_panel_is_linked_to_the_text() -> None:
    page = Read(nl.compile(ATTENTION, "attention").show().html)
    assert not page.open
    assert set(page.spans) == {"formula", "program", "code", "explain", "graph"}
    scores = "Q @[key] K / sqrt(|key|) + M"
    start = ATTENTION.index(scores)
    for panel in ("program", "explain"):
        assert any(f"{start}-{start + len(scores)}" in spans.split() for spans in page.spans[panel]), panel
    weights = ATTENTION.index("softmax[seq](scores) @")
    for panel in ("program", "code", "explain", "graph"):
        assert any(str(weights) in re.split("[ -]", spans) for spans in page.spans[panel]), panel


def test_the_text_is_whole_and_escaped() -> None:
    page = Read(nl.compile(ATTENTION, "attention").show().html)
    assert page.texts["source"].removeprefix("Text").strip() == ATTENTION.strip()
    assert "scaled_dot_product_attention" in page.texts["code"]
    assert "|key|" in page.texts["cost"]


@pytest.mark.parametrize(("module", "name"), [("recurrent", "GRU"), ("attention", "MultiHeadAttention")])
def test_layers_have_a_page(module: str, name: str, tmp_path: Path) -> None:
    shown = nl.load(module)[name].show(tmp_path / "page.html")
    assert (tmp_path / "page.html").read_text(encoding="utf-8") == shown.html
    page = Read(shown.html)
    assert not page.open and page.spans["code"] and page.spans["program"]
    assert f"layer {name}" in page.texts["source"]


def test_a_page_shows_itself_in_notebooks_and_briefly_elsewhere() -> None:
    shown = nl.compile("def twice(X[i]) = 2 * X").show()
    assert shown._repr_html_().startswith("<iframe srcdoc=")
    assert repr(shown).startswith("<page of twice: ")


def test_the_page_of_a_call_has_its_numbers() -> None:
    twice = nl.compile("def twice(X[i]) = 2 * X")
    assert re.search(r"operations\s+3\b", Read(twice.specialize(torch.ones(3)).show().html).texts["cost"])


def test_a_page_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(nl.FormulaError, match="NL0616"):
        nl.compile("def twice(X[i]) = 2 * X").show(tmp_path)


def test_without_igraph_the_graph_is_a_table(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("namedlayers.inspect.page.find_spec", lambda name: None)
    shown = nl.compile("def twice(X[i]) = 2 * X").show().html
    assert "<svg" not in shown and "<details open>" in shown

"""Pieces of mathematics, each in LaTeX and in MathML, so that a page in print and one in a browser say the same.

In: names, numbers, signs, and smaller pieces. Out: `Math`. What always holds: names and texts of the user's are escaped
for both; the LaTeX needs amsmath and amssymb and nothing else, the MathML is of its core; a piece is one group in
neither until a function here makes it one.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from types import MappingProxyType


@dataclass(frozen=True, slots=True)
class Math:
    """A piece; `simple`: one letter or number, that takes an index or an exponent as it is."""

    latex: str
    mathml: str
    simple: bool = False

    def __add__(self, other: Math) -> Math:
        return row(self, other)

    @property
    def tall(self) -> bool:
        """Whether brackets round it have to grow."""
        return any(sign in self.latex for sign in _TALL)


_TALL = (r"\frac", r"\underset", r"\sum", r"\prod", r"\sqrt", r"\begin", r"\limits", r"\overline", "^{")

NOTHING = Math("", "")


def row(*pieces: Math) -> Math:
    """Pieces side by side."""
    latex = ""
    for piece in pieces:
        apart = " " if _COMMAND.search(latex) and piece.latex[:1].isalpha() else ""
        latex += apart + piece.latex
    return Math(latex, "".join(piece.mathml for piece in pieces))


_COMMAND = re.compile(r"\\[A-Za-z]+$")


def joined(pieces: Iterable[Math], between: Math) -> Math:
    """Pieces with a sign between each two."""
    found: list[Math] = []
    for piece in pieces:
        found += [between, piece] if found else [piece]
    return row(*found)


# --- names, numbers, texts --------------------------------------------------------------------------------------------


def value(name: str) -> Math:
    """The name of a value, as papers set it: Greek as Greek, digits and what follows `_` as an index.

    >>> value("X").latex, value("alpha'").latex, value("W_q").latex, value("h0").latex, value("scores").latex
    ('X', "\\\\alpha'", 'W_{q}', 'h_{0}', '\\\\mathit{scores}')
    """
    stem, primes = _primes(name)
    found = _INDEXED.fullmatch(stem)
    if found is None:
        return _primed(_letters(stem), primes)
    index = found["digits"] or found["after"]
    below = Math(index, f"<mn>{index}</mn>") if index.isdigit() else _upright(index) if index[1:] else _letters(index)
    return _primed(sub(_letters(found["base"]), below), primes)


def axis(name: str, *, star: bool = False) -> Math:
    """The name of an axis, without serifs; a star for a set of axes.

    >>> axis("seq'").latex, axis("ax", star=True).latex, axis("key_in").latex
    ("\\\\mathsf{seq}'", '\\\\mathsf{ax}^{\\\\ast}', '\\\\mathsf{key{\\\\_}in}')
    """
    stem, primes = _primes(name)
    plain = Math(rf"\mathsf{{{_name(stem)}}}", f'<mi class="axis" mathvariant="normal">{_html(stem)}</mi>', True)
    found = _primed(plain, primes)
    return sup(found, Math(r"\ast", "<mo>∗</mo>")) if star else found


def word(name: str) -> Math:
    """The name of a function."""
    stem, primes = _primes(name)
    # MathJax sets digits and underscores apart from letters, unless they are of one font.
    latex = _name(stem) if stem.isalpha() else rf"\mathrm{{{_name(stem)}}}"
    return _primed(Math(rf"\operatorname{{{latex}}}", f'<mi mathvariant="normal">{_html(stem)}</mi>'), primes)


def number(given: int | float | complex) -> Math:
    """A number, digits and a power of ten.

    >>> [number(one).latex for one in (3, 0.5, 1e-5, 2.5e20, 2j)]
    ['3', '0.5', '10^{-5}', '2.5 \\\\cdot 10^{20}', '2\\\\mathrm{i}']
    """
    if isinstance(given, complex):
        unit = Math(r"\mathrm{i}", '<mi mathvariant="normal">i</mi>')
        return unit if given == 1j else row(number(given.imag), unit)
    digits, exponent = _scientific(given)
    if not exponent:
        return Math(digits, f"<mn>{digits}</mn>", digits.isalnum())
    power = sup(Math("10", "<mn>10</mn>", True), Math(exponent, f"<mn>{exponent.replace('-', '−')}</mn>"))
    return power if digits == "1" else row(Math(digits, f"<mn>{digits}</mn>"), sign("cdot"), power)


def _scientific(given: int | float) -> tuple[str, str]:
    text = repr(given)
    digits, _, exponent = text.removesuffix(".0").partition("e")
    return digits, str(int(exponent)) if exponent else ""


def text(words: str) -> Math:
    """Words between the signs."""
    return Math(rf"\text{{{_latex(words)}}}", f"<mtext>{_html(words).replace(' ', '&#160;')}</mtext>")


# --- signs ------------------------------------------------------------------------------------------------------------

SIGNS = MappingProxyType({
    "+": ("+", "+"), "-": ("-", "−"), "cdot": (r" \cdot ", "⋅"), "odot": (r"\odot", "⊙"), "mod": (r" \bmod ", "mod"),
    "or": (r" \lor ", "∨"), "and": (r" \land ", "∧"), "not": (r"\lnot ", "¬"), "in": (r" \in ", "∈"),
    "<": (" < ", "&lt;"), "<=": (r" \le ", "≤"), ">": (" > ", "&gt;"), ">=": (r" \ge ", "≥"), "==": (" = ", "="),
    "!=": (r" \ne ", "≠"), "=": (" = ", "="), "<-": (r" \leftarrow ", "←"), "->": (r" \to ", "→"),
    "~": (r" \sim ", "∼"), ",": (", ", ","), ";": (r";\, ", ";"), ":": (":", ":"),
    "colon": (r"\colon ", ":"), "times": (r" \times ", "×"),
    "sum": (r"\sum", "∑"), "prod": (r"\prod", "∏"), "pi": (r"\pi", "π"), "inf": (r"\infty", "∞"), "|": ("|", "|"),
    "…": (r" \ldots ", "…"),
})  # fmt: skip
"""Operators by what this package calls them: in LaTeX, with the blanks that keep it readable, and as a character."""

SETS = MappingProxyType({"R": "ℝ", "Z": "ℤ", "C": "ℂ", "B": "𝔹"})


def sign(name: str) -> Math:
    latex, character = SIGNS[name]
    return Math(latex, f"<mo>{character}</mo>")


def space_of(name: str) -> Math:
    """The reals `R`, the integers `Z`, the complex numbers `C`, truth values `B`."""
    return Math(rf"\mathbb{{{name}}}", f"<mi>{SETS[name]}</mi>", True)


def quad(count: int) -> Math:
    """So much blank."""
    return Math(r"\quad " * count, f'<mspace width="{2 * count}em"></mspace>') if count else NOTHING


# --- what is made of smaller pieces -----------------------------------------------------------------------------------


def sub(base: Math, below: Math) -> Math:
    return Math(f"{_base(base)}_{{{below.latex}}}", f"<msub>{_one(base)}{_one(below)}</msub>")


def sup(base: Math, above: Math) -> Math:
    return Math(f"{_base(base)}^{{{above.latex}}}", f"<msup>{_one(base)}{_one(above)}</msup>")


def under(base: Math, below: Math) -> Math:
    """A function with its axes below it."""
    return Math(
        rf"\mathop{{\underset{{{below.latex}}}{{{base.latex}}}}}", f"<munder>{_one(base)}{_one(below)}</munder>"
    )


def between(base: Math, below: Math) -> Math:
    """A sign between two operands, with its axes below it."""
    latex = rf"\mathbin{{\underset{{{below.latex}}}{{{base.latex}}}}}"
    mathml = (
        f'<mspace width="0.22em"></mspace><munder>{_one(base)}{_one(below)}</munder><mspace width="0.22em"></mspace>'
    )
    return Math(latex, mathml)


def big(name: str, below: Math) -> Math:
    """A sum or a product over what stands below it."""
    latex, character = SIGNS[name]
    mathml = f'<munder><mo movablelimits="false" largeop="true">{character}</mo>{_one(below)}</munder>'
    return Math(rf"{latex}\limits_{{{below.latex}}} ", mathml)


def frac(above: Math, below: Math) -> Math:
    return Math(rf"\frac{{{above.latex}}}{{{below.latex}}}", f"<mfrac>{_one(above)}{_one(below)}</mfrac>")


def root(below: Math) -> Math:
    return Math(rf"\sqrt{{{below.latex}}}", f"<msqrt>{below.mathml}</msqrt>")


def overline(below: Math) -> Math:
    return Math(rf"\overline{{{below.latex}}}", f'<mover>{_one(below)}<mo stretchy="true">‾</mo></mover>')


BRACKETS = MappingProxyType({
    "(": ("(", ")", "(", ")"),
    "[": ("[", "]", "[", "]"),
    "|": (r"\lvert ", r" \rvert", "|", "|"),
    "‖": (r"\lVert ", r" \rVert", "‖", "‖"),
    "⌊": (r"\lfloor ", r" \rfloor", "⌊", "⌋"),
    "⌈": (r"\lceil ", r" \rceil", "⌈", "⌉"),
})  # fmt: skip


def fenced(kind: str, body: Math) -> Math:
    """Between brackets, which grow with what is in them."""
    opening, closing, left, right = BRACKETS[kind]
    if body.tall:
        opening, closing = rf"\left{opening}", rf"\right{closing.strip()}"
    inner = body.latex.strip() if opening.endswith(" ") else body.latex
    latex = f"{opening}{inner}{closing}"
    return Math(latex, f'<mrow><mo fence="true">{left}</mo>{body.mathml}<mo fence="true">{right}</mo></mrow>')


def cases(rows: Sequence[tuple[Math, Math]]) -> Math:
    """One of several values, each with what has to be so."""
    latex = r" \\ ".join(f"{first.latex} & {second.latex}" for first, second in rows)
    body = "".join(f"<mtr><mtd>{first.mathml}</mtd><mtd>{second.mathml}</mtd></mtr>" for first, second in rows)
    table = f'<mrow><mo fence="true" stretchy="true">{{</mo><mtable class="cases">{body}</mtable></mrow>'
    return Math(rf"\begin{{cases}} {latex} \end{{cases}}", table)


# --- helpers ----------------------------------------------------------------------------------------------------------

GREEK = MappingProxyType({
    "alpha": "α", "beta": "β", "gamma": "γ", "delta": "δ", "epsilon": "ϵ", "varepsilon": "ε", "zeta": "ζ", "eta": "η",
    "theta": "θ", "iota": "ι", "kappa": "κ", "lambda": "λ", "mu": "μ", "nu": "ν", "xi": "ξ", "pi": "π", "rho": "ρ",
    "sigma": "σ", "tau": "τ", "upsilon": "υ", "phi": "φ", "chi": "χ", "psi": "ψ", "omega": "ω", "Gamma": "Γ",
    "Delta": "Δ", "Theta": "Θ", "Lambda": "Λ", "Xi": "Ξ", "Pi": "Π", "Sigma": "Σ", "Upsilon": "Υ", "Phi": "Φ",
    "Psi": "Ψ", "Omega": "Ω",
})  # fmt: skip
_NAMES_OF_GREEK = MappingProxyType({character: name for name, character in GREEK.items()})

_LETTER = "|".join([*sorted(GREEK, key=len, reverse=True), *_NAMES_OF_GREEK, "[A-Za-z]"])
_INDEXED = re.compile(rf"(?P<base>{_LETTER})((?P<digits>[0-9]+)|_(?P<after>[A-Za-z0-9]+))")


def _primes(name: str) -> tuple[str, int]:
    stem = name.rstrip("'")
    return stem, len(name) - len(stem)


def _primed(base: Math, primes: int) -> Math:
    if not primes:
        return base
    return Math(base.latex + "'" * primes, f"<msup>{_one(base)}<mo>{'′' * primes}</mo></msup>")


def _letters(stem: str) -> Math:
    greek = _NAMES_OF_GREEK.get(stem, stem)
    if greek in GREEK:
        return Math(rf"\{greek}", f"<mi>{GREEK[greek]}</mi>", True)
    if not stem.isascii():
        return Math(rf"\text{{{_latex(stem)}}}", f"<mi>{_html(stem)}</mi>", True)
    if len(stem) == 1:
        return Math(_latex(stem), f"<mi>{_html(stem)}</mi>", True)
    return Math(rf"\mathit{{{_name(stem)}}}", f'<mi class="name">{_html(stem)}</mi>', True)


def _upright(stem: str) -> Math:
    return Math(rf"\mathrm{{{_name(stem)}}}", f'<mi mathvariant="normal">{_html(stem)}</mi>', True)


def _base(piece: Math) -> str:
    return piece.latex if piece.simple else f"{{{piece.latex}}}"


def _one(piece: Math) -> str:
    """As one element."""
    return piece.mathml if piece.simple else f"<mrow>{piece.mathml}</mrow>"


_ESCAPES = MappingProxyType({
    "\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}",
    **{character: f"\\{character}" for character in "{}$&#_%"},
})  # fmt: skip


def _latex(words: str) -> str:
    return "".join(_ESCAPES.get(character, character if character.isprintable() else " ") for character in words)


def _name(stem: str) -> str:
    """As `_latex`, for a font of mathematics, in which `\\_` alone would be set apart."""
    return _latex(stem).replace(r"\_", r"{\_}")


def _html(words: str) -> str:
    return html.escape("".join(character if character.isprintable() else " " for character in words))

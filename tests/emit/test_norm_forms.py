"""Norms with their statistics and weights along any axes: which kernel is called, and the definition's values."""

from __future__ import annotations

import numpy as np
import pytest

from tests.emit.forms import inputs_of, reference, slopes, text_of
from tests.emit.harness import compiled
from tests.helpers import check

SIZES = {"a": 2, "b": 2, "c": 3, "x": 4, "y": 5}
BOTH = "g[c], h[c]"

FORMS: dict[str, tuple[str, str, str]] = {
    "features": (f"X[b, c]; {BOTH}", "return standardize[c](X) * g + h", "layer_norm"),
    "features in front": (f"X[b, c, x]; {BOTH}", "return standardize[c](X) * g + h", "layer_norm"),
    "features on two axes": ("X[b, c, x]; g[c, x], h[x, c]", "return standardize[c, x](X) * g + h", "layer_norm"),
    "features, weighed in part": (f"X[b, c, x]; {BOTH}", "return standardize[c, x](X) * g + h", "group_norm"),
    "features, weighed on a later part": ("X[b, c, x]; g[x]", "return standardize[c, x](X) * g", "layer_norm"),
    "a batch": (f"X[b, c, x]; {BOTH}", "return standardize[b, x](X) * g + h", "batch_norm"),
    "a batch of rows": (f"X[b, c]; {BOTH}", "return standardize[b](X) * g + h", "batch_norm"),
    "a batch, channels last": (f"X[b, x, c]; {BOTH}", "return standardize[b, x](X) * g + h", "batch_norm"),
    "a batch, weighed elsewhere": ("X[b, c, x]; g[x]", "return standardize[b, x](X) * g", "batch_norm"),
    "instances": (f"X[b, c, x, y]; {BOTH}", "return standardize[x, y](X) * g + h", "group_norm"),
    "instances, bare": ("X[b, c, x, y]", "return standardize[x, y](X)", "layer_norm"),
    "instances with a weight": ("X[b, c, x]; g[c]", "return g * standardize[x](X)", "group_norm"),
    "instances with a bias": ("X[b, c, x]; h[c]", "return standardize[x](X) + h", "group_norm"),
    "instances, channels last": (f"X[b, x, y, c]; {BOTH}", "return standardize[x, y](X) * g + h", "group_norm"),
    "instances, two batches": (f"X[a, b, c, x]; {BOTH}", "return standardize[x](X) * g + h", "group_norm"),
    "one instance": (f"X[c, x, y]; {BOTH}", "return standardize[x, y](X) * g + h", "group_norm"),
    "weights for each of the batch": ("X[b, x, c]; g[b]", "return standardize[c](X) * g", "layer_norm"),
    "groups": ("X[b, a, c, x]; g[a, c], h[a, c]", "return standardize[c, x](X) * g + h", "group_norm"),
    "groups on their own": ("X[a, c, x]; g[a, c]", "return standardize[c, x](X) * g", "group_norm"),
    "groups the other way": ("X[b, c, a, x]; g[a, c]", "return standardize[c, x](X) * g", "layer_norm"),
    "weights of two kinds": ("X[b, c]; g[c], h[b]", "return standardize[c](X) * g + h", "layer_norm"),
    "features with a bias": ("X[b, c]; h[c]", "return standardize[c](X) + h", "layer_norm"),
    "a batch with a bias": ("X[b, c, x]; h[c]", "return standardize[b, x](X) + h", "batch_norm"),
    "groups of a split axis": ("X[b, c, x]; g[c], h[c]",
        "return standardize[m, x](X[c -> (n, m = 1)])[(n, m) -> c] * g + h", "group_norm"),
    "groups of a split axis with a bias": ("X[b, c, x]; h[c]",
        "return standardize[m, x](X[c -> (n = 1, m)])[(n, m) -> c] + h", "group_norm"),
    "by hand": (f"X[b, c, x]; {BOTH}",
        """
        D = X - mean[x](X)
        return g * D / sqrt(mean[x](D * D) + 1e-3) + h
        """, "group_norm"),
    "root mean squares": ("X[b, c]; g[c]", "return g * X / sqrt(mean[c](X ^ 2) + 1e-6)", "rms_norm"),
    "root mean squares in front": ("X[c, b]; g[c]", "return g * X / sqrt(mean[c](X ^ 2) + 1e-6)", "rms_norm"),
    "root mean squares, in part": ("X[b, c, x]; g[c]", "return g * X / sqrt(mean[c, x](X ^ 2) + 1e-6)", "rms_norm"),
}  # fmt: skip


@pytest.mark.parametrize("form", FORMS)
def test_kernel_and_definition(form: str) -> None:
    signature, body, kernel = FORMS[form]
    text = text_of(signature, body)
    arrays = inputs_of(text, SIZES)
    first = compiled(text, arrays).graphs[0]
    called = {getattr(node.target, "__name__", "") for node in first.nodes}
    assert called & {"layer_norm", "group_norm", "batch_norm", "rms_norm"} == {kernel}
    check(text, arrays, reference(text, arrays), rtol=1e-7, atol=1e-8)


@pytest.mark.parametrize("size", [0, 1])
@pytest.mark.parametrize("axis", ["b", "c", "x"])
@pytest.mark.parametrize("form", [name for name, one in FORMS.items() if one[0].startswith("X[b, c, x]")])
def test_empty_and_single_axes(form: str, axis: str, size: int) -> None:
    signature, body, _ = FORMS[form]
    text = text_of(signature, body)
    arrays = inputs_of(text, {**SIZES, axis: size})
    found, _ = slopes(text, arrays)
    np.testing.assert_allclose(found.detach().numpy(), reference(text, arrays), rtol=1e-7, atol=1e-8)

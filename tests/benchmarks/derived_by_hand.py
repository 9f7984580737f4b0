"""Gradients of loops as somebody writes them who derives them by hand, for two loops of which steps are short.

In: what comes back to the results of a loop, and its tensors. Out: what comes back to each of these. What always holds:
no derivative is asked of torch: what can be is computed for all steps at once, and each step of both loops is as few
calls as torch has for it, into memory that is there.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

Derived = Callable[..., Sequence[Tensor]]

_aten = torch.ops.aten


def filtered(slopes: Tensor, x: Tensor, start: Tensor, a: Tensor, w: Tensor, b: Tensor) -> tuple[Tensor, ...]:
    """A step divides by a sum, so that what comes back is off by its mean: p is as it is, however large q was."""
    every = F.linear(x, w, b).exp_()
    found = x.new_empty(*x.shape[:2], start.shape[1])
    products, totals = torch.empty_like(found), x.new_empty(*x.shape[:2], 1)
    p = start
    for out, product, seen, total in _steps(found, products, every, totals):
        torch.mul(torch.mm(p, a, out=product), seen, out=out)
        p = out.div_(torch.sum(out, 1, True, out=total))
    slope, weighed = slopes[-1].clone(), torch.empty_like(start)
    mean, turned, factors, off = totals.new_empty(len(start), 1), a.t().contiguous(), every / totals, every
    before, arriving = torch.cat((start[None], found[:-1])), _one_later(slopes)
    for out, factor, p, more in reversed(_steps(off, factors, found, arriving)):
        torch.sum(torch.mul(slope, p, out=weighed), 1, True, out=mean)
        torch.mul(torch.sub(slope, mean, out=out), factor, out=out)
        torch.addmm(more, out, turned, out=slope)
    flat = products.mul_(off).flatten(0, 1)
    to_chances = before.flatten(0, 1).t() @ off.flatten(0, 1)
    return (flat @ w).view_as(x), slope, to_chances, flat.t() @ x.flatten(0, 1), flat.sum(0)


def normed(slopes: Tensor, x: Tensor, start: Tensor, *weights: Tensor) -> tuple[Tensor, ...]:
    """Both gates are normed at once, forwards and backwards."""
    wr, ur, wz, uz, wn, un, s, b = weights
    inputs, states, last = torch.cat([wr, wz]), torch.cat([ur, uz]), un.t().contiguous()
    both, new, packed = F.linear(x, inputs), F.linear(x, wn), states.t().contiguous()
    steps, batch, hidden = *x.shape[:2], start.shape[1]
    pairs, shape = both.unflatten(2, (2, hidden)), [hidden]
    found, gates = x.new_empty(steps, batch, hidden), x.new_empty(steps, batch, 2, hidden)
    reset, candidates = torch.empty_like(found), torch.empty_like(found)
    r, z = gates.unbind(2)
    h = start
    for out, flat, pair, n, gate, r_now, z_now, rh, tanh in _steps(
        found, both, pairs, new, gates, r, z, reset, candidates
    ):
        flat.addmm_(h, packed)
        torch.sigmoid(F.layer_norm(pair, shape, s, b), out=gate)
        n.addmm_(torch.mul(r_now, h, out=rh), last)
        torch.tanh(F.layer_norm(n, shape, s, b), out=tanh)
        h = torch.lerp(tanh, h, z_now, out=out)
    _, *of_pairs = torch.native_layer_norm(pairs, shape, None, None, 1e-5)
    _, *of_new = torch.native_layer_norm(new, shape, None, None, 1e-5)
    before = torch.cat((start[None], found[:-1]))
    by_z, by_r = _aten.sigmoid_backward(before - candidates, z), _aten.sigmoid_backward(before, r)
    by_n = _aten.tanh_backward(1 - z, candidates)
    to_gates, to_new, slope = torch.empty_like(gates), torch.empty_like(found), slopes[-1].clone()
    arriving, inner, alone = _one_later(slopes), torch.empty_like(start), [True, False, False]
    to_r, to_z = to_gates.unbind(2)
    for (
        z_now,
        r_now,
        z_by,
        r_by,
        n_by,
        pair,
        pair_mean,
        pair_scale,
        n,
        mean,
        scale,
        out,
        r_out,
        z_out,
        n_out,
        more,
    ) in reversed(
        _steps(z, r, by_z, by_r, by_n, pairs, *of_pairs, new, *of_new, to_gates, to_r, to_z, to_new, arriving)
    ):
        back = _aten.native_layer_norm_backward(torch.mul(slope, n_by, out=n_out), n, shape, mean, scale, s, b, alone)
        torch.mul(torch.mm(back[0], un, out=inner), r_by, out=r_out)
        torch.mul(slope, z_by, out=z_out)
        back = _aten.native_layer_norm_backward(out, pair, shape, pair_mean, pair_scale, s, b, alone)
        torch.addcmul(more, slope, z_now, out=slope).addcmul_(inner, r_now).addmm_(back[0].flatten(1), states)
    wanted = [True, True, True]
    of_n, s_n, b_n = _aten.native_layer_norm_backward(to_new, new, shape, *of_new, s, b, wanted)
    of_g, s_g, b_g = _aten.native_layer_norm_backward(to_gates, pairs, shape, *of_pairs, s, b, wanted)
    flat_n, flat_g, flat_x = of_n.flatten(0, 1), of_g.flatten(2).flatten(0, 1), x.flatten(0, 1)
    to_states, to_inputs = flat_g.t() @ before.flatten(0, 1), flat_g.t() @ flat_x
    to_x = torch.addmm(flat_n @ wn, flat_g, inputs).view_as(x)
    (to_wr, to_wz), (to_ur, to_uz) = to_inputs.chunk(2), to_states.chunk(2)
    to_wn, to_un = flat_n.t() @ flat_x, flat_n.t() @ reset.flatten(0, 1)
    return to_x, slope, to_wr, to_ur, to_wz, to_uz, to_wn, to_un, s_n + s_g, b_n + b_g


DERIVED: Mapping[str, Derived] = {"hidden Markov filter": filtered, "GRU with layer norms": normed}
"""By the name of the loop."""


# --- helpers ----------------------------------------------------------------------------------------------------------


def _one_later(slopes: Tensor) -> Tensor:
    """What comes back to results, handed on one step later, and nothing to the start."""
    return torch.cat((torch.zeros_like(slopes[:1]), slopes[:-1]))


def _steps(*sequences: Tensor) -> list[tuple[Tensor, ...]]:
    return list(zip(*(one.unbind() for one in sequences), strict=True))

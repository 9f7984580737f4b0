"""The loops of `cells`: as one writes them, by somebody who takes out of them what he can, and at the floor.

In: tensors. Out: a result. What always holds: all three compute the same; the floor has as few calls as torch has for a
step, into memory that is there, as nothing that is differentiated may.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

# --- as one writes it -------------------------------------------------------------------------------------------------


def gelu(x: Tensor, h: Tensor, a: Tensor, b: Tensor, c: Tensor, r: Tensor, bias: Tensor) -> Tensor:
    found = []
    for now in x:
        g = torch.sigmoid(now @ b.T + r * h)
        n = F.gelu((g * h) @ a.T + now @ c.T + bias)
        h = 0.9 * h + 0.1 * n
        found.append(h)
    return torch.stack(found)


def rates(x: Tensor, h: Tensor, w: Tensor, u: Tensor, b: Tensor) -> Tensor:
    found = []
    for now in x:
        h = 0.8 * h + 0.2 * torch.relu(now @ w.T + h @ u.T + b)
        found.append(h)
    return torch.stack(found)


def mingru(x: Tensor, h: Tensor, wz: Tensor, bz: Tensor, wh: Tensor, bh: Tensor) -> Tensor:
    found = []
    for now in x:
        z = torch.sigmoid(now @ wz.T + bz)
        h = (1 - z) * h + z * (now @ wh.T + bh)
        found.append(h)
    return torch.stack(found)


def peephole(
    x: Tensor, h: Tensor, c: Tensor, w: Tensor, u: Tensor, b: Tensor, p: Tensor, q: Tensor, s: Tensor
) -> Tensor:
    found = []
    for now in x:
        gates = [now @ w[k].T + h @ u[k].T + b[k] for k in range(4)]
        i, f = torch.sigmoid(gates[0] + p * c), torch.sigmoid(gates[1] + q * c)
        c = f * c + i * torch.tanh(gates[2])
        h = torch.sigmoid(gates[3] + s * c) * torch.tanh(c)
        found.append(h)
    return torch.stack(found)


def oscillator(x: Tensor, y: Tensor, z: Tensor, w: Tensor, v: Tensor, u: Tensor, b: Tensor) -> Tensor:
    found = []
    for now in x:
        a = torch.tanh(y @ w.T + z @ v.T + now @ u.T + b)
        z = z + 0.05 * (a - 1.2 * y - 0.9 * z)
        y = y + 0.05 * z
        found.append(y)
    return torch.stack(found)


def normed(x: Tensor, h: Tensor, *weights: Tensor) -> Tensor:
    wr, ur, wz, uz, wn, un, s, b = weights
    found = []
    for now in x:
        r = torch.sigmoid(F.layer_norm(now @ wr.T + h @ ur.T, h.shape[1:], s, b))
        z = torch.sigmoid(F.layer_norm(now @ wz.T + h @ uz.T, h.shape[1:], s, b))
        n = torch.tanh(F.layer_norm(now @ wn.T + (r * h) @ un.T, h.shape[1:], s, b))
        h = (1 - z) * n + z * h
        found.append(h)
    return torch.stack(found)


def decoder(x: Tensor, h: Tensor, m: Tensor, w: Tensor, u: Tensor, v: Tensor, b: Tensor) -> Tensor:
    found = []
    for now in x:
        a = torch.softmax((m @ h[:, :, None])[:, :, 0] / h.shape[1] ** 0.5, 1)
        c = (a[:, None] @ m)[:, 0]
        h = torch.tanh(now @ w.T + h @ u.T + c @ v.T + b)
        found.append(h)
    return torch.stack(found)


def filtered(x: Tensor, p: Tensor, a: Tensor, w: Tensor, b: Tensor) -> Tensor:
    found = []
    for now in x:
        q = (p @ a) * torch.exp(now @ w.T + b)
        p = q / q.sum(1, keepdim=True)
        found.append(p)
    return torch.stack(found)


def forwards(x: Tensor, p: Tensor, a: Tensor, w: Tensor, b: Tensor) -> Tensor:
    found = []
    for now in x:
        p = torch.logsumexp(p[:, :, None] + a, 1) + now @ w.T + b
        found.append(p)
    return torch.stack(found)


def kalman(y: Tensor, m: Tensor, v: Tensor, h: Tensor, a: Tensor, q: Tensor, r: Tensor) -> Tensor:
    found = []
    for now in y:
        m, v = a * m, a * a * v + q
        k = v / (v + r)
        m = m + k * (now @ h.T - m)
        v = (1 - k) * v
        found.append(m)
    return torch.stack(found)


# --- by somebody who takes out of the loop what he can ----------------------------------------------------------------


def gelu_hoisted(x: Tensor, h: Tensor, a: Tensor, b: Tensor, c: Tensor, r: Tensor, bias: Tensor) -> Tensor:
    found = []
    for gate, new in zip(F.linear(x, b).unbind(), F.linear(x, c, bias).unbind(), strict=True):
        n = F.gelu(torch.addmm(new, torch.sigmoid(torch.addcmul(gate, r, h)) * h, a.t()))
        h = torch.lerp(h, n, 0.1)
        found.append(h)
    return torch.stack(found)


def rates_hoisted(x: Tensor, h: Tensor, w: Tensor, u: Tensor, b: Tensor) -> Tensor:
    found = []
    for now in F.linear(x, w, b).unbind():
        h = torch.lerp(h, torch.relu(torch.addmm(now, h, u.t())), 0.2)
        found.append(h)
    return torch.stack(found)


def mingru_hoisted(x: Tensor, h: Tensor, wz: Tensor, bz: Tensor, wh: Tensor, bh: Tensor) -> Tensor:
    found = []
    for z, new in zip(torch.sigmoid(F.linear(x, wz, bz)).unbind(), F.linear(x, wh, bh).unbind(), strict=True):
        h = torch.lerp(h, new, z)
        found.append(h)
    return torch.stack(found)


def peephole_hoisted(
    x: Tensor, h: Tensor, c: Tensor, w: Tensor, u: Tensor, b: Tensor, p: Tensor, q: Tensor, s: Tensor
) -> Tensor:
    found, state = [], u.flatten(0, 1).t()
    for now in F.linear(x, w.flatten(0, 1), b.flatten()).unbind():
        i, f, g, o = torch.addmm(now, h, state).chunk(4, 1)
        i, f = torch.sigmoid(torch.addcmul(i, p, c)), torch.sigmoid(torch.addcmul(f, q, c))
        c = torch.addcmul(f * c, i, torch.tanh(g))
        h = torch.sigmoid(torch.addcmul(o, s, c)) * torch.tanh(c)
        found.append(h)
    return torch.stack(found)


def oscillator_hoisted(x: Tensor, y: Tensor, z: Tensor, w: Tensor, v: Tensor, u: Tensor, b: Tensor) -> Tensor:
    found = []
    for now in F.linear(x, u, b).unbind():
        a = torch.tanh(torch.addmm(torch.addmm(now, y, w.t()), z, v.t()))
        z = torch.add(z, a - 1.2 * y - 0.9 * z, alpha=0.05)
        y = torch.add(y, z, alpha=0.05)
        found.append(y)
    return torch.stack(found)


def normed_hoisted(x: Tensor, h: Tensor, *weights: Tensor) -> Tensor:
    wr, ur, wz, uz, wn, un, s, b = weights
    both, new = F.linear(x, torch.cat([wr, wz])), F.linear(x, wn)
    state, found = torch.cat([ur, uz]).t(), []
    for gates, candidate in zip(both.unbind(), new.unbind(), strict=True):
        gates = torch.addmm(gates, h, state).unflatten(1, (2, -1))
        r, z = torch.sigmoid(F.layer_norm(gates, h.shape[1:], s, b)).unbind(1)
        n = torch.tanh(F.layer_norm(torch.addmm(candidate, r * h, un.t()), h.shape[1:], s, b))
        h = torch.lerp(n, h, z)
        found.append(h)
    return torch.stack(found)


def decoder_hoisted(x: Tensor, h: Tensor, m: Tensor, w: Tensor, u: Tensor, v: Tensor, b: Tensor) -> Tensor:
    found, keys = [], m / h.shape[1] ** 0.5
    for now in F.linear(x, w, b).unbind():
        a = torch.softmax(torch.bmm(keys, h[:, :, None]), 1)
        c = torch.bmm(a.transpose(1, 2), m)[:, 0]
        h = torch.tanh(torch.addmm(torch.addmm(now, h, u.t()), c, v.t()))
        found.append(h)
    return torch.stack(found)


def filtered_hoisted(x: Tensor, p: Tensor, a: Tensor, w: Tensor, b: Tensor) -> Tensor:
    found = []
    for seen in torch.exp(F.linear(x, w, b)).unbind():
        q = torch.mm(p, a) * seen
        p = q / q.sum(1, keepdim=True)
        found.append(p)
    return torch.stack(found)


def forwards_hoisted(x: Tensor, p: Tensor, a: Tensor, w: Tensor, b: Tensor) -> Tensor:
    found, chances = [], torch.exp(a)
    for seen in F.linear(x, w, b).unbind():
        top = p.amax(1, keepdim=True)
        p = torch.log(torch.mm(torch.exp(p - top), chances)) + top + seen
        found.append(p)
    return torch.stack(found)


def kalman_hoisted(y: Tensor, m: Tensor, v: Tensor, h: Tensor, a: Tensor, q: Tensor, r: Tensor) -> Tensor:
    found, square = [], a * a
    for now in F.linear(y, h).unbind():
        v = torch.addcmul(q, square, v)
        k = v / (v + r)
        m = torch.lerp(a * m, now, k)
        v = (1 - k) * v
        found.append(m)
    return torch.stack(found)


# --- at the floor -----------------------------------------------------------------------------------------------------


def gelu_floor(x: Tensor, h: Tensor, a: Tensor, b: Tensor, c: Tensor, r: Tensor, bias: Tensor) -> Tensor:
    gates, new, found = F.linear(x, b), F.linear(x, c, bias), x.new_empty(*x.shape[:2], h.shape[1])
    packed = a.t().contiguous()
    turned = new.transpose(1, 2)  # what does not lie in order is not sent to oneDNN, which takes long to be called
    for out, gate, n, t in zip(found.unbind(), gates.unbind(), new.unbind(), turned.unbind(), strict=True):
        torch.mul(gate.addcmul_(r, h).sigmoid_(), h, out=out)
        n.addmm_(out, packed)
        F.gelu(t, out=t)  # type: ignore[call-arg]
        h = torch.lerp(h, n, 0.1, out=out)
    return found


def rates_floor(x: Tensor, h: Tensor, w: Tensor, u: Tensor, b: Tensor) -> Tensor:
    new, found, packed = F.linear(x, w, b), x.new_empty(*x.shape[:2], h.shape[1]), u.t().contiguous()
    for out, n in zip(found.unbind(), new.unbind(), strict=True):
        h = torch.lerp(h, n.addmm_(h, packed).relu_(), 0.2, out=out)
    return found


def mingru_floor(x: Tensor, h: Tensor, wz: Tensor, bz: Tensor, wh: Tensor, bh: Tensor) -> Tensor:
    gates, new, found = F.linear(x, wz, bz).sigmoid_(), F.linear(x, wh, bh), x.new_empty(*x.shape[:2], h.shape[1])
    for out, z, n in zip(found.unbind(), gates.unbind(), new.unbind(), strict=True):
        h = torch.lerp(h, n, z, out=out)
    return found


def peephole_floor(
    x: Tensor, h: Tensor, c: Tensor, w: Tensor, u: Tensor, b: Tensor, p: Tensor, q: Tensor, s: Tensor
) -> Tensor:
    every, found = F.linear(x, w.flatten(0, 1), b.flatten()), x.new_empty(*x.shape[:2], h.shape[1])
    packed, parts = u.flatten(0, 1).t().contiguous(), [one.unbind() for one in every.split(h.shape[1], 2)]
    for out, gates, i, f, g, o in zip(found.unbind(), every.unbind(), *parts, strict=True):
        gates.addmm_(h, packed)
        i.addcmul_(p, c).sigmoid_()
        f.addcmul_(q, c).sigmoid_()
        c = f.mul_(c).addcmul_(i, g.tanh_())
        h = torch.mul(o.addcmul_(s, c).sigmoid_(), torch.tanh(c, out=out), out=out)
    return found


def oscillator_floor(x: Tensor, y: Tensor, z: Tensor, w: Tensor, v: Tensor, u: Tensor, b: Tensor) -> Tensor:
    new, found, z = F.linear(x, u, b), x.new_empty(*x.shape[:2], y.shape[1]), z.clone()
    first, second = w.t().contiguous(), v.t().contiguous()
    for out, n in zip(found.unbind(), new.unbind(), strict=True):
        n.addmm_(y, first).addmm_(z, second).tanh_().add_(y, alpha=-1.2).add_(z, alpha=-0.9)
        z.add_(n, alpha=0.05)
        y = torch.add(y, z, alpha=0.05, out=out)
    return found


def normed_floor(x: Tensor, h: Tensor, *weights: Tensor) -> Tensor:
    wr, ur, wz, uz, wn, un, s, b = weights
    both, new = F.linear(x, torch.cat([wr, wz])), F.linear(x, wn)
    state, last, apart = torch.cat([ur, uz]).t().contiguous(), un.t().contiguous(), both.unflatten(2, (2, -1))
    found, shape = x.new_empty(*x.shape[:2], h.shape[1]), h.shape[1:]
    for out, flat, gates, n in zip(found.unbind(), both.unbind(), apart.unbind(), new.unbind(), strict=True):
        flat.addmm_(h, state)
        r, z = F.layer_norm(gates, shape, s, b).sigmoid_().unbind(1)
        n.addmm_(torch.mul(r, h, out=out), last)
        h = torch.lerp(F.layer_norm(n, shape, s, b).tanh_(), h, z, out=out)
    return found


def decoder_floor(x: Tensor, h: Tensor, m: Tensor, w: Tensor, u: Tensor, v: Tensor, b: Tensor) -> Tensor:
    new, found, keys = F.linear(x, w, b), x.new_empty(*x.shape[:2], h.shape[1]), m / h.shape[1] ** 0.5
    first, second = u.t().contiguous(), v.t().contiguous()
    scores, seen = m.new_empty(*m.shape[:2], 1), m.new_empty(m.shape[0], 1, m.shape[2])
    turned, flat = scores.transpose(1, 2), seen[:, 0]
    queries = found.unsqueeze(3)
    query = h.unsqueeze(2)
    for out, n, following in zip(found.unbind(), new.unbind(), queries.unbind(), strict=True):
        torch.softmax(torch.bmm(keys, query, out=scores), 1, out=scores)
        torch.bmm(turned, m, out=seen)
        h, query = torch.tanh(n.addmm_(h, first).addmm_(flat, second), out=out), following
    return found


def filtered_floor(x: Tensor, p: Tensor, a: Tensor, w: Tensor, b: Tensor) -> Tensor:
    every, found, total = F.linear(x, w, b).exp_(), x.new_empty(*x.shape[:2], p.shape[1]), p.new_empty(p.shape[0], 1)
    for out, seen in zip(found.unbind(), every.unbind(), strict=True):
        torch.mm(p, a, out=out).mul_(seen)
        p = out.div_(torch.sum(out, 1, True, out=total))
    return found


def forwards_floor(x: Tensor, p: Tensor, a: Tensor, w: Tensor, b: Tensor) -> Tensor:
    every, found, chances = F.linear(x, w, b), x.new_empty(*x.shape[:2], p.shape[1]), torch.exp(a)
    top, shifted = p.new_empty(p.shape[0], 1), torch.empty_like(p)
    for out, seen in zip(found.unbind(), every.unbind(), strict=True):
        torch.sub(p, torch.amax(p, 1, True, out=top), out=shifted)
        p = torch.mm(shifted.exp_(), chances, out=out).log_().add_(top).add_(seen)
    return found


def kalman_floor(y: Tensor, m: Tensor, v: Tensor, h: Tensor, a: Tensor, q: Tensor, r: Tensor) -> Tensor:
    every, found, square, v = F.linear(y, h), y.new_empty(*y.shape[:2], m.shape[1]), a * a, v.clone()
    k, rest, one = torch.empty_like(v), torch.empty_like(v), v.new_ones(())
    for out, now in zip(found.unbind(), every.unbind(), strict=True):
        torch.addcmul(q, square, v, out=v)
        torch.div(v, torch.add(v, r, out=k), out=k)
        m = torch.lerp(torch.mul(a, m, out=out), now, k, out=out)
        v.mul_(torch.sub(one, k, out=rest))
    return found

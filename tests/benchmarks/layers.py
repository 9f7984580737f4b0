"""LeNet and attention, as formulas and by hand: forward, forward and backward, and what compiling them takes.

    python tests/benchmarks/layers.py [--threads 2]

Both sides compute the same from the same tensors; that they agree is asserted before anything is timed. The sizes are
those of the original LeNet (28x28 images, 5x5 kernels, batch 64) and of a small transformer (4x8 heads, 512 positions).
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from turns import medians, report

import namedlayers as nl

ATTENTION = """
def attention(Q[query, key], K[seq, key], V[seq, val]; M[query, seq] = 0) -> [query, val]:
    return softmax[seq](Q @[key] K / sqrt(|key|) + M) @[seq] V
"""

LENET = """
def conv(X[chans, height, width]; W[chans', chans, kh, kw], b[chans']) -> [chans', height, width]:
    return W @[chans, kh, kw] unroll[height, width, kh, kw](X) + b

def lenet(
    X[chans, height, width];
    W1[chans', chans, kh, kw], b1[chans'], W2[chans'', chans', kh, kw], b2[chans''],
    V1[hidden, layer], c1[hidden], V2[class, hidden], c2[class],
) -> [class]:
    H = max[ph, pw](pool[height, width, ph = 2, pw = 2](relu(conv(X; W1, b1))))
    H = relu(conv(H[chans' -> chans]; W2[chans' -> chans, chans'' -> chans'], b2[chans'' -> chans']))
    H = max[ph, pw](pool[height, width, ph = 2, pw = 2](H))
    H = H[(height, width, chans') -> layer]
    H = relu(V1 @[layer] H + c1)
    return softmax[class](V2 @[hidden] H + c2)
"""


def attention_by_hand(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
    return F.scaled_dot_product_attention(q, k, v)


def lenet_by_hand(x: torch.Tensor, *parameters: torch.Tensor) -> torch.Tensor:
    w1, b1, w2, b2, v1, c1, v2, c2 = parameters
    h = F.max_pool2d(torch.relu(F.conv2d(x, w1, b1)), 2)
    h = F.max_pool2d(torch.relu(F.conv2d(h, w2, b2)), 2)
    h = h.permute(0, 2, 3, 1).flatten(1)
    return torch.softmax(F.linear(torch.relu(F.linear(h, v1, c1)), v2, c2), -1)


def backward(function: Callable[..., torch.Tensor], tensors: Sequence[torch.Tensor]) -> Callable[[], object]:
    wanted = [t for t in tensors if t.requires_grad]
    return lambda: torch.autograd.grad(function(*tensors).square().sum(), wanted)


def compare(name: str, formula: nl.Function, by_hand: Callable[..., torch.Tensor], tensors: list[torch.Tensor]) -> None:
    torch.testing.assert_close(formula(*tensors), by_hand(*tensors), rtol=1e-4, atol=1e-5)
    with torch.no_grad():
        sides = {"by hand": lambda: by_hand(*tensors), "formula": lambda: formula(*tensors)}
        report(f"{name}, forward", medians(sides), "by hand")
    both = {"by hand": backward(by_hand, tensors), "formula": backward(formula, tensors)}
    report(f"{name}, forward and backward", medians(both), "by hand")


def compile_times() -> None:
    """From text to a function that has run once, the grammar and the prelude being loaded."""
    q, k, v = (torch.randn(4, 4) for _ in range(3))
    tensors = lenet_tensors(2)
    sides = {
        "attention from text": lambda: nl.compile(ATTENTION).specialize(q, k, v),
        "LeNet from text": lambda: nl.compile(LENET).specialize(*tensors),
    }
    report("compiling, warm", medians(sides, rounds=15), "attention from text")


def import_time() -> None:
    code = (
        "import time, torch, funsor; t = time.perf_counter(); import namedlayers; namedlayers.compile; "
        "print(time.perf_counter() - t)"
    )
    taken = sorted(float(subprocess.check_output([sys.executable, "-c", code])) for _ in range(5))
    print(f"importing namedlayers after torch and funsor: {taken[2] * 1e3:.0f} ms")


def lenet_tensors(batch: int) -> list[torch.Tensor]:
    shapes = [(6, 1, 5, 5), (6,), (16, 6, 5, 5), (16,), (120, 256), (120,), (10, 120), (10,)]
    parameters = [(torch.randn(shape) / 8).requires_grad_() for shape in shapes]
    return [torch.randn(batch, 1, 28, 28), *parameters]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=2)
    torch.set_num_threads(parser.parse_args().threads)
    torch.manual_seed(0)
    queries = [torch.randn(4, 8, 512, 64, requires_grad=True) for _ in range(3)]
    compare("attention 4x8 heads, 512 positions, 64 features", nl.compile(ATTENTION), attention_by_hand, queries)
    compare("LeNet, batch 64", nl.compile(LENET), lenet_by_hand, lenet_tensors(64))
    compile_times()
    import_time()


if __name__ == "__main__":
    main()

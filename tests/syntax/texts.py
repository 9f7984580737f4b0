"""Texts that use every construct of the language, for tests that change or rearrange them."""

LOOK = """\
# attention.nl

def attention(Q[key], K[seq, key], V[seq, val]; M[seq] = 0) -> [val]:
    scores = Q @[key] K / sqrt(|key|) + M
    return softmax[seq](scores) @[seq] V

def conv1d(X[chans, seq]; W[chans', chans, kernel], b[chans']) -> [chans', seq]:
    return W @[chans, kernel] unroll[seq, kernel](X) + b

def maxpool1d[seq](X[seq]; k) = max[kernel](pool[seq, kernel = k](X))

layer Linear[input -> output](X[input]; bias = True) -> [output]:
    param W[output, input] ~ kaiming_uniform(input; a = sqrt(5))
    Y = W @[input] X
    if bias:
        param b[output] ~ uniform(-1 / sqrt(|input|), 1 / sqrt(|input|))
        Y = Y + b
    return Y

layer FeedForward[layer](X[layer]; width = 4 * |layer|) -> [layer]:
    up = Linear[layer -> hidden = width]
    down = Linear[hidden -> layer]
    return down(relu(up(X)))
"""

PRELUDE = """\
def softmax[*ax](X[*ax])       = exp(X - logsumexp[*ax](X))
def var[*ax](X[*ax]; ddof = 0) = sum[*ax]((X - mean[*ax](X)) ^ 2) / (|*ax| - ddof)
def pool[ax, kernel](X[ax])    = X[ax = |kernel| * ax + kernel]     # and its remainder rule
"""

RNN = """\
layer RNN(X[time, input]; h0[hidden] = 0) -> [time, hidden]:
    param Wh[hidden, hidden'] ~ orthogonal
    param Wi[input, hidden']  ~ xavier_uniform(input, hidden')
    param b[hidden']          ~ zeros
    scan time with h = h0:
        h = tanh(Wh @[hidden] h + Wi @[input] X + b)[hidden' -> hidden]
    return h
"""

EVERYTHING = """\
import norm
from conv import conv1d, conv2d  # two

# All of it.
layer Everything[a -> b, *space, kernel = 3](
    X[chans = 3, seq, *rest], I[],  # data
    mask[(heads = 12, key), seq] = True;
    W[chans', chans, kernel], b[] = 0, act = relu, stride = (1, 2), one = (1,), none = (), mode = "same"
) -> [x, y], []:
    |key| = |layer| // |heads|
    require |seq| % |kernel| == 0, "a 'text'\\n"
    require not training or 0 <= k < |seq| != 3

    state mean[chans] ~ zeros
    param Wq[(heads = 12, key), layer] ~ log(state + 1)
    p, q = topk[seq, k = 2](-X ^ -2 ^ n)
    if training and k == 1:  # head
        Y = X[seq = 2:8][seq = ::2][seq = -1][a = |a| - 1:0:-1]
        # the end of the block
    elif (a < b) < c or not (d and e):
        Y = X[(h, w, c) -> layer][layer -> (heads = 8, key)][time = time - 1; fill = 0]
    else:
        Y = (X + (I - 1)) * 2 / -|h, w| // 1e-5 % 0x1F - 1j + .5
    repeat n as i:
        repeat 2:
            Y = norm.LayerNorm[seq -> seq'; eps = 1e-5](Y; bias = False)
    scan time reversed with h = h0, c = c0:
        h = A @[] B @[i, *j] f[](h)[i' = i, *seq = stride * seq + kernel]
    scan step = 10 with x = x0:
        x = where(seq <= seq', 0, -inf)
    return p.q.r(unroll[*space, *kernel](X; stride = (1, 2))), -(-X), (a ^ b) ^ c
"""

TEXTS = {"look": LOOK, "prelude": PRELUDE, "rnn": RNN, "everything": EVERYTHING}

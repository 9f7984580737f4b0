"""Formulas against the original libraries: values and gradients of reference cases made with them.

`data/` holds one `.npz` a case and `cases.json`: where each was made, what it computes, its axes and its tolerance.
Arrays have the names of the formula's inputs; `cot_Y` is the cotangent of result `Y`, `grad_X` the gradient of `X`.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from namedlayers.program.namespace import load_text
from namedlayers.program.signature import signature
from tests.helpers import Named, check

HERE = Path(__file__).parent
CASES: dict[str, Any] = json.loads((HERE / "data" / "cases.json").read_text())


@dataclass(frozen=True)
class Formula:
    """The definition that a case is compared with. `named`: called with named tensors, lifted over the axes
    that it omits."""

    definition: str
    options: dict[str, Any] = field(default_factory=dict)
    named: bool = False
    results: tuple[str, ...] = ()


def formula(definition: str, /, *, named: bool = False, results: tuple[str, ...] = (), **options: Any) -> Formula:
    return Formula(definition, options, named, results)


EPS = float(np.finfo(np.float64).eps)

TABLE = {
    "funsor__FullConn__stack3_b1": formula("feed_forward"),
    "funsor__RNN__one_step": formula("rnn_step"),
    "funsor__Softmax__middle_axis": formula("softmax_seq"),
    "funsor__Attention__self_causal_heads": formula("attention"),
    "funsor__Unroll__k3": formula("windows", k=3),
    "funsor__Pool__k1_identity": formula("tiles", k=1),
    "funsor__Conv1d__multi_out_batch": formula("conv1d"),
    "funsor__Conv2d__multi_out_batch_2x3": formula("conv2d"),
    "funsor__MaxPool1d__k2_batch": formula("maxpool1d", k=2),
    "funsor__MaxPool2d__k2x3": formula("maxpool2d", kh=2, kw=3),
    "funsor__Mean__two_axes": formula("mean_of_two"),
    "funsor__Variance__ax5": formula("variance"),
    "funsor__Standardize__ax6": formula("standardized", eps=EPS),
    "funsor__BatchNorm__b4_c3_l5": formula("batch_norm", eps=EPS),
    "funsor__InstanceNorm__b3_c2_l5": formula("instance_norm", eps=EPS),
    "funsor__LayerNorm__b1_c1": formula("layer_norm", eps=EPS),
    "funsor__GroupNorm__k1_c3": formula("group_norm", k=1, eps=1e-5),
    "funsor__LeNet__notebook_code": formula("lenet"),
    "funsor__Transformer__l1_h4_seq1": formula("transformer", eps=1e-5),
    "torch__Linear__3d": formula("linear"),
    "torch__Embedding__basic": formula("embedding"),
    "torch__RNNCell__tanh": formula("rnn_cell"),
    "torch__LSTMCell__basic": formula("lstm_cell"),
    "torch__LSTM__l2_bidirectional": formula("lstm"),
    "torch__GRUCell__basic": formula("gru_cell"),
    "torch__Conv1d__k3_s1": formula("conv1d"),
    "torch__Conv2d__groups2_d2": formula("conv2d_grouped", groups=2, dilation=2, padding=2),
    "torch__Conv2d__depthwise": formula("conv2d_grouped", groups=3, padding=1),
    "torch__Conv3d__k2x3x2": formula("conv3d", stride=(1, 2, 1), padding=(1, 1, 0)),
    "torch__ConvTranspose2d__k3x2_s2x3": formula("conv_transpose2d", stride=(2, 3)),
    "torch__MaxPool2d__k2": formula("max_pool2d", k=2),
    "torch__AvgPool2d__k3_p1_exclude_pad": formula("avg_pool2d", k=3, stride=2, padding=1),
    "torch__AdaptiveAvgPool2d__global": formula("global_avg_pool2d"),
    "torch__BatchNorm__eval_1d_seq": formula("batch_norm_eval"),
    "torch__InstanceNorm__2d_affine": formula("instance_norm2d"),
    "torch__LayerNorm__last": formula("layer_norm"),
    "torch__GroupNorm__g3_c6": formula("group_norm", groups=3),
    "torch__RMSNorm__eps_default": formula("rms_norm"),
    "torch__scaled_dot_product_attention__causal_square": formula("attention_causal", scale=0.5),
    "torch__scaled_dot_product_attention__bool_mask_scale": formula("attention_masked", scale=0.7),
    "torch__ALiBi_attention__causal_h4": formula("alibi_attention"),
    "torch__MultiheadAttention__cross_padding_mask": formula("multihead_attention", heads=4),
    "torch__TransformerEncoderLayer__post_norm_relu": formula("encoder_layer", heads=2),
    "torch__CrossEntropyLoss__mean": formula("cross_entropy"),
    "torch__elementwise__softmax_chan": formula("softmax_chan"),
    "torch__elementwise__gelu_exact": formula("gelu_exact"),
    "torch__elementwise__logsumexp_two_axes": formula("logsumexp_two"),
    "torch__rotary_embedding__half_split_offset3_b1": formula("rotary", base=500000.0, offset=3),
    "torch__PixelShuffle__r2": formula("pixel_shuffle", r=2),
    "torch__Unfold__k3x2_s2x1_p1_d1": formula("unfold", kh=3, kw=2, stride=(2, 1), padding=(1, 0)),
    "torch__Fold__k2_s1_overlap": formula("fold_windows", kh=2, kw=2, height=3),
    "tinybig__weighted_summation_fusion__k3_2d_fixed": formula("weighted_fusion"),
    "tinybig__weighted_summation_fusion__k1_single": formula("weighted_fusion"),
    "cirkit__hadamard__lse_a3_f2": formula("hadamard", named=True),
    "cirkit__kronecker__lse_a2_f1_b1": formula("kronecker", named=True),
    "cirkit__sum__lse_a1_f2_positive_b1": formula("weighted", named=True),
    "cirkit__sum__lse_a2_f3_softmax": formula("weighted_softmax", named=True),
    "cirkit__sum__complex_a2_f2_negative": formula("weighted_complex", named=True),
    "cirkit__tucker__sp_a2_f2": formula("tucker", named=True),
    "cirkit__sum_sample__a1_f1": formula("sampled", named=True),
    "cirkit__sum_em_step__lr03_pseudocount": formula("em_step", named=True, rate=0.3, pseudocount=0.1),
    "cirkit__circuit__cp_lse_4vars": formula("circuit", results=("out", "partition", "marginal")),
    "spflow__prod_conv__k22_c3": formula("prod_conv", named=True, k=2),
    "spflow__prod_conv__k22_floor_5x5": formula("prod_conv", named=True, k=2),
    "spflow__sum_conv__k2_c3_o4": formula("sum_conv", named=True),
    "spflow__sum_conv__k1_c2_o3": formula("sum_conv", named=True),
    "spflow__sum__f4_c3_o2_r2": formula("sum_layer", named=True),
    "spflow__repetition_mixing__f2_c3_r4": formula("repetition_mixing", named=True),
    "spflow__normal_leaf__nan_marginalised": formula("normal_leaf"),
    "spflow__sum_conv_mpe__evidence": formula("sum_conv_mpe"),
    "spflow__sum_em__f2_r2": formula("sum_em"),
    "spflow__conv_pc__4x4_d1_k2_sum": formula("conv_pc", results=("out",), side=4, k=2),
    "ginjax__conv_contract__d2_scalar_torus": formula("scalar_to_scalar"),
    "ginjax__conv_contract__d2_mixed_torus_auto": formula("mixed"),
    "ginjax__conv_contract__d2_vector_to_2tensor_valid_nobias": formula("vector_to_tensor"),
    "ginjax__conv_contract__d2_rhs_dilation2_torus": formula("dilated", dilation=2),
    "ginjax__conv_contract__d2_bias_mean": formula("bias_mean"),
    "ginjax__group_norm__d2_scalar_g2": formula("group_norm_scalars", groups=2),
    "ginjax__group_norm__d2_vector_g2": formula("group_norm_vectors", groups=2),
    "ginjax__layer_norm__d1_vector": formula("layer_norm"),
    "ginjax__vector_neuron_nonlinear__d2_mixed_gelu": formula("vector_neurons"),
    "ginjax__max_norm_pool__d2_scalar_norm_p2": formula("max_norm_pool", p=2),
    "ginjax__max_norm_pool__d2_scalar_plain_p3": formula("max_pool_plain", p=3),
    "ginjax__layer_wrapper__gelu_scalar_vector": formula("both_activated"),
    "ginjax__layer_wrapper_aux__batchnorm_batch": formula("batch_norm_twice"),
}


@pytest.mark.parametrize("name", TABLE)
def test_a_formula_reproduces_the_original(name: str) -> None:
    one, case = TABLE[name], CASES[name]
    text = (HERE / "formulas" / f"{name.split('__')[0]}.nl").read_text(encoding="utf-8")
    arrays = dict(np.load(HERE / "data" / f"{name}.npz"))
    definition = load_text(text).definitions[one.definition]
    inputs = {parameter.name: arrays[parameter.name] for parameter in signature(definition).inputs}
    results = one.results or tuple(case["expected"])
    wanted = {result: _as_formula(arrays[result], case["axes"][result], one.named) for result in results}
    if one.named:
        inputs = {key: Named(array, " ".join(case["axes"][key])) for key, array in inputs.items()}
    gradients = {key[5:]: array for key, array in arrays.items() if key.startswith("grad_") and key[5:] in inputs}
    cotangents = {
        k: _as_formula(arrays[f"cot_{result}"], case["axes"][result], one.named)
        for k, result in enumerate(results)
        if f"cot_{result}" in arrays
    }
    assert set(gradients) == {key[5:] for key in arrays if key.startswith("grad_")}, "every gradient is compared"
    check(
        text, inputs, tuple(wanted.values()), one.definition, gradients=gradients or False, cotangents=cotangents,
        **case["tolerance"], **one.options,
    )  # fmt: skip


def test_every_case_of_the_data_is_compared() -> None:
    assert set(TABLE) == set(CASES)


def _as_formula(array: np.ndarray, axes: list[str], named: bool) -> Any:
    """A result or its cotangent as the formula has it; the original libraries give a scalar an axis `one`."""
    if axes == ["one"] and array.shape == (1,):
        return array.reshape(())
    return Named(array, " ".join(axes)) if named else array

"""The error codes of layers as modules: making one, its parts, its checkpoints."""

from __future__ import annotations

from namedlayers.codes.table import Code, told

_LINEAR = "`layer Linear[input -> output](X[input]): param W[output, input] ~ …`"

MODULES = told(
    Code(
        "NL0527",
        "a size of a parameter that nothing decides",
        "The sizes of parameters are those of the data, where these have the axis; other sizes are given when a module "
        "is made, or in the text.",
        f"`Linear(input=3)` with {_LINEAR}",
        "Give the size by the name of its axis: `Linear(output=4)`.",
    ),
    Code(
        "NL0528",
        "a size on which the layer itself depends",
        "A `repeat` counts this size, an `if` asks for it, or `int` rounds what is made of it, so that without it "
        "there are no parameters yet.",
        "`Deep()` with `layer Deep(X[depth, width]): repeat |depth| as block: …`",
        "Give the size when the module is made: `Deep(depth=6)`.",
    ),
    Code(
        "NL0529",
        "a name that is an axis and an option",
        "Sizes and options are given by name in one call, so a name that is both says nothing.",
        "`Pool(k=2)` with `layer Pool[k](X[seq]; k = 2)`",
        "Call the axis or the option otherwise, in the text.",
    ),
    Code(
        "NL0530",
        "a size that is no size",
        "A size is an integer, 0 or more; `dtype` is a torch type of reals.",
        f'`Linear(output="4")` with {_LINEAR}',
        "Give an integer. For a starred axis parameter, give one, or a tuple of them.",
    ),
    Code(
        "NL0531",
        "a size or option that the layer does not have",
        "A keyword is the name of an axis, of an option, `dtype` or `device`.",
        f"`Linear(outputs=4)` with {_LINEAR}",
        "Use a name of the layer.",
    ),
    Code(
        "NL0532",
        "a hook on a part of a layer",
        "A layer and the layers in it run as one program. The tensors of the parts are used; their `forward` is not "
        "called, so a hook there would be silent. What wraps modules by hooks, such as `fully_shard`, takes the whole.",
        "`model.up.register_forward_hook(…)` where `up` is an instance in a layer",
        "Hook the whole, return from the layer what the hook is to see, or call the part by itself.",
    ),
    Code(
        "NL0533",
        "a checkpoint with other sizes",
        "A tensor of the state dict does not have the shape of the parameter. The report names the axis. "
        "The error is a RuntimeError too, as torch's.",
        "`model.load_state_dict(…)` with the weights of a wider model",
        "Make the module with the sizes of the checkpoint, or load the weights of another layout by `nl.load_weights`.",
    ),
    Code(
        "NL0534",
        "a key that the checkpoint lacks",
        "Every parameter and state has its value in the state dict, unless `strict=False` is given.",
        "`model.load_state_dict({})`",
        "Correct the key, or load with `strict=False`.",
    ),
    Code(
        "NL0535",
        "a key of a checkpoint that the module does not have",
        "Every key of the state dict is the path of a parameter or state, unless `strict=False` is given.",
        '`model.load_state_dict({**model.state_dict(), "w": …})`',
        "Correct the key, load with `strict=False`, or map foreign names by `nl.load_weights`.",
    ),
    Code(
        "NL0536",
        "data and parameters of different precision",
        "The kernels of torch take tensors of one precision; data are brought to one, but not under autocast.",
        f"`model(x.double())` with {_LINEAR}",
        "Convert the data with `.to(dtype)`, or the module.",
    ),
    Code(
        "NL0537",
        "a parameter that is not in the module",
        "It was set to None, or the part that had it was replaced by another module.",
        "`model.up = torch.nn.Linear(3, 4)` where the layer computes with `up.W`",
        "Put a module there that has the parameters of the text.",
    ),
    Code(
        "NL0538",
        "a tensor that cannot begin like this",
        "Initialisers have conditions: `eye` takes two dimensions, `orthogonal` at least two, `dirac` three to five.",
        "`param b[output] ~ orthogonal`",
        "Use another initialiser.",
    ),
    Code(
        "NL0539",
        "a part that cannot be called by itself",
        "A round of a `repeat` is only a container; and a part whose sizes the data of the whole decide has none yet.",
        "`model.block[0](x)`",
        "Call the whole, or an instance inside the round.",
    ),
    Code(
        "NL0540",
        "a name that every module has",
        "Parameters, states and instances are attributes of the module, which has methods such as `train`, `to` and "
        "`forward` already.",
        "`layer F(X[i]): param type[i] ~ ones`",
        "Call it otherwise.",
    ),
    Code(
        "NL0542",
        "a layer that is called as if it were a module",
        "A compiled layer makes modules; these have the parameters, and take tensors.",
        f"`Linear(x)` with {_LINEAR}",
        "Make a module first: `Linear(output=4)(x)`.",
    ),
    Code(
        "NL0541",
        "a block that cannot be checkpointed",
        "What runs as a whole, and so can be computed anew as a whole, is the block of a `repeat` whose rounds are "
        "alike; it is called by the name after `as`.",
        '`model.checkpoint("blok")` with `repeat n as block: …`',
        "Use the name of a block; let its rounds not depend on the round's number.",
    ),
)

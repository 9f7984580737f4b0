"""The error codes of `load_weights` and `foreign_weights`."""

from __future__ import annotations

from namedlayers.codes.table import Code, told

WEIGHTS = told(
    Code(
        "NL0550",
        "a mapping that cannot be read",
        "A mapping is a dict or a text. Its entries are `key -> parameter[axes]`, or `key -> _` for a tensor that is "
        "left out; a dimension is an axis, several that are merged, or 1.",
        '`nl.load_weights(module, theirs, "fc.weight W[output, input]")`',
        "Write the arrow; close the brackets; put commas between dimensions and spaces between merged axes.",
    ),
    Code(
        "NL0551",
        "a placeholder that means nothing",
        "What stands in braces on the right must stand on the left; in `{l + 1}` and as a coordinate it is an integer.",
        "the line `layer.{l}.weight -> block.{i}.W`",
        "Use the same name on both sides.",
    ),
    Code(
        "NL0552",
        "a parameter that the module does not have",
        "The right side of a mapping names parameters and states of the module, by their path.",
        "the line `fc.weight -> fc1.V` for a module with `fc1.W`",
        "Use a name that `module.state_dict()` lists.",
    ),
    Code(
        "NL0553",
        "an axis that the parameter does not have",
        "The axes in brackets are those with which the text declares the parameter; parameters of ordinary modules "
        "have none.",
        "the line `fc.weight -> W[outputs, input]` for `param W[output, input]`",
        "Use the axes of the declaration.",
    ),
    Code(
        "NL0554",
        "axes that do not stand once each",
        "Each axis of the parameter is a dimension of the foreign tensor, a part of one, or has a coordinate.",
        "the line `fc.weight -> W[output]` for `param W[output, input]`",
        "Name each axis once; `input = 0` says that the tensor has only that coordinate.",
    ),
    Code(
        "NL0555",
        "a key that is meant twice",
        "A key of the foreign weights is of the pattern of two lines.",
        "the lines `fc.{x} -> W` and `{y}.weight -> V` for the key `fc.weight`",
        "Make the patterns narrower. A tensor that is to fill two parameters has two lines with the same left side.",
    ),
    Code(
        "NL0556",
        "a parameter that is filled twice",
        "Two tensors go to one parameter, or to the same coordinates of it.",
        "the lines `a.weight -> W` and `b.weight -> W`",
        "Leave one out with `b.weight -> _`, or name the parameter that it is.",
    ),
    Code(
        "NL0557",
        "the wrong number of dimensions",
        "The brackets name every dimension of the foreign tensor. Where it holds several parameters, each names all of "
        "them, and `+` stands in the same dimension of each.",
        "the line `conv.weight -> W[output, input]` for a tensor with four dimensions",
        "Name each dimension; one of size one is `1`.",
    ),
    Code(
        "NL0558",
        "a tensor of the wrong size",
        "A dimension of the foreign tensor is not as large as the axes that the mapping says it is.",
        "a tensor of 3 × 4 for `param W[output = 4, input = 3]` and the line `fc.weight -> W[output, input]`",
        "Name the axes in the order of the tensor's dimensions, or construct the module with other sizes.",
    ),
    Code(
        "NL0559",
        "weights that are not complete",
        "Nothing fills a parameter or state, no line of the mapping is for a key, or no key is like a line's.",
        "`nl.load_weights(module, theirs, {})`",
        "Add lines; leave tensors out with `key -> _`; or give `strict=False` and read the report.",
    ),
    Code(
        "NL0560",
        "weights that are no tensors, or of the wrong kind",
        "Weights are dense tensors by key. A tensor of reals does not fill a state of integers.",
        '`nl.load_weights(module, {"model": state_dict}, mapping)`',
        'Give the dict that holds the tensors: `checkpoint["model"]`, or `"checkpoint.pt:model"` for a file.',
    ),
    Code(
        "NL0561",
        "a size that the weights do not say",
        "The module has no sizes yet, and the shapes of the tensors that fill it do not determine all of them.",
        "a tensor of 6 elements for `param W[(a, b)]` of a module that has not been called, and the line `w -> W[a b]`",
        "Give the size to the constructor.",
    ),
    Code(
        "NL0562",
        "a module that cannot be filled",
        "Weights are loaded into a `torch.nn.Module` whose tensors are its own and lie in memory.",
        '`nl.load_weights(nl.load("linear").Linear, theirs, mapping)`: a type, no module',
        "Construct the module; load before parametrizations are added and after `to_empty`.",
    ),
    Code(
        "NL0563",
        "a coordinate that is out of range",
        "`gate = 3` fills the coordinate 3 of the axis, counted from 0.",
        "the line `candidate -> W[gate = 3, hidden, input]` for `param W[gate = 3, hidden, input]`",
        "Correct the coordinate, or the size of the axis.",
    ),
    Code(
        "NL0564",
        "a key for two different tensors",
        "Two lines of the mapping have one left side, and what they name in the module differs.",
        '`nl.foreign_weights(module, "tied -> E\\ntied -> W")` after `E` and `W` went different ways',
        "Make them equal first, or leave one line out.",
    ),
    Code(
        "NL0565",
        "an axis that could be two",
        "The axes of a parameter inside a layer in a layer have the names of its declaration, and those of the axes "
        "that it is used with. Here both fit, and differ.",
        "the line `w -> back.W[output, input]` for `back = Linear[output -> input]`",
        "Leave the brackets out where the tensor has the parameter's own layout, or rename an axis in the text.",
    ),
)

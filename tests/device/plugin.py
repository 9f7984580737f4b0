"""A plugin of pytest: the stand-in is the CUDA device that tests find.

In: a run of pytest, with `-p tests.device.plugin`. Out: the tests that are for a device, run without one.
"""

from __future__ import annotations

from tests.device import stand_in  # before torch

import torch  # isort: skip
from torch import Tensor
from torch.nn import Parameter

from namedlayers.emit.kernels import eager

eager.PLAIN = frozenset((Tensor, Parameter, stand_in.OnDevice))
torch.__future__.set_swap_module_params_on_conversion(True)  # a parameter on the device is of the class of those there

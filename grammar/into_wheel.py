"""Puts the grammar into the wheel, as `namedlayers/grammar/namedlayers.lark`.

The grammar lives beside the package, not in it. An editable install finds it there; a wheel holds the package only, so
it takes a copy. (Mapping a package onto this folder with `package_dir` serves wheels but breaks editable installs.)
"""

from __future__ import annotations

from pathlib import Path

from setuptools.command.build_py import build_py

_GRAMMAR = "namedlayers.lark"


class BuildPy(build_py):
    def run(self) -> None:
        super().run()
        if not self.editable_mode:
            source, target = self._copies()
            self.mkpath(str(target.parent))
            self.copy_file(str(source), str(target))

    def get_output_mapping(self) -> dict[str, str]:
        mapping = super().get_output_mapping()
        if not self.editable_mode:
            source, target = self._copies()
            mapping[str(target)] = str(source)
        return mapping

    def get_outputs(self, include_bytecode: bool = True) -> list[str]:
        outputs = super().get_outputs(include_bytecode)
        return outputs if self.editable_mode else [*outputs, str(self._copies()[1])]

    def _copies(self) -> tuple[Path, Path]:
        return Path("grammar", _GRAMMAR), Path(self.build_lib, "namedlayers", "grammar", _GRAMMAR)

"""List the packages: everything else about the build is in pyproject.toml.

``kernels/`` and ``bench/`` stand at the top of the repository and are installed as ``uicgpu.kernels`` and
``uicgpu.bench``. A static list would have to be edited with every new kernel, and automatic discovery would need the
links ``uicgpu/kernels`` and ``uicgpu/bench``, which a source archive does not carry.
"""

from setuptools import find_packages, setup

linked = ("kernels", "bench")
packages = find_packages(include=["uicgpu", "uicgpu.*"], exclude=[f"uicgpu.{name}*" for name in linked])
for name in linked:
    packages += [f"uicgpu.{name}", *(f"uicgpu.{name}.{inner}" for inner in find_packages(name))]

setup(packages=packages)

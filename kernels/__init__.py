"""Our own kernels, one folder each: ``reference.py`` is the contract in float64, ``cpu.py`` the fast CPU form.

Installed as ``uicgpu.kernels``. Importing this package compiles nothing and needs no GPU library.
"""

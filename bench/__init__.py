"""Benchmarks beside peers, scale runs and the cost model. Installed as ``uicgpu.bench``."""

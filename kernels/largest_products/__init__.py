"""The exact largest inner products of each query: products of matrices exclude, canonical dot products decide.

- :mod:`.search` cuts queries and points into tiles, and shortens the points where many queries come;
- :mod:`.scan` looks through one tile of products and keeps the best.
"""

from uicgpu.kernels.largest_products.search import largest_products

__all__ = ["largest_products"]

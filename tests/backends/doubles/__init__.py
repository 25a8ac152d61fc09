"""Stand-ins for the GPU libraries: they bind every call to the recorded signatures and compute with NumPy."""

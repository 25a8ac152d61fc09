"""Seeds by name: a new stage changes the numbers of no other."""

from __future__ import annotations

import numpy as np

from uicgpu.randomness import generator, seed_of


def test_the_same_name_gives_the_same_numbers_and_another_name_others() -> None:
    first = generator(7, "cluster").random(5)
    assert np.array_equal(first, generator(7, "cluster").random(5))
    assert not np.array_equal(first, generator(7, "evaluate").random(5))
    assert not np.array_equal(first, generator(8, "cluster").random(5))


def test_seeds_are_32_bit_and_fixed_for_all_time() -> None:
    # Written down once: a change here would change every published run.
    assert seed_of(0, "cluster") == 2345709187
    assert all(0 <= seed_of(seed, name) < 2**32 for seed in range(50) for name in ("a", "b"))


def test_the_global_generator_is_not_touched() -> None:
    state = np.random.get_state()[1].copy()  # noqa: NPY002 - it is the global state that must not move
    generator(3, "anything").random(10)
    assert np.array_equal(state, np.random.get_state()[1])  # noqa: NPY002

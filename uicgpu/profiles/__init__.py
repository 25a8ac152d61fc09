"""Clusters people understand: terms, exemplar items, mixes against the base rate, names, and what may be published."""

from uicgpu.profiles.privacy import MINIMUM_CLUSTER_SIZE
from uicgpu.profiles.profile import Profiles, build_profiles

__all__ = ["MINIMUM_CLUSTER_SIZE", "Profiles", "build_profiles"]

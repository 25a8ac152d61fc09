"""Clusters people understand: terms, exemplar items, mixes against the base rate, names, and what may be published."""

from uicgpu.profiles.profile import Profiles, build_profiles

__all__ = ["Profiles", "build_profiles"]

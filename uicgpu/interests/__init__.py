"""Users as points: interest vectors pooled from item vectors, with behaviour features on request."""

from uicgpu.interests.behaviour import Features, FeatureScale, feature_matrix
from uicgpu.interests.pool import InterestPooler

__all__ = ["FeatureScale", "Features", "InterestPooler", "feature_matrix"]

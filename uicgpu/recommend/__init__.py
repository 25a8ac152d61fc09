"""Recommendations: arms, their blend, and the ladder for users with little history."""

from uicgpu.recommend.everybody import recommend_all
from uicgpu.recommend.inputs import Catalogue
from uicgpu.recommend.recommender import Recommender

__all__ = ["Catalogue", "Recommender", "recommend_all"]

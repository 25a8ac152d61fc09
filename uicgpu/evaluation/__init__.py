"""How good the recommendations are, and how sure that is."""

from uicgpu.evaluation.protocol import Evaluation, evaluate, evaluation_steps

__all__ = ["Evaluation", "evaluate", "evaluation_steps"]

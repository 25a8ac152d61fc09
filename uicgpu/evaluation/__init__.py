"""How good the recommendations are, and how sure that is."""

from uicgpu.evaluation.protocol import EVALUATION_STEPS, Evaluation, evaluate

__all__ = ["EVALUATION_STEPS", "Evaluation", "evaluate"]

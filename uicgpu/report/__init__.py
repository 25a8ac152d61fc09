"""One self-contained page that tells what a run found and how sure it is."""

from uicgpu.report.page import build_report

__all__ = ["build_report"]

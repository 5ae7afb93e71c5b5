"""What this process has counted, as Prometheus would be told."""

from chatbot_project.lib.metrics.registry import REGISTRY


def refusals(limit: str) -> float:
    """How often something was refused because that limit was used up."""
    return REGISTRY.get_sample_value("nono_rate_limited_total", {"limit": limit}) or 0.0

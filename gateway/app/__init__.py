"""The composition root: the only place that builds concrete classes and says who knows whom."""

from gateway.app.choices import served_lanes
from gateway.app.gateway import Gateway, stop_on_signals

__all__ = ["Gateway", "served_lanes", "stop_on_signals"]

"""The composition root: the only place that builds concrete classes and says who knows whom."""

from gateway.app.choices import open_store, served_lanes
from gateway.app.gateway import Gateway, stop_on_signals
from gateway.app.roles import Role

__all__ = ["Gateway", "Role", "open_store", "served_lanes", "stop_on_signals"]

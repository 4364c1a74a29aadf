"""A durable dispatch gateway: one HTTP API in front of email, SMS, push and webhooks."""

__version__ = "0.1.0"

"""What the gateway does with messages. Knows protocols, never an engine or a provider."""

"""What the gateway is compared with: small honest programs, each a process of its own."""

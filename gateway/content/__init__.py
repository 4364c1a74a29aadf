"""What messages say: addresses, templates, SMS segments, MIME."""

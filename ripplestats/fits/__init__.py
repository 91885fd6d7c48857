"""Effects → estimates with intervals; nothing here needs torch."""

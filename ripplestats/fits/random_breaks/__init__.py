"""The segmented mixed model: every prompt has a break of its own, integrated out exactly."""

"""Pure tensor functions: which neurons are replaced, by what, and how a running network is edited."""

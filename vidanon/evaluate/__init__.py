"""The papers' protocols: metrics, LFW, attack success, and their tables."""

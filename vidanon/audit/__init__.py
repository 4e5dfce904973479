"""The judge of an encoded output: what recognisers, detectors and the picture itself say of it."""

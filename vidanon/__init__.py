"""vidanon: anonymise the faces in video and prove it."""

__version__ = "0.1.0"

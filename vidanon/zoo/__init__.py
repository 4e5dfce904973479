"""Model files: which there are, where they are, and how they are opened."""

from vidanon.zoo.fetch import cache_dir, resolve
from vidanon.zoo.registry import Model, load_registry, models_dir

__all__ = ["Model", "cache_dir", "load_registry", "models_dir", "resolve"]

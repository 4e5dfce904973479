"""Recipes of the models the project trained: faces, pool, augmentation, losses, the loop, one recipe per model."""

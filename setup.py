"""Maps ``models/`` into the package as ``vidanon._models``; everything else is in pyproject.toml."""

from setuptools import find_packages, setup

setup(
    packages=[*find_packages(include=["vidanon", "vidanon.*"]), "vidanon._models"],
    package_dir={"vidanon._models": "models"},
    package_data={"vidanon._models": ["**/*"], "vidanon": ["py.typed"]},
)

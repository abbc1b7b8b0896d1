"""Packaging is described in pyproject.toml and the build in CMakeLists.txt; this only introduces one to the other."""

from setuptools import setup

setup(cmake_source_dir=".")
